"""Folders that version 0.1.0 wrote before its code was regrouped: a tiny model, its record, and cached features."""

import json
import shutil
from pathlib import Path

import pytest
import tiny

import m2e
from m2e.features import read_features
from m2e.features.cache import cached_features

BEFORE = Path(__file__).resolve().parent / "fixtures" / "before"


@pytest.fixture(scope="module")
def pipe():
    return m2e.load(BEFORE / "model", device="cpu")


def test_a_model_folder_gives_the_record_that_it_gave(pipe):
    record = pipe((tiny.waveform(8.0), tiny.SAMPLING_RATE)).to_dict()
    expected = json.loads((BEFORE / "record.json").read_text(encoding="utf-8"))
    for name in ("valence", "arousal", "duration"):
        assert record[name] == pytest.approx(expected[name], abs=2e-4)
    assert [record[name] for name in ("quadrant", "error")] == [expected["quadrant"], None]
    assert record["key"]["tonic"] == expected["key"]["tonic"] and len(record["chords"]) == len(expected["chords"])
    for ours, theirs in zip(record["chords"], expected["chords"], strict=True):
        assert ours["label"] == theirs["label"] and ours["start"] == pytest.approx(theirs["start"], abs=0.002)
    for ours, theirs in zip(record["curve"], expected["curve"], strict=True):
        assert list(ours.values()) == pytest.approx(list(theirs.values()), abs=2e-4)
    moods = {mood["label"]: mood["score"] for mood in record["moods"]}
    assert {mood["label"]: moods[mood["label"]] for mood in expected["moods"]} == pytest.approx(
        {mood["label"]: mood["score"] for mood in expected["moods"]}, abs=2e-4
    )


def test_a_feature_folder_is_used_and_nothing_is_computed_again(pipe, tmp_path):
    shutil.copytree(BEFORE / "features", tmp_path / "features")
    (features,) = cached_features(["clip"], [tmp_path / "absent.flac"], pipe.processor, tmp_path / "features", print)
    assert features is not None
    (read,) = read_features(BEFORE / "features").values()
    analysed = pipe.processor.analyze((tiny.waveform(8.0), tiny.SAMPLING_RATE))
    for each in (features, read):
        assert each.embeddings.numpy() == pytest.approx(analysed.embeddings.numpy(), abs=0.01)
        assert each.chords and analysed.chords
        assert [chord.label for chord in each.chords] == [chord.label for chord in analysed.chords]
