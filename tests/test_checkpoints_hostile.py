"""Models of strangers: no code that their files name is run, and absurd configurations cost no memory and no time."""

import builtins
import json
import os
import shutil
import sys

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

import m2e
from m2e.checkpoints.chords import load_chords
from m2e.errors import ModelError
from modeling_m2e import M2EConfig, M2EForMusicEmotion, M2EProcessor, MusicEmotionPipeline, TaggerEncoder
from modeling_m2e.chords_m2e import ChordRecognizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny-model"
    tiny.pipeline().save_pretrained(path)
    return path


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def change(path, **settings):
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | settings))


# --- code ---

CODE = "open({marker!r}, 'a').close()\nclass Evil:\n    from_pretrained = classmethod(lambda cls, *a, **k: cls())\n"
AUTO_MAP = {
    name: "evil.Evil"
    for name in (
        "AutoConfig",
        "AutoModel",
        "AutoFeatureExtractor",
        "AutoProcessor",
        "AutoTokenizer",
        "AutoVideoProcessor",
    )
}
EXTRACTOR = {"auto_map": AUTO_MAP, "feature_extractor_type": "Evil", "sampling_rate": 16000, "window_seconds": 3.0}


def config(path):
    change(path / "config.json", auto_map=AUTO_MAP, custom_pipelines={"music-emotion": {"impl": "evil.Evil"}})


def config_without_type(path):
    config(path)
    content = json.loads((path / "processor_config.json").read_text())
    del content["feature_extractor"]["feature_extractor_type"]
    (path / "processor_config.json").write_text(json.dumps(content))


def processor(path):
    change(path / "processor_config.json", auto_map=AUTO_MAP, processor_class="Evil")


def extractor(path):
    change(path / "processor_config.json", feature_extractor=EXTRACTOR)


def extractor_without_type(path):
    nameless = {name: value for name, value in EXTRACTOR.items() if name != "feature_extractor_type"}
    change(path / "processor_config.json", feature_extractor=nameless)


def audio_tokenizer(path):
    named = {"audio_tokenizer_class": "AutoModel", "audio_tokenizer_name_or_path": str(path / "other")}
    other = path / "other"
    other.mkdir()
    change(other / "config.json", model_type="evil", auto_map=AUTO_MAP)
    shutil.copy(path / "evil.py", other)
    change(path / "processor_config.json", audio_tokenizer=named)


def audio_tokenizer_file(path):
    audio_tokenizer(path)
    content = json.loads((path / "processor_config.json").read_text())
    change(path / "audio_tokenizer_config.json", **content.pop("audio_tokenizer"))
    (path / "processor_config.json").write_text(json.dumps(content))


def preprocessor(path):
    change(path / "preprocessor_config.json", **EXTRACTOR)


def tokenizer(path):
    change(path / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]}, tokenizer_class="Evil")


def generation(path):
    change(path / "generation_config.json", auto_map=AUTO_MAP, custom_generate="evil")
    (path / "custom_generate").mkdir()
    shutil.copy(path / "evil.py", path / "custom_generate" / "generate.py")


def chords(path):
    change(path / "chords" / "config.json", auto_map=AUTO_MAP)
    shutil.copy(path / "evil.py", path / "chords")


def encoder(path):
    change(path / "encoder" / "config.json", auto_map=AUTO_MAP)
    shutil.copy(path / "evil.py", path / "encoder")


NAMED_IN = [
    *(config, config_without_type, processor, extractor, extractor_without_type, audio_tokenizer),
    *(audio_tokenizer_file, preprocessor, tokenizer, generation, chords, encoder),
]


@pytest.mark.parametrize("names_code", NAMED_IN, ids=lambda each: each.__name__)
def test_code_that_a_file_names_is_neither_run_nor_offered(copy, tmp_path, monkeypatch, names_code):
    marker = tmp_path / "code was run"
    (copy / "evil.py").write_text(CODE.format(marker=str(marker)))
    names_code(copy)
    questions = []

    def ask(question=""):
        questions.append(question)
        raise EOFError  # as with a closed stdin

    monkeypatch.setattr(builtins, "input", ask)
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        track = (tiny.waveform(4.0), tiny.SAMPLING_RATE)
        assert m2e.load(copy, device="cpu")(track).error is None
        assert MusicEmotionPipeline.from_pretrained(copy, "cpu", trust_remote_code=True)(track).error is None
        assert isinstance(M2EProcessor.from_pretrained(copy, trust_remote_code=True), M2EProcessor)
        M2EForMusicEmotion.from_pretrained(copy)
        ChordRecognizer.from_pretrained(copy)
        TaggerEncoder.from_pretrained(copy)
        assert load_chords(copy)(track).error is None
    assert questions == [] and not marker.exists()
    assert not [name for name in sys.modules if "evil" in name]


def test_a_kernel_of_a_repo_is_not_loaded(copy):
    for name in ("attn_implementation", "_attn_implementation"):
        with pytest.raises(ModelError, match=f"{name} is 'someone/kernel'"):
            M2EConfig(**{name: "someone/kernel"})
    change(copy / "chords" / "config.json", attn_implementation="someone/kernel")
    with pytest.raises(ModelError, match="chords/config.json is wrong .*'someone/kernel'"):
        m2e.load(copy)


# --- configurations ---

NAN, INF = float("nan"), float("inf")
ABSURD = [
    *[("config.json", {name: 10**7}) for name in ("chord_layers", "embedding_size", "fusion_size", "branch_size")],
    *[("config.json", {name: 10**9}) for name in ("num_root_tokens", "max_chords", "num_harmony_statistics")],
    *[("config.json", {"num_members": value}) for value in (10**6, -1, 1.5, "2", True, NAN)],
    ("config.json", {"num_labels": 10**9, "id2label": None}),
    ("config.json", {"fusion_size": 16384, "num_members": 100, "embedding_size": 65536}),
    *[("config.json", {"mood_scale": value}) for value in ([NAN] * 56, [INF] * 56, 5, ["x"] * 56)],
    *[("config.json", {"mood_offset": [NAN] * 56}), ("config.json", {"mood_thresholds": [NAN] * 56})],
    *[("config.json", {name: NAN}) for name in ("va_min", "va_max", "neutral_valence", "neutral_arousal", "dropout")],
    ("config.json", {"va_min": 9.0, "va_max": 1.0}),
    ("config.json", {"chord_heads": 0}),
    ("config.json", {"id2label": {"1": "calm", "2": "sad"}}),
    ("config.json", {"dtype": "hub"}),
    *[("chords/config.json", {name: 0}) for name in ("num_frames", "hidden_size", "num_bins")],
    *[("chords/config.json", {name: 10**7}) for name in ("num_hidden_layers", "num_frames", "kernel_size")],
    *[("chords/config.json", {"feature_std": value}) for value in (0, NAN, INF)],
    ("chords/config.json", {"feature_mean": NAN}),
    *[("encoder/config.json", {"sampling_rate": value}) for value in (10**9, 0, NAN)],
    *[("processor_config.json", {"windows_per_batch": value}) for value in (0, -1, 10**9, 1.5, "1")],
    ("processor_config.json", {"chord_vocabulary": "other"}),
    ("processor_config.json", {"encoder_reference": [1]}),
    *[("processor_config.json", {"feature_extractor": {"sampling_rate": value}}) for value in (10**9, 0, "x")],
    *[("processor_config.json", {"feature_extractor": {"window_seconds": value}}) for value in (10**9, 0, NAN, INF)],
    *[("processor_config.json", {"feature_extractor": value}) for value in (-1, "../../etc/passwd", [1])],
    *[(file, {"dtype": value}) for file in ("config.json", "encoder/config.json") for value in ([], {}, 3)],
    *[(file, {"model_type": value}) for file in ("chords/config.json", "encoder/config.json") for value in ([], {})],
]


@pytest.mark.parametrize(("file", "settings"), ABSURD, ids=lambda each: str(each)[:60])
def test_absurd_numbers_are_refused_before_a_network_is_made(copy, monkeypatch, file, settings):
    def made(*args, **kwargs):
        raise AssertionError("a network was made")

    change(copy / file, **settings)
    if file != "processor_config.json":  # which is read after the model
        monkeypatch.setattr(M2EForMusicEmotion, "__init__", made)
    with pytest.raises(ModelError) as error:
        m2e.load(copy, device="cpu")
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "chords/config.json"])
def test_deep_nesting_is_damage(copy, file):
    (copy / file).write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(ModelError, match="is damaged"):
        m2e.load(copy)


# --- weights ---


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("part", [".", "chords", "encoder"])
def test_weights_that_are_not_finite_are_refused(copy, part, value):
    path = copy / part / "model.safetensors"
    tensors = load_file(path)
    for name in tensors:
        if tensors[name].is_floating_point() and tensors[name].numel() > 1:
            tensors[name].view(-1)[1] = value
            break
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"has weights that are not finite, the first are .*{name}"):
        m2e.load(copy)
    if part == "chords":
        with pytest.raises(ModelError, match="not finite"):
            load_chords(copy)


@pytest.mark.parametrize(
    ("value", "words"), [(NAN, "not finite"), (INF, "not finite"), (0.0, "not above 0"), (-1.0, "not above 0")]
)
def test_statistics_that_cannot_be_are_refused(copy, value, words):
    path = copy / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("embedding_std"))
    tensors[name] = torch.full_like(tensors[name], value)
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=words):
        m2e.load(copy)


# --- tracks that are too long ---


def test_longer_tracks_than_allowed_are_refused(folder):
    pipe = m2e.load(folder, device="cpu", max_duration=5.0)
    assert pipe((tiny.waveform(4.0), tiny.SAMPLING_RATE)).error is None
    with pytest.raises(m2e.AudioError, match="is longer than 5 seconds; give a part of it."):
        pipe((tiny.waveform(6.0), tiny.SAMPLING_RATE))


def test_a_track_is_stopped_at_the_time_limit(folder):
    with pytest.raises(m2e.AudioError, match="takes longer than 1e-09 seconds; give a shorter track."):
        m2e.load(folder, device="cpu", timeout=1e-9)((tiny.waveform(6.0), tiny.SAMPLING_RATE))
