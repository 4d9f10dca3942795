"""The model in the package: its size, its card, its predictions, and its errors for bad input."""

import json

import numpy as np
import pytest
import soundfile as sf
import yaml
from transformers import pipeline
from typer.testing import CliRunner

import m2e
from m2e.checkpoints.load import embedded_model
from m2e.cli import app
from m2e.features.cache import encoder_fingerprint
from modeling_m2e.configuration_m2e import JAMENDO_MOODS

EXAMPLES = ("moonlight_sonata.ogg", "mountain_king.ogg", "entertainer.ogg")
# By the code that wrote the folder: valence, arousal, quadrant, key. Change them when the weights change.
PREDICTED_BEFORE = ((4.8337, 5.0676, "Q2", "C#"), (3.9843, 4.9428, "Q2", "B"), (5.9654, 5.7023, "Q1", "C"))
FEATURES_BEFORE = "e7bf55956d2a"  # the name of its folders of cached embeddings


@pytest.fixture(scope="module")
def examples(request):
    return request.config.rootpath / "examples"


@pytest.fixture(scope="module")
def pipe():
    return m2e.load(device="cpu")


@pytest.fixture(scope="module")
def records(pipe, examples):
    return {name: pipe(str(examples / name)) for name in EXAMPLES}


def test_the_task_alone_takes_this_model_and_says_nothing(pipe, examples, tmp_path, capfd):
    capfd.readouterr()
    plain = pipeline("music-emotion")
    assert capfd.readouterr() == ("", "")
    path = str(examples / EXAMPLES[0])
    assert plain(path)["valence"] == pytest.approx(pipe(path)["valence"], abs=1e-3)
    plain.save_pretrained(tmp_path)
    assert "default" not in (tmp_path / "config.json").read_text()


def test_weights_fit_in_15_mb():
    assert sum(path.stat().st_size for path in embedded_model().rglob("*.safetensors")) < 15e6


def test_card_metadata_equals_the_evaluation():
    text = (embedded_model() / "README.md").read_text()
    metadata = yaml.safe_load(text.split("---")[1])
    evaluation = json.loads((embedded_model() / "evaluation.json").read_text())
    metrics = metadata["model-index"][0]["results"][0]["metrics"]
    assert {m["type"]: m["value"] for m in metrics} == {
        m["type"]: round(evaluation["results"][0]["scores"][m["type"]], 4) for m in metrics
    }
    assert metadata["license"] == "cc-by-nc-sa-4.0"


def test_every_field_of_the_record_is_filled(records):
    for record in records.values():
        assert record.error is None and record.model == "m2e-small"
        assert 1 <= record.valence <= 9 and 1 <= record.arousal <= 9 and record.quadrant in ("Q1", "Q2", "Q3", "Q4")
        assert sorted(mood.label for mood in record.moods) == sorted(JAMENDO_MOODS)
        scores = [mood.score for mood in record.moods]
        assert scores == sorted(scores, reverse=True) and 0 <= scores[-1] and scores[0] <= 1
        assert record.chords[0].start == 0 and record.chords[-1].end == pytest.approx(record.duration, abs=0.1)
        assert record.duration - 2 < record.curve[-1].end <= record.duration + 0.01  # silence at the end is left out


def test_a_folder_from_before_gives_the_same_predictions(records):
    for name, (valence, arousal, quadrant, tonic) in zip(EXAMPLES, PREDICTED_BEFORE, strict=True):
        record = records[name]
        assert (record.valence, record.arousal) == pytest.approx((valence, arousal), abs=0.01)
        assert (record.quadrant, record.key.tonic) == (quadrant, tonic)


def test_embeddings_cached_before_are_used_again(pipe):
    assert encoder_fingerprint(pipe.processor) == FEATURES_BEFORE


def test_music_of_known_character_differs(records):
    slow, tense, merry = (records[name] for name in EXAMPLES)
    assert slow.arousal < merry.arousal and slow.attributes["energy"] < merry.attributes["energy"]
    assert "sad" in slow.selected_moods and "happy" in merry.selected_moods
    assert min(record.music for record in records.values()) > 0.9
    assert merry.valence > max(slow.valence, tense.valence)
    assert slow.key.mode == "minor" and merry.key.mode == "major"


def test_batches_and_harmony_change_nothing_else(pipe, records, examples):
    path = str(examples / EXAMPLES[0])
    first, second = pipe([path, str(examples / EXAMPLES[2])], batch_size=2)
    assert first.valence == pytest.approx(records[EXAMPLES[0]].valence, abs=1e-4)
    assert second.moods[0].label == records[EXAMPLES[2]].moods[0].label
    plain = pipe(path, harmony=False, top_k=3)
    assert plain.key is None and plain.chords is None and len(plain.moods) == 3 and 1 <= plain.valence <= 9


@pytest.mark.parametrize("seconds", [0.5, 3.0, 12.0])
def test_short_clips_work(pipe, seconds, examples):
    samples, rate = sf.read(examples / EXAMPLES[0], dtype="float32")
    record = pipe((samples[: int(seconds * rate)], rate))
    assert np.isfinite([record.valence, record.arousal]).all() and record.duration == pytest.approx(seconds, abs=0.01)


def test_bad_input_is_one_sentence_each_and_the_batch_goes_on(tmp_path):
    rate, rng = 22050, np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal(4 * rate)).astype(np.float32)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.mp3").write_text("this is a letter, not a song\n" * 50)
    sf.write(tmp_path / "whole.flac", noise, rate)
    (tmp_path / "cut.flac").write_bytes((tmp_path / "whole.flac").read_bytes()[:30000])
    holes = noise.copy()
    holes[100] = np.nan
    sf.write(tmp_path / "nan.wav", holes, rate, subtype="FLOAT")
    sf.write(tmp_path / "silence.wav", np.zeros(4 * rate, np.float32), rate)
    sf.write(tmp_path / "sample.wav", noise[:1], rate)
    sf.write(tmp_path / "eight.wav", np.repeat(noise[:, None], 8, axis=1), rate)
    sf.write(tmp_path / "slow.wav", noise[: 2 * rate], 8000)
    sf.write(tmp_path / "fast.wav", np.tile(noise, 5), 192000)
    sf.write(tmp_path / "song.mp3", noise, rate)
    whole = (tmp_path / "song.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(whole[: len(whole) // 3])
    missing = tmp_path / "missing.wav"
    good = {"whole.flac", "eight.wav", "slow.wav", "fast.wav", "song.mp3"}
    (tmp_path / "folder").mkdir()

    arguments = ["predict", str(tmp_path), str(missing), str(tmp_path / "folder"), "--format", "jsonl"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    rows = {row["path"].rsplit("/", 1)[-1]: row for row in map(json.loads, result.stdout.splitlines())}
    assert {name for name, row in rows.items() if row["error"] is None} == good
    failed = {name: row for name, row in rows.items() if row["error"]}
    assert set(failed) >= {"empty.wav", "text.mp3", "cut.flac", "nan.wav", "silence.wav", "sample.wav", "missing.wav"}
    for row in failed.values():
        assert row["valence"] is None and row["error"].count("\n") == 0 and row["error"].rstrip(".").count(". ") == 0
