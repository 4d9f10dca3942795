"""All scores of a set of tracks at once."""

import json

import numpy as np
import pytest

from m2e.errors import DataError
from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import dimension_scores, quadrant_scores, tag_scores
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
    plane = va + random.normal(0, 1, (60, 2))
    intervals = np.stack([plane - 1.2, plane + 1.5 + random.uniform(0, 1, (60, 2))], axis=-1)
    predictions = Emotions(guessed, plane, np.where(right, quadrants, random.integers(0, 4, 60)), intervals)
    return Emotions(moods, va, quadrants), predictions


def test_all_scores_at_once(tracks):
    labels, predictions = tracks
    found = score(labels, predictions, TAGS, resamples=100)
    curves = tag_scores(labels.moods, predictions.moods, 5)
    valence = dimension_scores(labels.va[:, 0], predictions.va[:, 0])
    expected = {f"quadrant_{name}": v for name, v in quadrant_scores(labels.quadrants, predictions.quadrants).items()}
    expected |= {f"{name}_valence": value for name, value in valence.items()} | curves.to_dict()
    assert {name: found.scores[name] for name in expected} == pytest.approx(expected)
    assert set(found.scores) == {*SCORE_NAMES, "mood_tags"} and set(found.intervals) == set(SCORE_NAMES)
    for name, (low, high) in found.intervals.items():
        assert low < found.scores[name] < high and high - low < 0.8, name
    assert set(found.tags) == {"calm", "dark"} and found.tags_left_out == []
    tag = found.tags["dark"]
    assert tag["positives"] == labels.moods[:, 1].sum()
    assert tag["roc_auc_interval"][0] < tag["roc_auc"] < tag["roc_auc_interval"][1]


def test_intervals_are_scored_by_coverage_and_width(tracks):
    labels, predictions = tracks
    found = score(labels, predictions, TAGS, resamples=100)
    low, high = predictions.intervals[:, 0].T
    inside = ((low <= labels.va[:, 0]) & (labels.va[:, 0] <= high)).mean()
    assert found.scores["coverage_valence"] == inside and 0.6 < inside < 1
    assert found.scores["width_valence"] == pytest.approx((high - low).mean())
    without = Emotions(predictions.moods, predictions.va, predictions.quadrants)
    assert not any(name.startswith(("coverage", "width")) for name in score(labels, without, TAGS).scores)


def test_the_seed_decides(tracks):
    one, same, other = (score(*tracks, TAGS, resamples=50, seed=seed).to_dict() for seed in (0, 0, 1))
    assert one == same and one["scores"] == other["scores"] and one["intervals"] != other["intervals"]


def test_only_what_is_labelled_is_scored(tracks):
    labels, predictions = tracks
    nothing = np.full((60, 3), np.nan)
    plane = score(Emotions(nothing, labels.va, np.full(60, -100)), predictions, TAGS, resamples=10)
    assert all(name.endswith(("valence", "arousal")) for name in plane.scores) and len(plane.scores) == 12
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


def test_intervals_of_nine_tracks_stay_in_range_and_a_note_says_that_they_are_few(tracks):
    labels, predictions = tracks
    nine = slice(0, 9)
    found = score(labels[nine], predictions[nine], TAGS, min_positives=1, resamples=300)
    for name, (low, high) in found.intervals.items():
        least = {"r2": -np.inf, "ccc": -1, "pearson": -1}.get(name.partition("_")[0], 0)
        most = np.inf if name.startswith(("rmse", "width")) else 1
        assert least <= low <= found.scores[name] <= high <= most, name
    for tag in found.tags.values():
        assert 0 <= tag["pr_auc_interval"][0] <= tag["pr_auc_interval"][1] <= 1
    assert "Too few tracks" in found.to_dict()["note"] and "arousal (9)" in found.note
    few = labels.va.copy()
    few[9:, 0] = np.nan  # all tracks have a quadrant, few a valence
    note = score(Emotions(labels.moods, few, labels.quadrants), predictions, TAGS, resamples=0).note
    assert "valence (9)" in note and "arousal" not in note and "quadrants" not in note
    assert "note" not in score(labels, predictions, TAGS, resamples=0).to_dict()


def test_one_track_is_enough_not_to_fail(tracks):
    labels, predictions = tracks
    found = score(labels[[0]], predictions[[0]], TAGS, resamples=5)
    assert found.tracks == 1 and np.isnan(found.scores["r2_valence"]) and np.isfinite(found.scores["mood_ece"])
