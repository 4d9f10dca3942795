"""Encoders of transformers on tiny random networks of every family: states, pooling, loading, training a student."""

import json
import math

import numpy as np
import pytest
import soundfile
import tiny
import torch
import transformers

from m2e.errors import ModelError
from m2e.publish.card import _encoder
from modeling_m2e import M2EConfig, M2EForMusicEmotion, M2EProcessor
from modeling_m2e.encoder_m2e import load_encoder
from modeling_m2e.encoder_transformers_m2e import FAMILIES, PINNED, TransformersEncoder

WAVE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
WAVE_EXTRACTOR = {"sampling_rate": 16000, "do_normalize": True}
WHISPER = {"d_model": 32, "encoder_layers": 3, "decoder_layers": 1, "encoder_attention_heads": 2}
WHISPER |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_source_positions": 100}
WHISPER |= {"vocab_size": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
AST = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "max_length": 128}
CLAP = {"depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2], "patch_embeds_hidden_size": 8, "hidden_size": 64}
CLAP |= {"spec_size": 128, "window_size": 4}
TINY = {
    "hubert": ("HubertConfig", WAVE, WAVE_EXTRACTOR),
    "wav2vec2": ("Wav2Vec2Config", WAVE | {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}, WAVE_EXTRACTOR),
    "wavlm": ("WavLMConfig", WAVE, WAVE_EXTRACTOR),
    "data2vec-audio": ("Data2VecAudioConfig", WAVE | {"num_conv_pos_embeddings": 2}, WAVE_EXTRACTOR),
    "whisper": ("WhisperConfig", WHISPER, {"chunk_length": 2}),
    "audio-spectrogram-transformer": ("ASTConfig", AST, {"max_length": 128}),
    "clap": ("ClapConfig", CLAP, {"truncation": "rand_trunc", "max_length_s": 2}),
}
TEXT = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 20}


def save(family, folder, **weights):
    """A whole network of the family and its extractor, as published."""
    name, sizes, extractor = TINY[family]
    config_class = getattr(transformers, name)
    if family == "clap":
        config = config_class(audio_config=sizes, text_config=TEXT, projection_dim=8)
        network = transformers.ClapModel
    else:
        config, network = config_class(**sizes), getattr(transformers, FAMILIES[family].network)
    torch.manual_seed(0)
    model = network(config)
    model.save_pretrained(folder, **weights)
    getattr(transformers, FAMILIES[family].extractor)(**extractor).save_pretrained(folder)
    return model.eval()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    for family in TINY:
        save(family, root / family)
    return root


def audio(encoder, seconds, n=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(n, round(seconds * encoder.sampling_rate), generator=generator)


def published_states(family, folder, encoder, windows):
    """All hidden states by the network itself."""
    family = FAMILIES[family]
    model = getattr(transformers, family.network).from_pretrained(folder).eval()
    for name in filter(None, family.part.split(".")):
        model = getattr(model, name)
    inputs = encoder.extractor(list(windows.numpy()), sampling_rate=encoder.sampling_rate, return_tensors="pt")
    with torch.no_grad():
        return model(inputs[model.main_input_name], output_hidden_states=True).hidden_states


@pytest.mark.parametrize("family", TINY)
def test_states_are_those_of_the_network_and_nothing_above_is_computed(family, folders):
    encoder = TransformersEncoder.from_pretrained(folders / family, layers=(2, 0, 1))
    windows = audio(encoder, 1.0)
    states, wanted = encoder.hidden_states(windows), published_states(family, folders / family, encoder, windows)
    for layer, state in zip((2, 0, 1), states, strict=True):
        state = state.mT.reshape(wanted[layer].shape) if family == "clap" else state  # theirs is an image
        torch.testing.assert_close(state, wanted[layer], atol=2e-5, rtol=1e-4)
    deep = TransformersEncoder.from_pretrained(folders / family, layers=(1,))
    stack = deep.family.layers
    assert not [name for name, _ in deep.model.named_modules() if name == f"{stack}.1"]
    assert torch.equal(deep.hidden_states(windows)[0], states[2])


@pytest.mark.parametrize("family", TINY)
def test_embeddings(family, folders):
    encoder = TransformersEncoder.from_pretrained(folders / family, layers=(1, 3))
    windows = audio(encoder, 1.0, n=3)
    embeddings = encoder(windows)
    assert embeddings.shape == (3, encoder.hidden_size) and embeddings.dtype == torch.float32
    torch.testing.assert_close(torch.cat([encoder(each[None]) for each in windows]), embeddings, atol=2e-5, rtol=1e-4)
    assert encoder(windows[:0]).shape == (0, encoder.hidden_size)
    assert encoder(torch.zeros(1, encoder.sampling_rate)).isfinite().all()
    assert encoder(audio(encoder, 0.5)).isfinite().all()
    with pytest.raises(ModelError, match="too short"):
        encoder(torch.ones(1, 20))
    with pytest.raises(ModelError, match="NaN"):
        encoder(torch.full((1, 8000), torch.nan))


@pytest.mark.parametrize("family", ["whisper", "audio-spectrogram-transformer", "clap"])
def test_a_long_window_is_the_mean_of_its_parts(family, folders):
    encoder = TransformersEncoder.from_pretrained(folders / family, layers=(2,))
    parts = encoder._native / encoder.sampling_rate
    windows = audio(encoder, 1.5 * parts, n=2)
    half = windows.shape[1] // 2
    wanted = (encoder(windows[:, :half]) + encoder(windows[:, half : 2 * half])) / 2
    torch.testing.assert_close(encoder(windows), wanted, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["whisper", "audio-spectrogram-transformer"])
def test_what_a_short_window_is_padded_with_is_not_pooled(family, folders):
    encoder = TransformersEncoder.from_pretrained(folders / family, layers=(0,))
    windows = audio(encoder, 0.5 * encoder._native / encoder.sampling_rate)
    (state,) = encoder.hidden_states(windows)
    if family == "whisper":
        wanted = state[:, :50].mean(1)
    else:
        wanted = state[:, 2:].unflatten(1, (12, -1)).mean(1)[:, : math.ceil((128 - 16) // 10 + 1) // 2].mean(1)
    torch.testing.assert_close(encoder(windows), wanted)


@pytest.mark.parametrize("family", TINY)
def test_precision_and_settings(family, folders):
    encoder = TransformersEncoder.from_pretrained(folders / family, layers=(1,))
    half = TransformersEncoder.from_pretrained(folders / family, layers=(1,), dtype="bfloat16")
    windows = audio(encoder, 1.0)
    assert half(windows).dtype == torch.float32
    assert (half(windows) - encoder(windows)).norm() < 0.1 * encoder(windows).norm()
    again = TransformersEncoder.from_pretrained(folders / family, layers=(1,))
    assert again.settings() == encoder.settings() != half.settings()
    assert json.loads(json.dumps(encoder.settings())) == encoder.settings()
    again.extractor.sampling_rate = 44100
    assert again.settings() != encoder.settings()


@pytest.mark.parametrize("family", TINY)
def test_a_model_is_saved_and_loaded_with_it(family, folders, tmp_path):
    reference = {"type": "transformers", "id": str(folders / family), "layers": [1, 2]}
    encoder = load_encoder(reference)
    assert encoder.reference() == reference | {"revision": None}
    processor = M2EProcessor.build(encoder)
    soundfile.write(tmp_path / "a.wav", tiny.waveform(2.0), tiny.SAMPLING_RATE)
    config = M2EConfig.default(["a"], embedding_size=encoder.hidden_size, use_harmony=False)
    M2EForMusicEmotion(config).save_pretrained(tmp_path / "model")
    processor.save_pretrained(tmp_path / "model")
    again = M2EProcessor.from_pretrained(tmp_path / "model")
    track, wanted = again.analyze(tmp_path / "a.wav"), processor.analyze(tmp_path / "a.wav")
    assert torch.equal(track.embeddings, wanted.embeddings)
    assert not (tmp_path / "model" / "encoder").exists()


# --- loading ---


def test_checkpoints_of_other_layouts(folders, tmp_path):
    model = save("hubert", tmp_path / "bin")
    (tmp_path / "bin" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "bin" / "pytorch_model.bin")
    save("hubert", tmp_path / "shards", max_shard_size="20KB")
    assert (tmp_path / "shards" / "model.safetensors.index.json").is_file()
    encoder = TransformersEncoder.from_pretrained(folders / "hubert", layers=(1,))
    windows = audio(encoder, 1.0)
    for name in ("bin", "shards"):
        other = TransformersEncoder.from_pretrained(tmp_path / name, layers=(1,))
        assert torch.equal(other(windows), encoder(windows))


def test_the_audio_tower_alone(folders, tmp_path):
    tower = transformers.ClapAudioModelWithProjection.from_pretrained(folders / "clap")
    tower.save_pretrained(tmp_path)
    transformers.ClapFeatureExtractor(**TINY["clap"][2]).save_pretrained(tmp_path)
    encoder, whole = (TransformersEncoder.from_pretrained(each, layers=(4,)) for each in (tmp_path, folders / "clap"))
    windows = audio(encoder, 1.0)
    assert torch.equal(encoder(windows), whole(windows))


class Trap:
    def __reduce__(self):
        return (print, ("the pickle was run",))


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("config.json", None, "has no config.json"),
        ("config.json", "{", "not valid JSON"),
        ("config.json", {"model_type": "mert_model"}, "encoders of transformers are hubert, wav2vec2"),
        ("config.json", {"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
        ("config.json", {"hidden_size": "many"}, "published"),
        ("config.json", {"hidden_size": 64}, "published"),
        ("config.json", {"auto_map": {"AutoConfig": "evil.Config"}, "model_type": "evil"}, "is a 'evil' model"),
        ("preprocessor_config.json", None, "has no preprocessor_config.json"),
        ("preprocessor_config.json", {"sampling_rate": 0}, "sampling_rate is 0"),
        ("model.safetensors", None, "neither model.safetensors nor pytorch_model.bin"),
        ("model.safetensors", "words", "published"),
    ],
)
def test_damaged_repositories_end_in_one_sentence(tmp_path, file, content, expected):
    folder = tmp_path / "published"
    save("hubert", folder)
    path = folder / file
    if isinstance(content, dict):
        path.write_text(json.dumps(json.loads(path.read_text()) | content))
    elif content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(ModelError, match=expected) as raised:
        TransformersEncoder.from_pretrained(folder, layers=(1,))
    assert "\n" not in str(raised.value)


def test_pickles_and_missing_weights_are_refused(tmp_path, capsys):
    model = save("hubert", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"x": Trap()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError):
        TransformersEncoder.from_pretrained(tmp_path, layers=(1,))
    assert "the pickle was run" not in capsys.readouterr().out
    state = {name: value for name, value in model.state_dict().items() if "layers.1.attention" not in name}
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="lacks weights of its network, the first is encoder.layers.1"):
        TransformersEncoder.from_pretrained(tmp_path, layers=(2,))


def test_references_and_layers(folders):
    with pytest.raises(ModelError, match="needs an id and layers"):
        load_encoder({"type": "transformers", "id": "x"})
    with pytest.raises(ModelError, match="hidden states 0 to 3"):
        TransformersEncoder.from_pretrained(folders / "hubert", layers=(4,))
    with pytest.raises(ModelError, match="hidden states 0 to 4"):
        TransformersEncoder.from_pretrained(folders / "clap", layers=(5,))
    encoder = TransformersEncoder.from_pretrained(folders / "hubert", layers=(1,))
    encoder.name = None
    with pytest.raises(ModelError, match="bare model"):
        encoder.reference()
    assert all(len(commit) == 40 for commit in PINNED.values())


def test_threads_do_not_share_states(folders):
    from concurrent.futures import ThreadPoolExecutor

    encoder = TransformersEncoder.from_pretrained(folders / "hubert", layers=(0, 3))
    several = [audio(encoder, 0.5, n=1, seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(encoder, several))
    assert np.allclose(torch.cat(together), torch.cat([encoder(each) for each in several]), atol=1e-5)


def test_a_student_learns_on_it(folders, tmp_path):
    pytest.importorskip("accelerate")
    pytest.importorskip("datasets")
    import train
    from m2e import load

    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", tiny.waveform(2.0, number), tiny.SAMPLING_RATE)
    rows = [f"{n}.wav,{['happy', 'sad'][n % 2]},{['train', 'train', 'validation', 'test'][n % 4]}" for n in range(6)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,moods,split", *rows]))
    settings = [
        f"encoder.id={folders / 'clap'}",
        'datasets={"mine": {"reader": "folder", "teacher": "own"}}',
        "calibrate=false",
    ]
    settings += ["training.epochs=1", "name=on-clap"]
    places = ["--data", str(tmp_path), "--features", str(tmp_path / "features"), "--out", str(tmp_path / "out")]
    train.main([str(tiny.ROOT / "configuration" / "clap.yaml"), *places, "--set", *settings])
    pipe = load(tmp_path / "out")
    assert pipe.model.config.embedding_size == 128 == pipe.processor.encoder.hidden_size
    assert len(pipe(str(tmp_path / "0.wav")).moods) == 2
    assert f"hidden states 3, 4 of [{folders / 'clap'}]" in (tmp_path / "out" / "README.md").read_text()


def test_the_card_names_it_and_its_terms(tmp_path):
    reference = {"type": "transformers", "id": "laion/larger_clap_music", "revision": "a" * 40, "layers": [3, 4]}
    what, terms = _encoder(tmp_path, reference)
    assert "CLAP (Wu et al., ICASSP 2023), hidden states 3, 4" in what and "a" * 40 in what
    assert "Apache 2.0" in terms and "commercial" not in terms
    assert "someone/else" in _encoder(tmp_path, reference | {"id": "someone/else"})[1]
