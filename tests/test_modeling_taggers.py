"""modeling_taggers and convert_taggers: published activations, front end, pooling, short clips, storage."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from m2e.checkpoints.convert_taggers import convert_taggers, mel_conv_state_dict, musicnn_state_dict
from m2e.errors import ModelError
from modeling_m2e.modeling_taggers import (
    ARCHITECTURES,
    DEFAULT_FEATURES,
    FEATURE_WIDTHS,
    ConvBlock,
    MusiCNN,
    TaggersConfig,
    TaggersModel,
    power_spectrogram,
    repeat_to_length,
    zero_padded_edges,
)
from modeling_m2e.weights_m2e import halve_weights

ALL_NETS = ["musicnn_msd", "musicnn_mtt", "fcn_msd", "fcn_jamendo", "crnn_msd", "crnn_jamendo"]
SECOND = 16000


@torch.no_grad()
def randomise(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Weights that keep activations alive and norms that are not the identity, with scales of both signs."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if not value.is_floating_point() or name.startswith("mel_"):
            continue
        noise = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            value.copy_(noise.abs() + 0.5)
        elif value.ndim > 1:
            value.copy_(noise / value[0].numel() ** 0.5)
        else:
            value.copy_(noise)
    return module.eval()


def tiny(nets: list[str], seed: int = 0, **config) -> TaggersModel:
    return randomise(TaggersModel(TaggersConfig(nets=nets, **config)), seed)


def noise(seconds: float, n: int = 1, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(n, int(seconds * SECOND), generator=generator)


# Parity with the published weights


@pytest.fixture(scope="module")
def published(shared) -> TaggersModel:
    return convert_taggers(shared / "weights", ALL_NETS)


def test_musicnn_gives_the_published_activations(shared, published):
    golden = np.load(shared / "weights" / "musicnn" / "golden.npz")
    net = published.nets["musicnn_msd"]
    with torch.no_grad():
        features = net.patch_features(torch.from_numpy(golden["log_mel"]))
    for ours, theirs in {"penultimate": "dense", "mean_pool": "mean_pool", "max_pool": "max_pool"}.items():
        np.testing.assert_allclose(features[ours].numpy(), golden[theirs], atol=1e-4, err_msg=ours)
    np.testing.assert_allclose(features["logits"].sigmoid().numpy(), golden["tags"], atol=1e-4)


def test_musicnn_from_the_waveform_averages_the_published_patches(shared):
    golden = np.load(shared / "weights" / "musicnn" / "golden.npz")
    model = convert_taggers(shared / "weights", ["musicnn_msd"])
    output = model(torch.from_numpy(golden["waveform_16k"])[None], output_blocks=True)
    expected = golden["dense"].mean(0)
    np.testing.assert_allclose(output.blocks["musicnn_msd.penultimate"][0].numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(output.embeddings[0].numpy(), expected / 200**0.5, atol=1e-4)


@pytest.mark.parametrize(("architecture", "seconds"), [("fcn", 29.0), ("crnn", 29.1)])
def test_fcn_and_crnn_give_the_published_activations(shared, architecture, seconds):
    golden = np.load(shared / "weights" / "taggers" / "golden.npz")
    model = convert_taggers(shared / "weights", [f"{architecture}_msd", f"{architecture}_jamendo"])
    waveform = torch.from_numpy(golden["waveform_16k"][: int(seconds * SECOND)])[None]
    blocks = model(waveform, output_blocks=True).blocks
    for corpus in ("msd", "jamendo"):
        name = f"{architecture}_{corpus}"
        features = torch.cat([blocks[f"{name}.{feature}"] for feature in DEFAULT_FEATURES[architecture]], dim=-1)
        np.testing.assert_allclose(features.numpy(), golden[f"{corpus}_{architecture}_features"], atol=1e-4)
        tags = blocks[f"{name}.logits"].sigmoid().numpy()
        np.testing.assert_allclose(tags, golden[f"{corpus}_{architecture}_tags"], atol=1e-4)


def test_published_weights_survive_storage_in_half_precision(shared, published, tmp_path):
    golden = np.load(shared / "weights" / "musicnn" / "golden.npz")
    halve_weights(copy.deepcopy(published)).save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 2.2 * sum(p.numel() for p in published.parameters())
    loaded = TaggersModel.from_pretrained(tmp_path, dtype=torch.float32)
    assert torch.equal(loaded.mel_htk, published.mel_htk)
    with torch.no_grad():
        features = loaded.nets["musicnn_msd"].patch_features(torch.from_numpy(golden["log_mel"]))
    np.testing.assert_allclose(features["penultimate"].numpy(), golden["dense"], atol=0.05)  # they reach 9


# Front end


@pytest.mark.parametrize("samples", [512, 16000, 16128, 16129])
def test_spectrograms_are_librosa_s(samples):
    librosa = pytest.importorskip("librosa")
    waveform = noise(samples / SECOND)
    power = power_spectrogram(waveform)
    for ours, pad_mode in ((power, "reflect"), (zero_padded_edges(power, waveform), "constant")):
        theirs = np.abs(librosa.stft(waveform[0].numpy(), n_fft=512, hop_length=256, pad_mode=pad_mode)) ** 2
        np.testing.assert_allclose(ours[0].numpy(), theirs.T, atol=1e-4, rtol=1e-4)


def test_mel_matrices_of_a_new_model_are_filled():
    librosa = pytest.importorskip("librosa")
    model = TaggersModel(TaggersConfig(nets=["musicnn_msd", "crnn_msd"]))
    waveform = noise(3)
    theirs = librosa.feature.melspectrogram(y=waveform[0].numpy(), sr=SECOND, n_fft=512, hop_length=256, n_mels=96)
    ours = zero_padded_edges(power_spectrogram(waveform), waveform) @ model.mel_slaney
    np.testing.assert_allclose(ours[0].numpy(), theirs.T, atol=1e-6, rtol=1e-4)
    assert model.mel_htk.max() > 0.9  # triangles with a peak of one, not of unit area
    assert model.mel_slaney.max() < 0.1


def test_only_the_mel_matrices_that_the_nets_need_are_stored_and_each_once():
    buffers = [name for name, _ in TaggersModel(TaggersConfig(nets=["fcn_msd", "crnn_msd"])).named_buffers()]
    assert [name for name in buffers if "mel" in name] == ["mel_htk"]


# The networks against their description, step by step in the published order


@torch.no_grad()
def test_conv_block_is_convolution_norm_relu_pooling():
    block = randomise(ConvBlock(3, 8, (2, 4)))
    x = torch.randn(2, 3, 12, 17, generator=torch.Generator().manual_seed(1))
    assert (block.bn.weight < 0).any() and (block.bn.weight > 0).any()
    torch.testing.assert_close(block(x), F.max_pool2d(F.relu(block.bn(block.conv(x))), (2, 4)), atol=1e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@torch.no_grad()
def test_musicnn_front_end_takes_the_maximum_after_relu_and_norm():
    net = randomise(MusiCNN())
    x = net.input_norm(torch.randn(1, 187, 96, generator=torch.Generator().manual_seed(1))[:, None])
    front = []
    for i, conv in enumerate([*net.timbral, *net.temporal]):
        if i < 2:
            y = F.conv2d(x, conv.weight, conv.bias, padding=(3, 0))
        else:
            y = F.conv2d(x, conv.weight, conv.bias, padding="same")  # as TensorFlow: the odd cell after
        norm = net.front_norms[i]
        y = F.batch_norm(F.relu(y), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-3)
        front.append(y.amax(-1))
    front = torch.cat(front, dim=1)
    features = net.patch_features(torch.randn(1, 187, 96, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(features["max_pool"][:, :561], front.amax(-1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(features["mean_pool"][:, :561], front.mean(-1), atol=1e-4, rtol=1e-4)


def test_musicnn_averages_whole_patches_and_leaves_the_incomplete_one_out():
    model = tiny(["musicnn_msd"])
    net = model.nets["musicnn_msd"]
    log_mel = torch.rand(2, 3 * 187 + 100, 96, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        features = net(log_mel)
        each = [net.patch_features(log_mel[:, i * 187 : (i + 1) * 187]) for i in range(3)]
    for name, width in FEATURE_WIDTHS["musicnn"].items():
        assert features[name].shape == (2, width)
        expected = torch.stack([patch[name] for patch in each]).mean(0)
        torch.testing.assert_close(features[name], expected, atol=1e-4, rtol=1e-4)


# The model


def test_embeddings_are_the_chosen_features_each_net_scaled_by_its_width():
    model = tiny(["crnn_msd", "musicnn_msd"], features={"musicnn": ["penultimate", "max_pool"]})
    output = model(noise(4, n=2), output_blocks=True)
    assert model.config.hidden_size == 160 + 953
    assert output.embeddings.shape == (2, model.config.hidden_size) and output.embeddings.dtype == torch.float32
    assert list(output.blocks) == [f"{n}.{f}" for n in model.config.nets for f in FEATURE_WIDTHS[n.split("_")[0]]]
    for name, value in output.blocks.items():
        net, _, feature = name.partition(".")
        assert value.shape == (2, FEATURE_WIDTHS[net.split("_")[0]][feature])
    crnn = torch.cat([output.blocks["crnn_msd.block4"], output.blocks["crnn_msd.state"]], dim=-1)
    musicnn = torch.cat([output.blocks["musicnn_msd.penultimate"], output.blocks["musicnn_msd.max_pool"]], dim=-1)
    torch.testing.assert_close(output.embeddings, torch.cat([crnn / 160**0.5, musicnn / 953**0.5], dim=-1))
    assert model(noise(4)).blocks is None


def test_a_batch_gives_what_its_windows_give_alone():
    model = tiny(["musicnn_msd"])
    windows = torch.cat([noise(7, seed=1), noise(7, seed=2)])
    alone = torch.cat([model(window[None]).embeddings for window in windows])
    torch.testing.assert_close(model(windows).embeddings, alone, atol=1e-4, rtol=1e-4)
    assert (alone[0] - alone[1]).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("net", "samples"), [("musicnn_msd", 1), ("musicnn_msd", 8000), ("musicnn_msd", 47000), ("crnn_msd", 80000)]
)
def test_a_short_clip_is_repeated_until_it_fills_what_the_net_needs(net, samples):
    model = tiny([net])
    needed = model.nets[net].min_samples
    clip = noise(samples / SECOND)
    assert clip.shape[-1] == samples < needed
    filled = clip.repeat(1, needed)[:, :needed] if samples < 10 else clip.repeat(1, 6)[:, :needed]
    output = model(clip).embeddings
    assert torch.isfinite(output).all()
    torch.testing.assert_close(output, model(filled).embeddings, atol=1e-6, rtol=1e-5)


def test_repeat_to_length():
    x = torch.arange(3.0)[None]
    assert repeat_to_length(x, 8).tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]
    assert repeat_to_length(x, 2) is x


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_what_a_net_asks_for_is_enough(architecture):
    model = tiny([f"{architecture}_msd"])
    waveform = noise(ARCHITECTURES[architecture].min_samples / SECOND)
    assert waveform.shape[-1] == ARCHITECTURES[architecture].min_samples
    assert torch.isfinite(model(waveform).embeddings).all()


def test_silence_is_finite():
    assert torch.isfinite(tiny(["musicnn_msd", "crnn_msd"])(torch.zeros(1, SECOND)).embeddings).all()


def test_frozen_in_eval_mode():
    model = tiny(["musicnn_msd"])
    assert not model(noise(3)).embeddings.requires_grad
    assert model.train()(noise(3, n=2)).embeddings.requires_grad


@pytest.mark.parametrize("shape", [(SECOND,), (1, 1, SECOND), (1, 0)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="waveforms of shape"):
        tiny(["musicnn_msd"])(torch.zeros(shape))


@pytest.mark.parametrize(
    "config",
    [
        {"nets": []},
        {"nets": ["vgg_msd"]},
        {"nets": ["fcn_msd", "fcn_msd"]},
        {"features": {"fcn": ["state"]}},
        {"features": {"fcn": []}},
        {"features": {"vgg": ["block4"]}},
    ],
)
def test_a_config_that_names_what_there_is_not_is_refused(config):
    with pytest.raises(ValueError):
        TaggersConfig(**config)


def test_default_config():
    config = TaggersConfig()
    assert (config.hidden_size, config.sampling_rate) == (200 + 2 * 192 + 2 * 160, 16000)
    config.features["fcn"].append("logits")
    assert TaggersConfig().hidden_size == 904  # configs do not share their lists


# Storage


def test_save_and_load_is_bit_equal(tmp_path):
    model = tiny(["musicnn_msd", "crnn_msd"], features={"crnn": ["block3"]})
    with torch.no_grad():
        model.mel_htk.mul_(1.01)  # what is stored counts, not what would be computed
    model.save_pretrained(tmp_path)
    loaded = TaggersModel.from_pretrained(tmp_path)
    assert not loaded.training
    assert loaded.config.features == model.config.features and loaded.config.nets == model.config.nets
    state = loaded.state_dict()
    assert state.keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert torch.equal(state[key], value), key
    waveform = noise(3)
    # not bit for bit: matrix products may take another path where the memory is aligned otherwise
    torch.testing.assert_close(loaded(waveform).embeddings, model(waveform).embeddings, atol=1e-5, rtol=1e-5)


def test_half_precision_storage_loads_as_float32(tmp_path):
    model = tiny(["musicnn_msd"])
    halve_weights(copy.deepcopy(model)).save_pretrained(tmp_path)
    loaded = TaggersModel.from_pretrained(tmp_path, dtype=torch.float32)
    assert all(p.dtype == torch.float32 for p in loaded.parameters())
    assert torch.equal(loaded.mel_slaney, model.mel_slaney)
    expected = model(noise(3)).embeddings
    relative = (loaded(noise(3)).embeddings - expected).norm() / expected.norm()
    assert 0 < relative < 5e-3


# Conversion


def published_layout(model: TaggersModel, name: str) -> dict[str, np.ndarray]:
    """A net's weights under the names and in the layouts of the published file."""
    state = {key: value.numpy() for key, value in model.nets[name].state_dict().items()}
    if not name.startswith("musicnn"):
        tensors = {
            "spec.spectrogram.window": torch.hann_window(512).numpy(),
            "spec.mel_scale.fb": model.mel_htk.numpy(),
        }
        for key, value in state.items():
            first, _, rest = key.partition(".")
            if first == "blocks":
                block, _, rest = rest.partition(".")
                key = f"layer{int(block) + 1}.{rest}"
            tensors[key.replace("gru.", "layer5.")] = value
        return tensors
    tensors = {}
    convolutions = [
        "timbral.0",
        "timbral.1",
        "temporal.0",
        "temporal.1",
        "temporal.2",
        "middle.0",
        "middle.1",
        "middle.2",
    ]
    for i, key in enumerate(convolutions):
        suffix = f"_{i}" if i else ""
        kernel = state[f"{key}.weight"]
        height_width_in_out = kernel.transpose(2, 3, 1, 0) if i < 5 else kernel.transpose(2, 1, 0)[:, :, None]
        tensors[f"conv2d{suffix}/kernel"], tensors[f"conv2d{suffix}/bias"] = height_width_in_out, state[f"{key}.bias"]
    for key, target in (("dense", "dense"), ("output", "dense_1")):
        tensors[f"{target}/kernel"], tensors[f"{target}/bias"] = state[f"{key}.weight"].T, state[f"{key}.bias"]
    norms = ["input_norm", *[f"front_norms.{i}" for i in range(5)], *[f"middle_norms.{i}" for i in range(3)]]
    for i, key in enumerate([*norms, "pool_norm", "dense_norm"]):
        target = f"batch_normalization_{i}" if i else "batch_normalization"
        tensors[f"{target}/gamma"], tensors[f"{target}/beta"] = state[f"{key}.weight"], state[f"{key}.bias"]
        tensors[f"{target}/moving_mean"] = state[f"{key}.running_mean"]
        tensors[f"{target}/moving_variance"] = state[f"{key}.running_var"]
    return tensors


@pytest.fixture
def weights_folder(tmp_path):
    model = tiny(["musicnn_mtt", "fcn_jamendo", "crnn_msd"])
    (tmp_path / "musicnn").mkdir()
    (tmp_path / "taggers").mkdir()
    np.savez(tmp_path / "musicnn" / "MTT_musicnn.npz", **published_layout(model, "musicnn_mtt"))
    np.savez(tmp_path / "taggers" / "jamendo_fcn.npz", **published_layout(model, "fcn_jamendo"))
    np.savez(tmp_path / "taggers" / "msd_crnn.npz", **published_layout(model, "crnn_msd"))
    return tmp_path, model


def test_conversion_places_every_tensor(weights_folder):
    folder, model = weights_folder
    converted = convert_taggers(folder, model.config.nets)
    assert not converted.training
    state = converted.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(state[key], value), key


def test_conversion_names_a_missing_file(weights_folder):
    folder, _ = weights_folder
    with pytest.raises(ModelError, match="MSD_musicnn.npz is missing"):
        convert_taggers(folder, ["musicnn_msd"])


def test_conversion_refuses_another_net_and_another_spectrogram(weights_folder):
    folder, model = weights_folder
    path = folder / "taggers" / "jamendo_fcn.npz"
    with np.load(path) as weights:
        tensors = dict(weights)
    np.savez(path, **{**tensors, "spec.mel_scale.fb": tensors["spec.mel_scale.fb"] * 2})
    with pytest.raises(ModelError, match="another spectrogram"):
        convert_taggers(folder, ["fcn_jamendo"])
    np.savez(path, **{key: value for key, value in tensors.items() if not key.startswith("layer5")})
    with pytest.raises(ModelError, match="does not hold a FCN"):
        convert_taggers(folder, ["fcn_jamendo"])
    path = folder / "musicnn" / "MTT_musicnn.npz"
    np.savez(path, **tensors)
    with pytest.raises(ModelError, match="MTT_musicnn.npz lacks"):
        convert_taggers(folder, ["musicnn_mtt"])


def test_state_dicts_name_nothing_that_the_nets_do_not_have(weights_folder):
    folder, model = weights_folder
    with np.load(folder / "musicnn" / "MTT_musicnn.npz") as weights:
        assert set(musicnn_state_dict(weights)) <= set(model.nets["musicnn_mtt"].state_dict())
    with np.load(folder / "taggers" / "msd_crnn.npz") as weights:
        assert set(mel_conv_state_dict(weights)) == set(model.nets["crnn_msd"].state_dict())
