"""All scores of a set of tracks at once."""

import json

import numpy as np
import pytest

from m2e.errors import DataError
from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import emotion_scores
from m2e.evaluation.score import SCORE_NAMES, score

TAGS = ["calm", "dark", "happy"]


@pytest.fixture(scope="module")
def tracks():
    """(labels, predictions) of 60 tracks; the last mood is unknown throughout."""
    random = np.random.default_rng(0)
    moods = (random.random((60, 3)) < 0.3).astype(float)
    moods[:, 2] = np.nan
    va, quadrants = random.uniform(2, 8, (60, 2)), random.integers(0, 4, 60)
    guessed = np.clip(np.nan_to_num(moods) * 0.3 + random.uniform(0, 0.7, (60, 3)), 0.01, 0.99)
    right = random.random(60) < 0.7
    predictions = Emotions(
        guessed, va + random.normal(0, 1, (60, 2)), np.where(right, quadrants, random.integers(0, 4, 60))
    )
    return Emotions(moods, va, quadrants), predictions


def test_scores_are_those_of_training(tracks):
    labels, predictions = tracks
    found = score(labels, predictions, TAGS, resamples=100)
    logits = np.log(predictions.moods / (1 - predictions.moods))
    model = {"mood_logits": logits, "va": predictions.va, "quadrant_logits": np.eye(4)[predictions.quadrants]}
    expected = emotion_scores(model, labels.quadrants, labels.va, labels.moods)
    assert {name: found.scores[name] for name in expected} == pytest.approx(expected)
    assert set(found.scores) == {*SCORE_NAMES, "mood_tags"} and set(found.intervals) == set(SCORE_NAMES)
    for name, (low, high) in found.intervals.items():
        assert low < found.scores[name] < high and high - low < 0.8, name
    assert set(found.tags) == {"calm", "dark"} and found.tags_left_out == []
    tag = found.tags["dark"]
    assert tag["positives"] == labels.moods[:, 1].sum()
    assert tag["roc_auc_interval"][0] < tag["roc_auc"] < tag["roc_auc_interval"][1]


def test_the_seed_decides(tracks):
    one, same, other = (score(*tracks, TAGS, resamples=50, seed=seed).to_dict() for seed in (0, 0, 1))
    assert one == same and one["scores"] == other["scores"] and one["intervals"] != other["intervals"]


def test_only_what_is_labelled_is_scored(tracks):
    labels, predictions = tracks
    nothing = np.full((60, 3), np.nan)
    plane = score(Emotions(nothing, labels.va, np.full(60, -100)), predictions, TAGS, resamples=10)
    assert all(name.endswith(("valence", "arousal")) for name in plane.scores) and len(plane.scores) == 8
    assert plane.tags == {} and plane.reliability is None
    moods = score(Emotions(labels.moods, nothing[:, :2], np.full(60, -100)), predictions, TAGS, resamples=10)
    assert all(name.startswith("mood") for name in moods.scores)
    with pytest.raises(DataError, match="No track has a label"):
        score(Emotions(nothing, nothing[:, :2], np.full(60, -100)), predictions, TAGS)


def test_rare_moods_are_left_out_and_named(tracks):
    labels, predictions = tracks
    rare = labels.moods.copy()
    rare[:, 0] = 0
    rare[:4, 0] = 1
    found = score(Emotions(rare, labels.va, labels.quadrants), predictions, TAGS, resamples=10)
    assert found.tags_left_out == ["calm"] and found.scores["mood_tags"] == 1
    assert found.scores["mood_roc_auc"] == found.tags["dark"]["roc_auc"]


def test_json_holds_no_nan(tracks):
    labels, predictions = tracks
    few = slice(0, 3)  # no mood has five tracks: macro means are undefined
    found = score(labels[few], predictions[few], TAGS, resamples=10).to_dict()
    assert found["scores"]["mood_roc_auc"] is None and found["tracks"] == 3
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text)["bootstrap"] == {"unit": "track", "resamples": 10, "level": 0.95, "seed": 0}
    assert score(labels, predictions, TAGS, resamples=0).intervals == {}


def test_one_track_is_enough_not_to_fail(tracks):
    labels, predictions = tracks
    found = score(labels[[0]], predictions[[0]], TAGS, resamples=5)
    assert found.tracks == 1 and np.isnan(found.scores["r2_valence"]) and np.isfinite(found.scores["mood_ece"])
