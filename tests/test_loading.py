"""A saved model predicts the same wherever it is loaded, with this package or without."""

import io
import json
import sys

import numpy as np
import pytest
import soundfile as sf
import tiny
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoProcessor

import modeling_m2e
from m2e.errors import ModelError
from modeling_m2e import M2EConfig, M2EForMusicEmotion, M2EProcessor, MusicEmotionPipeline
from modeling_m2e.key_m2e import key_segments

RATE = tiny.SAMPLING_RATE
LONG, SHORT = tiny.waveform(7.3, seed=1), tiny.waveform(4.0, seed=2)  # windows of 3 s: 2 and a tail, 1 and a tail


def answer(record) -> dict:
    """A record without the names of track and model, numbers exact."""
    moods = [(mood.label, mood.score) for mood in record.moods]
    return {**record, "moods": moods, "va": (record.valence, record.arousal), "path": None, "model": None}


@pytest.fixture(scope="module")
def original() -> MusicEmotionPipeline:
    return tiny.pipeline()


@pytest.fixture(scope="module")
def folder(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny-model"
    original.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def answers(original) -> list[dict]:
    found = [answer(original((track, RATE))) for track in (LONG, SHORT)]
    assert found[0]["va"] != found[1]["va"] and len(found[0]["curve"]) == 3 and len(found[1]["curve"]) == 2
    assert len(found[0]["chords"]) > len(found[1]["chords"]) > 1  # the batches below are ragged
    return found


# --- where the package is imported ---


def repo_modules() -> set[str]:
    return {name for name in sys.modules if name.startswith("transformers_modules.")}


def test_auto_classes_are_the_installed_ones(original, folder):
    before = repo_modules()
    assert type(AutoConfig.from_pretrained(folder)) is M2EConfig
    model, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    assert type(model) is M2EForMusicEmotion and type(processor) is M2EProcessor
    assert repo_modules() == before
    saved = original.model.state_dict()
    assert model.state_dict().keys() == saved.keys()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("arguments", [{"task": "music-emotion"}, {}, {"trust_remote_code": True}])
def test_pipeline_runs_no_code_of_the_repo(folder, answers, arguments):
    before = repo_modules()
    pipe = transformers.pipeline(model=str(folder), device="cpu", **arguments)
    assert type(pipe) is MusicEmotionPipeline and repo_modules() == before
    assert answer(pipe((LONG, RATE))) == answers[0]
    assert pipe((SHORT, RATE)).model == "tiny-model"


def test_what_is_saved_again_stays_loadable_by_anyone(folder, tmp_path):
    model = AutoModel.from_pretrained(folder)
    model.save_pretrained(tmp_path)
    first, again = (json.loads((path / "config.json").read_text()) for path in (folder, tmp_path))
    assert again["custom_pipelines"] == first["custom_pipelines"]
    assert first["custom_pipelines"]["music-emotion"]["impl"] == "pipeline_m2e.MusicEmotionPipeline"
    assert again["auto_map"] == first["auto_map"]


def test_what_is_saved_names_the_code_as_this_package_does(folder):
    config, processor = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "processor_config"))
    assert config["auto_map"] == modeling_m2e.auto_map("m2e", "AutoConfig", "AutoModel")
    assert config["custom_pipelines"] == modeling_m2e.CUSTOM_PIPELINES
    assert processor["auto_map"] == modeling_m2e.auto_map("m2e", "AutoProcessor")
    extractor = processor["feature_extractor"]["auto_map"]
    assert extractor == modeling_m2e.auto_map("m2e", "AutoFeatureExtractor", "AutoProcessor")
    assert all(hasattr(modeling_m2e, name) for name in modeling_m2e.__all__)


# --- where it is not ---

ELSEWHERE = """
import json, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("m2e", "modeling_m2e"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
folder, threads, *tracks = sys.argv[1:]
import torch
torch.set_num_threads(int(threads))
from transformers import AutoConfig, AutoModel, AutoProcessor, pipeline

config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
with torch.no_grad():
    va = model(**processor(tracks[0])).va[0].tolist()
pipe = pipeline("music-emotion", model=folder, trust_remote_code=True)
records = [pipe(track) for track in tracks]
print(json.dumps({
    "classes": [type(part).__module__ for part in (config, model, processor, processor.feature_extractor, pipe)],
    "va": va,
    "records": [{**r, "moods": [(m.label, m.score) for m in r.moods], "va": (r.valence, r.arousal)} for r in records],
}))
"""


def test_loads_where_the_package_is_not_installed(folder, answers, tmp_path):
    for name, track in (("long.wav", LONG), ("short.wav", SHORT)):
        sf.write(tmp_path / name, track, RATE, subtype="FLOAT")
    tracks = [str(tmp_path / "long.wav"), str(tmp_path / "short.wav")]
    home = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    done = tiny.run(ELSEWHERE, str(folder), str(torch.get_num_threads()), *tracks, **home)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(name.startswith("transformers_modules.") for name in found["classes"])
    expected = json.loads(json.dumps(answers))  # tuples become lists
    assert [record | {"path": None, "model": None} for record in found["records"]] == expected
    assert found["va"] == expected[0]["va"]
    assert [record["path"] for record in found["records"]] == tracks


# --- what goes in ---


@pytest.fixture
def wav(tmp_path):
    sf.write(tmp_path / "track.wav", LONG, RATE, subtype="FLOAT")
    return tmp_path / "track.wav"


FORMS = {
    "path": lambda wav: wav,
    "string": str,
    "bytes": lambda wav: wav.read_bytes(),
    "file": lambda wav: io.BytesIO(wav.read_bytes()),
    "tuple": lambda wav: (LONG, RATE),
    "stereo": lambda wav: (np.stack([LONG, LONG]), RATE),
    "tensor": lambda wav: (torch.from_numpy(LONG), RATE),
    "array": lambda wav: {"array": LONG, "sampling_rate": RATE},
    "raw": lambda wav: {"raw": LONG, "sampling_rate": RATE},
    "datasets bytes": lambda wav: {"bytes": wav.read_bytes(), "path": "track.wav"},
    "datasets path": lambda wav: {"bytes": None, "path": str(wav)},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_audio_is_the_same_track(original, answers, wav, form):
    assert answer(original(FORMS[form](wav))) == answers[0]


def test_open_file(original, answers, wav):
    with open(wav, "rb") as file:
        assert answer(original(file)) == answers[0]


def test_many_tracks(original, answers, wav):
    tracks = [str(wav), (SHORT, RATE), {"array": LONG, "sampling_rate": RATE}]
    expected = [answers[0], answers[1], answers[0]]
    records = original(tracks)
    assert isinstance(records, list) and [answer(record) for record in records] == expected
    assert [record.path for record in records] == [str(wav), "<array>", "<array>"]
    for lazy in ((track for track in tracks), iter(tracks), map(str, [wav])):
        streamed = original(lazy)
        assert not isinstance(streamed, list)
        assert [answer(record) for record in streamed] == expected[: 1 if isinstance(lazy, map) else 3]
    assert original([]) == []


def test_column_of_a_dataset(original, answers, wav):
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_dict({"audio": [str(wav), str(wav)]})
    assert [answer(record) for record in original(dataset["audio"])] == [answers[0]] * 2
    undecoded = dataset.cast_column("audio", datasets.Audio(decode=False))
    assert [answer(record) for record in original(undecoded["audio"])] == [answers[0]] * 2
    mapped = dataset.map(lambda row: {"valence": original(row["audio"])["valence"]})
    assert mapped["valence"][0] == answers[0]["valence"]


@pytest.mark.parametrize("seconds", [(7.3, 4.0), (6.0, 3.0), (6.03, 1.2)], ids=["tails", "no tails", "short"])
def test_batches_change_nothing(original, seconds):
    tracks = [(tiny.waveform(length, seed), RATE) for seed, length in enumerate(seconds)]
    alone = [original(track) for track in tracks]
    for batched in (original(tracks, batch_size=2), original(tracks[::-1], batch_size=2)[::-1]):
        for one, other in zip(alone, batched, strict=True):
            assert other.valence == pytest.approx(one.valence, abs=1e-5)
            assert other.arousal == pytest.approx(one.arousal, abs=1e-5)
            assert {m.label: m.score for m in other.moods} == pytest.approx(
                {m.label: m.score for m in one.moods}, abs=1e-5
            )
            assert other.chords == one.chords and other.key == one.key and len(other.curve) == len(one.curve)
            for point, single in zip(other.curve, one.curve, strict=True):
                assert (point.start, point.end) == (single.start, single.end)
                assert (point.valence, point.arousal) == pytest.approx((single.valence, single.arousal), abs=1e-5)


def test_windows_are_batched_too(original, answers):
    pipe = MusicEmotionPipeline(model=original.model, processor=original.processor)
    pipe.processor.windows_per_batch = 4
    try:
        record = pipe((LONG, RATE))
    finally:
        pipe.processor.windows_per_batch = 1
    assert (record.valence, record.arousal) == pytest.approx(answers[0]["va"], abs=1e-5)


def test_parameters(original, answers):
    best = original((LONG, RATE), top_k=3)
    assert [(mood.label, pytest.approx(mood.score, abs=1e-6)) for mood in best.moods] == answers[0]["moods"][:3]
    assert best.selected_moods == answers[0]["selected_moods"]
    keys = original((LONG, RATE), key_segments=True)
    assert keys.key_segments == key_segments(keys.chords, keys.key)
    assert {name: value for name, value in keys.items() if name != "key_segments"} == dict(original((LONG, RATE)))
    without = original((LONG, RATE), harmony=False)
    assert without.chords is None and without.key is None and without.valence != answers[0]["va"][0]
    with pytest.raises(TypeError, match="top_k, harmony, key_segments, include_embedding, .* progress and errors"):
        original((LONG, RATE), topk=3)


def test_features_alone_give_the_same_record(original, answers):
    track = original.processor.analyze((LONG, RATE))
    assert answer(original.predict_features(track)) == answers[0]


def test_parameters_of_a_loaded_pipeline(folder, answers):
    pipe = MusicEmotionPipeline.from_pretrained(
        folder, "cpu", window_seconds=2.0, windows_per_batch=3, harmony=False, key_segments=True
    )
    assert (pipe.processor.feature_extractor.window_seconds, pipe.processor.windows_per_batch) == (2.0, 3)
    record = pipe((LONG, RATE))
    assert record.chords is None and [point.end for point in record.curve][:2] == [2.0, 4.0]
    asked = pipe((LONG, RATE), harmony=True)
    assert asked.key_segments == key_segments(asked.chords, asked.key)
    assert pipe.predict_features(pipe.processor.analyze((LONG, RATE))).key_segments == asked.key_segments
    unchanged = MusicEmotionPipeline.from_pretrained(folder, "cpu")
    assert answer(unchanged((LONG, RATE))) == answers[0]


# --- what must not go unnoticed ---


def test_model_without_chord_recogniser(tmp_path):
    tiny.pipeline(chords=False).save_pretrained(tmp_path)
    assert not (tmp_path / "chords").exists()
    record = MusicEmotionPipeline.from_pretrained(tmp_path)((SHORT, RATE))
    assert record.chords is None and record.key is None and record.valence is not None


def test_missing_weights_are_an_error(folder, tmp_path, original):
    original.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["va_branch.0.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="lacks weights of the model, the first is va_branch.0.weight"):
        MusicEmotionPipeline.from_pretrained(tmp_path)


def test_processor_of_another_model_is_an_error(original):
    config = M2EConfig.paper(embedding_size=original.model.config.embedding_size)
    with pytest.raises(ModelError, match="'m2e' chord tokens"):
        MusicEmotionPipeline(model=M2EForMusicEmotion(config), processor=original.processor)


def test_the_mean_embedding_is_weighted_by_duration(original):
    asked = original((LONG, RATE), include_embedding=True)
    track = original.processor.analyze((LONG, RATE))
    weights = np.array([window.weight for window in track.windows])
    assert weights[-1] < 1
    expected = (weights[:, None] * track.embeddings.numpy()).sum(axis=0) / weights.sum()
    assert asked.embedding.dtype == np.float32 and asked.embedding.shape == (original.processor.encoder.hidden_size,)
    np.testing.assert_allclose(asked.embedding, expected, rtol=1e-5, atol=1e-6)


def test_an_embedding_is_no_part_of_the_mapping(original):
    plain, asked = original((SHORT, RATE)), original((SHORT, RATE), include_embedding=True)
    assert plain.embedding is None and asked == plain
    assert asked.to_json() == plain.to_json() and "embedding" not in asked
