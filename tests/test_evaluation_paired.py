"""Paired bootstrap: planted differences are found, equal systems are not told apart, and values are those of score."""

import numpy as np
import pytest

from m2e.evaluation.data import Emotions
from m2e.evaluation.paired import difference, over_seeds, sampled
from m2e.evaluation.score import score

NAMES = ("mood_pr_auc", "mood_roc_auc", "r2_valence", "r2_arousal")
OTHERS = ("quadrant_f1", "quadrant_accuracy", "pearson_valence", "ccc_arousal")


def systems(noises, n=300, seed=0):
    """Labels, and predictions with this much noise."""
    rng = np.random.default_rng(seed)
    va, latent = rng.uniform(1, 9, (n, 2)), rng.normal(size=(n, 3))
    labels = Emotions((latent > 0.8).astype(float), va, np.full(n, -100))
    found = []
    for noise in noises:
        moods = 1 / (1 + np.exp(-(latent + noise * rng.normal(size=(n, 3)))))
        found.append(Emotions(moods, va + noise * rng.normal(size=(n, 2)), labels.quadrants))
    return labels, found


def test_values_and_intervals_are_those_of_the_evaluation():
    labels, (one,) = systems([1.0])
    found = sampled(labels, one, NAMES, resamples=200)
    wanted = score(labels, one, ["a", "b", "c"], resamples=200)
    for name in NAMES:
        assert found[name].value == pytest.approx(wanted.scores[name])
        assert found[name].interval() == pytest.approx(wanted.intervals[name], abs=1e-3)


def test_other_scores_too():
    labels, (one, _) = systems([1.0, 1.0])
    rng = np.random.default_rng(1)
    quadrants = rng.integers(4, size=len(labels))
    labels = Emotions(labels.moods, labels.va, np.where(rng.random(len(labels)) < 0.1, -100, quadrants))
    one = Emotions(one.moods, one.va, np.where(rng.random(len(labels)) < 0.6, quadrants, 0))
    found = sampled(labels, one, OTHERS, resamples=200)
    wanted = score(labels, one, ["a", "b", "c"], resamples=200)
    for name in OTHERS:
        assert found[name].value == pytest.approx(wanted.scores[name])
        assert found[name].interval() == pytest.approx(wanted.intervals[name])
    assert found.keys() == set(OTHERS)


def test_a_difference_is_found_and_an_equal_system_is_not():
    labels, (good, bad, alike) = systems([1.0, 2.0, 1.0])
    good, bad, alike = (sampled(labels, each, NAMES, 300) for each in (good, bad, alike))
    for name in NAMES:
        better = difference(bad[name], good[name])
        assert better.verdict == "holds" and better.probability > 0.97 and better.low < better.value < better.high
        assert difference(good[name], bad[name]).verdict == "contradicted"
        assert difference(good[name], alike[name]).verdict == "not decided"
        same = difference(good[name], good[name])
        assert (same.value, same.low, same.high) == (0, 0, 0)
        both = over_seeds([good[name], alike[name]])
        assert both.value == pytest.approx((good[name].value + alike[name].value) / 2)


def test_sets_that_are_too_small_have_no_verdict():
    labels, (one, two) = systems([1.0, 1.0], n=3)
    first, second = (sampled(labels, each, NAMES, 50) for each in (one, two))
    assert difference(first["mood_pr_auc"], second["mood_pr_auc"]).verdict == "not defined"
    none = sampled(labels, one, NAMES, 0)
    assert difference(none["r2_valence"], none["r2_valence"]).verdict == "not defined"
