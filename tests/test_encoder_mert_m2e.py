"""MERT against the numbers of its own code, and what it refuses."""

import json
import logging
import os
import shutil
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import HubertConfig, HubertModel

from m2e.errors import ModelError
from modeling_m2e.encoder_m2e import (
    MertEncoder,
    normalize,
)
from modeling_m2e.encoder_mert_m2e import build, mert_config


@pytest.fixture(scope="module")
def tiny(fixtures):
    return fixtures / "mert" / "tiny_base"


@pytest.fixture(scope="module")
def expected(tiny):
    with np.load(tiny / "expected.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def waveform(fixtures):
    with np.load(fixtures / "mert" / "waveform_3s_24k.npz") as arrays:
        return torch.from_numpy(arrays["waveform"])[None]


@pytest.fixture(scope="module")
def encoder(tiny):
    return MertEncoder.from_pretrained(tiny, layers=(2, 3))


@pytest.fixture
def copy(tiny, tmp_path):
    """A writable copy of the tiny network, with a changed configuration on request."""

    def make(**changes):
        folder = tmp_path / "mert"
        shutil.copytree(tiny, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))
        return folder

    return make


def as_bin(folder):
    """Replace the safetensors by a .bin as torch wrote it in 2023."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def close(actual, wanted, atol=1e-4):
    torch.testing.assert_close(actual, torch.as_tensor(wanted), rtol=0, atol=atol)


# Parity


@pytest.mark.parametrize("layers", [(0,), (1,), (2, 3), (3, 2), (4,), (0, 1, 2, 3, 4)])
def test_embedding_is_the_time_mean_of_the_published_hidden_states(tiny, expected, waveform, layers):
    encoder = MertEncoder.from_pretrained(tiny, layers=layers)
    embedding = encoder(waveform)
    assert embedding.shape == (1, encoder.hidden_size) == (1, 32 * len(layers))
    assert embedding.dtype == torch.float32
    close(embedding[0], expected["features"][list(layers)].flatten())


def test_frames_agree_with_the_published_hidden_states(tiny, expected, waveform):
    states = MertEncoder.from_pretrained(tiny, layers=range(5)).hidden_states(waveform)
    close(torch.cat(states)[:, ::32], expected["frames"])


def test_shorter_window_is_normalised_by_itself(tiny, expected, waveform):
    close(MertEncoder.from_pretrained(tiny, layers=(4,))(waveform[:, :40000])[0], expected["short_last"])


def test_bin_and_safetensors_give_the_same_embedding(copy, encoder, waveform):
    from_bin = MertEncoder.from_pretrained(as_bin(copy()), layers=(2, 3))
    assert torch.equal(from_bin(waveform), encoder(waveform))


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("net", ["tiny_base", "tiny_large", "tiny_large_convlayernorm"])
def test_parity_of_all_published_architectures(shared, tmp_path, waveform, net, weights):
    source = shared / "golden" / "mert" / net
    for file in ("config.json", "preprocessor_config.json", weights):
        (tmp_path / file).write_bytes((source / file).read_bytes())
    with np.load(source / "hidden_states.npz") as arrays:
        states = torch.from_numpy(arrays["hidden_states"])
        before_norm = torch.from_numpy(arrays["encoder_layer_norm_input"])
    for layers in [(0, 1), (2, 3)]:
        encoder = MertEncoder.from_pretrained(tmp_path, layers=layers)
        close(torch.cat(encoder.hidden_states(waveform)), states[list(layers)])
        close(encoder(waveform)[0], states[list(layers)].mean(1).flatten())
    # The last state of a pre-norm network is the one before the final norm; post-norm networks have no such norm.
    last = MertEncoder.from_pretrained(tmp_path, layers=(4,)).hidden_states(waveform)[0][0]
    close(last, states[4] if net == "tiny_base" else before_norm)
    if net != "tiny_base":
        assert (last - states[4]).abs().max() > 0.1


@pytest.mark.parametrize("size", ["95M", "330M"])
def test_names_and_shapes_of_the_published_models(shared, size):
    published = json.loads((shared / "golden" / "mert" / f"parameters_MERT-v1-{size}.json").read_text())
    depth = published["config_used"]["num_hidden_layers"]
    with torch.device("meta"):
        model = HubertModel(mert_config(published["config_used"], layers=(depth,)))
    old_names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    built = {}
    for name, parameter in model.named_parameters():
        for new, old in old_names.items():
            name = name.replace(new, old)
        built[name] = list(parameter.shape)
    del published["parameters"]["masked_spec_embed"]  # of training only
    assert built == published["parameters"]


# Only what is needed runs


def test_only_the_layers_that_are_read_are_built(tiny, encoder, waveform):
    assert len(encoder.model.encoder.layers) == 3
    deeper = MertEncoder.from_pretrained(tiny, layers=(2, 3, 4))
    assert torch.equal(deeper(waveform)[:, :64], encoder(waveform))


def test_inference_state(encoder, waveform):
    assert not encoder.model.training
    assert encoder.model.config.layerdrop == 0
    assert not encoder.model.config.apply_spec_augment
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    embedding = encoder(waveform)
    assert not embedding.requires_grad
    head = torch.nn.Linear(encoder.hidden_size, 1)
    head(embedding).sum().backward()  # an inference tensor would raise here
    close(head.weight.grad, embedding)
    assert not any(state.is_inference() or state.requires_grad for state in encoder.hidden_states(waveform))


def test_batch_equals_one_by_one(encoder, waveform):
    windows = torch.cat([waveform[:, :36000], waveform[:, 36000:], 0.1 * waveform[:, 1000:37000]])
    batch = encoder(windows)
    assert batch.shape == (3, 64)
    close(batch, torch.cat([encoder(window[None]) for window in windows]), atol=1e-5)
    assert (batch[0] - batch[1]).abs().max() > 1e-2


def test_no_windows(encoder):
    assert encoder(torch.zeros(0, 1000)).shape == (0, 64)


def test_bfloat16_on_request(tiny, encoder, waveform):
    half = MertEncoder.from_pretrained(tiny, layers=(2, 3), dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16 and encoder.model.dtype == torch.float32
    embedding = half(waveform)
    assert embedding.dtype == torch.float32
    difference = (embedding - encoder(waveform)).norm() / encoder(waveform).norm()
    assert 0 < difference < 0.1


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_position_convolutions_of_any_width_run_in_low_precision(groups, waveform):
    """On some CPUs, low precision is wrong for fewer than 16 channels in a group; here a group has 64 to 8."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 32}
    config = HubertConfig(**sizes, conv_dim=[16] * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=groups)
    model = HubertModel(config)
    with torch.no_grad():
        model.encoder.pos_conv_embed.conv.parametrizations.weight.original0.mul_(20)  # positions dominate
    exact, half = (
        MertEncoder(build(config, model.state_dict(), dtype, "here"), (0,)) for dtype in (torch.float32, torch.bfloat16)
    )
    difference = (half(waveform) - exact(waveform)).norm() / exact(waveform).norm()
    assert 0 < difference < 0.1 and half.hidden_states(waveform)[0].dtype == torch.bfloat16


def test_windows_of_other_precision_are_computed_in_float32(encoder, waveform):
    half = waveform.half()
    assert torch.equal(encoder(half), encoder(half.float()))
    assert torch.equal(encoder(waveform.double()), encoder(waveform))
    assert torch.equal(encoder(waveform.numpy()), encoder(waveform))


def test_to_returns_the_encoder(tiny):
    encoder = MertEncoder.from_pretrained(tiny, layers=(1,))
    assert encoder.to("cpu") is encoder and encoder.device.type == "cpu"


def test_attributes_of_the_protocol(encoder):
    assert (encoder.sampling_rate, encoder.window_seconds, encoder.hidden_size) == (24000, 30.0, 64)


# Normalisation


def test_normalize_is_that_of_the_feature_extractor(expected, waveform):
    close(normalize(waveform)[0, ::720], expected["normalized"], atol=1e-6)


def test_normalize_ignores_gain_and_offset_of_each_window(waveform):
    windows = torch.cat([waveform, 0.5 * waveform + 0.25])
    normalized = normalize(windows)
    close(normalized[0], normalized[1], atol=1e-4)
    assert not normalize(torch.full((1, 100), 0.3)).any()


def test_preprocessor_decides_on_normalisation_and_rate(copy, waveform):
    folder = copy()
    settings = {"do_normalize": False, "sampling_rate": 16000}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    raw = MertEncoder.from_pretrained(folder, layers=(2, 3))
    assert raw.sampling_rate == 16000
    (folder / "preprocessor_config.json").unlink()
    default = MertEncoder.from_pretrained(folder, layers=(2, 3))
    assert default.sampling_rate == 24000
    assert torch.equal(raw(normalize(waveform)), default(waveform))
    assert not torch.allclose(raw(waveform), default(waveform), atol=1e-3)


# Quiet and safe loading


def test_loading_prints_nothing(copy, capfd):
    class Collect(logging.Handler):
        def emit(self, record):
            records.append(record.getMessage())

    records = []
    handler = Collect(logging.WARNING)
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            MertEncoder.from_pretrained(as_bin(copy()), layers=(1,))
    finally:
        logger.removeHandler(handler)
    out, err = capfd.readouterr()
    assert (records, out, err) == ([], "", "")


def test_remote_code_is_never_run(copy, waveform, tmp_path):
    folder = copy()
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\nraise RuntimeError('remote code ran')\n"
    for file in ("configuration_MERT.py", "modeling_MERT.py"):
        (folder / file).write_text(trap)
    assert MertEncoder.from_pretrained(folder, layers=(1,))(waveform).shape == (1, 32)
    assert not (tmp_path / "ran").exists()


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_pickled_code_is_never_run(copy, tmp_path):
    folder = copy()
    (folder / "model.safetensors").unlink()
    torch.save({"encoder.layer_norm.weight": Malicious(tmp_path / "ran")}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pytorch_model.bin is not a readable checkpoint"):
        MertEncoder.from_pretrained(folder, layers=(1,))
    assert not (tmp_path / "ran").exists()


# Refusals


@pytest.mark.parametrize("flag, word", [("deepnorm", "deepnorm"), ("feature_extractor_cqt", "CQT")])
def test_networks_that_hubert_cannot_express_are_refused(copy, flag, word):
    folder = copy(**{flag: True})
    with pytest.raises(ModelError, match=word) as caught:
        MertEncoder.from_pretrained(folder, layers=(1,))
    assert str(folder) in str(caught.value)


def test_published_deepnorm_network_is_refused(shared):
    with pytest.raises(ModelError, match="deepnorm"):
        MertEncoder.from_pretrained(shared / "golden" / "mert" / "tiny_deepnorm", layers=(2, 3))


def test_other_architectures_are_refused(copy):
    with pytest.raises(ModelError, match="'bert' model"):
        MertEncoder.from_pretrained(copy(model_type="bert"), layers=(1,))


@pytest.mark.parametrize("layers", [(5,), (2, 6), (-1,), (True,), (1.0,), ("2",)])
def test_layers_out_of_range_are_refused(tiny, layers):
    with pytest.raises(ModelError, match="hidden states 0 to 4"):
        MertEncoder.from_pretrained(tiny, layers=layers)


@pytest.mark.parametrize("layers", [(), (2, 2)])
def test_no_layer_or_one_twice_is_refused(tiny, layers):
    with pytest.raises(ModelError, match="distinct"):
        MertEncoder.from_pretrained(tiny, layers=layers)


def test_default_layers_are_the_papers(tiny):
    with pytest.raises(ModelError, match=r"layers \[6, 7\] are out of range"):
        MertEncoder.from_pretrained(tiny)


def test_unknown_dtype_and_argument_are_refused(tiny):
    with pytest.raises(ModelError, match="int8"):
        MertEncoder.from_pretrained(tiny, layers=(1,), dtype="int8")
    with pytest.raises(TypeError, match="layer"):
        MertEncoder.from_pretrained(tiny, layer=(1,))


def test_missing_and_damaged_files_are_named(copy, tmp_path):
    folder = copy()
    with pytest.raises(ModelError, match="no config.json"):
        MertEncoder.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match="nowhere/at/all"):
        MertEncoder.from_pretrained("nowhere/at/all")
    (folder / "model.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match="model.safetensors is not a readable checkpoint"):
        MertEncoder.from_pretrained(folder, layers=(1,))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="neither model.safetensors nor pytorch_model.bin"):
        MertEncoder.from_pretrained(folder, layers=(1,))
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="config.json is not valid JSON"):
        MertEncoder.from_pretrained(folder, layers=(1,))


@pytest.mark.parametrize(
    "missing", ["encoder.layers.1.attention.k_proj.weight", "encoder.pos_conv_embed.conv.weight_g"]
)
def test_incomplete_checkpoint_is_refused(copy, missing):
    folder = copy()
    weights = load_file(folder / "model.safetensors")
    del weights[missing]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelError, match="does not hold the weights") as caught:
        MertEncoder.from_pretrained(folder, layers=(2,))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "windows, reason",
    [
        (torch.zeros(24000), "shape"),
        (torch.zeros(1, 2, 24000), "shape"),
        (torch.zeros(1, 0), "shape"),
        (torch.zeros(1, 24000, dtype=torch.int16), "floating-point"),
        (torch.full((1, 24000), float("nan")), "NaN"),
        (torch.full((1, 24000), float("inf")), "infinite"),
        (torch.zeros(1, 1), "too short"),
        (torch.zeros(1, 399), "needs 400"),
    ],
)
def test_bad_windows_are_refused(encoder, windows, reason):
    with pytest.raises(ModelError, match=reason):
        encoder(windows)


def test_shortest_window_and_silence_are_finite(encoder):
    assert encoder(torch.zeros(2, 400)).isfinite().all()
    assert encoder(torch.zeros(1, 24000)).isfinite().all()


@pytest.mark.parametrize(
    "settings",
    [
        *[{"num_hidden_layers": value} for value in (10**7, 0, "2", float("nan"))],
        *[{"hidden_size": 10**9}, {"conv_dim": [16] * 10_000}, {"conv_dim": 5}, {"conv_stride": [0] * 7}],
        *[{"sample_rate": value} for value in (10**9, 0, float("nan"))],
    ],
    ids=lambda each: str(each)[:40],
)
def test_absurd_sizes_are_refused_before_the_network_is_made(copy, monkeypatch, settings):
    monkeypatch.delattr("modeling_m2e.encoder_m2e.build")
    folder = copy(**settings)
    (folder / "preprocessor_config.json").unlink(missing_ok=True)  # its rate would count
    with pytest.raises(ModelError, match="give a|is no list of at most"):
        MertEncoder.from_pretrained(folder, layers=(1,))
