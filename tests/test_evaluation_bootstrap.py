"""A resample given as counts scores as the drawn tracks themselves do."""

import numpy as np
import pytest

from m2e.evaluation.bootstrap import (
    LIMITS,
    RankedEntries,
    interval,
    resampled_counts,
    resampled_dimension,
    resampled_ece,
    resampled_quadrants,
)
from m2e.evaluation.metrics import dimension_scores, quadrant_scores, reliability, tag_scores


@pytest.fixture
def random():
    return np.random.default_rng(0)


def counts_of(tracks, resamples=20, seed=0):
    return np.concatenate(list(resampled_counts(tracks, resamples, seed)), axis=1)


def drawn(counts, values):
    """The rows of a resample."""
    return np.repeat(values, counts.astype(int), axis=0)


def test_resamples_are_as_many_tracks_and_follow_from_the_seed():
    counts = counts_of(50, 230)
    assert counts.shape == (50, 230) and (counts.sum(0) == 50).all()
    assert np.array_equal(counts, counts_of(50, 230)) and not np.array_equal(counts, counts_of(50, 230, seed=1))
    assert counts.mean(1) == pytest.approx(np.ones(50), abs=0.3)
    # Poisson-like: a track is left out of a resample in 1/e of all cases
    assert (counts == 0).mean() == pytest.approx(np.exp(-1), abs=0.01)


@pytest.mark.parametrize("levels", [3, 1000], ids=["ties", "few ties"])
def test_curves(random, levels):
    labels = (random.random((60, 3)) < 0.2).astype(float)
    scores = np.round((random.random((60, 3)) + 0.3 * labels) * levels)
    labels[:5, 1] = np.nan
    labelled = ~np.isnan(labels)
    rows, columns = np.nonzero(labelled)
    counts = counts_of(60)
    pooled = RankedEntries(labels[labelled], scores[labelled], rows, 60)(counts)
    single = RankedEntries(labels[5:, 1], scores[5:, 1], np.arange(5, 60), 60)(counts)
    assert np.isfinite(single).mean() > 0.8  # few positives: some resamples have none
    for resample in range(counts.shape[1]):
        expected = tag_scores(drawn(counts[:, resample], labels), drawn(counts[:, resample], scores))
        assert pooled[0][resample] == pytest.approx(expected.roc_auc_micro)
        assert pooled[1][resample] == pytest.approx(expected.pr_auc_micro)
        assert single[0][resample] == pytest.approx(expected.roc_auc[1], nan_ok=True)
        assert single[1][resample] == pytest.approx(expected.pr_auc[1], nan_ok=True)


def test_curves_of_one_class_are_undefined():
    ranked = RankedEntries(np.array([1, 0, 0]), np.array([0.3, 0.2, 0.1]), np.arange(3), 3)
    roc_auc, pr_auc = ranked(np.array([[1, 0, 3], [1, 2, 0], [1, 1, 0]], float))
    assert roc_auc == pytest.approx([1, np.nan, np.nan], nan_ok=True)
    assert pr_auc == pytest.approx([1, np.nan, np.nan], nan_ok=True)
    for label in (0, 1):
        scores = RankedEntries(np.full(3, label), np.arange(3.0), np.arange(3), 3)(np.ones((3, 2)))
        assert np.isnan(scores).all() and np.shape(scores) == (2, 2)


def test_dimensions(random):
    labels = random.normal(5, 1, 40)
    labels[3] = np.nan
    predictions = np.where(np.isnan(labels), 0, labels) * 0.5 + random.normal(2, 0.5, 40)
    counts = counts_of(40)
    found = resampled_dimension(labels, predictions, counts)
    for resample in range(counts.shape[1]):
        expected = dimension_scores(drawn(counts[:, resample], labels), drawn(counts[:, resample], predictions))
        for name, value in expected.items():
            assert found[name][resample] == pytest.approx(value), name


def test_quadrants(random):
    labels, predictions = random.integers(0, 4, (2, 12))
    labels[0] = -100
    counts = counts_of(12, 50)
    found = resampled_quadrants(labels, predictions, counts)
    for resample in range(counts.shape[1]):
        expected = quadrant_scores(drawn(counts[:, resample], labels), drawn(counts[:, resample], predictions))
        for name, value in expected.items():
            assert found[name][resample] == pytest.approx(value), name


def test_calibration_error(random):
    labels = (random.random((30, 4)) < 0.3).astype(float)
    labels[2:6, 1] = np.nan
    probabilities = random.random((30, 4))
    counts = counts_of(30)
    found = resampled_ece(labels, probabilities, counts)
    for resample in range(counts.shape[1]):
        sample = drawn(counts[:, resample], labels), drawn(counts[:, resample], probabilities)
        assert found[resample] == pytest.approx(reliability(*sample).ece)


def test_intervals_are_moved_to_the_score_and_skip_what_is_undefined():
    samples = np.column_stack([np.linspace(0.4, 0.6, 101), np.full(101, np.nan), np.linspace(0.4, 0.6, 101)])
    samples[50, 0] = np.nan
    low, high = interval(samples, np.array([0.55, 0.7, np.nan]), level=0.9)
    # 0.09 below the mean of 0.5, the range 0 to 0.5 becomes 0 to 0.55; the same above, 0.5 to 1 becomes 0.55 to 1
    assert low == pytest.approx([0.55 - 0.09 * 1.1, np.nan, np.nan], abs=0.001, nan_ok=True)
    assert high == pytest.approx([0.55 + 0.09 * 0.9, np.nan, np.nan], abs=0.001, nan_ok=True)


@pytest.mark.parametrize("tracks", [2, 3, 5, 9, 40])
def test_intervals_stay_in_the_range_of_the_score(tracks):
    for seed in range(40):
        random = np.random.default_rng(seed)
        labels = random.normal(5, 1, tracks)
        predictions = labels + random.normal(0, 0.5, tracks)
        counts = counts_of(tracks, 300, seed)
        once = resampled_dimension(labels, predictions, np.ones((tracks, 1)))
        for name, samples in resampled_dimension(labels, predictions, counts).items():
            low, high = interval(samples, once[name][0], limits=LIMITS[name])
            if not np.isnan(low):
                assert LIMITS[name][0] <= low <= once[name][0] + 1e-12 and once[name][0] - 1e-12 <= high, name
                assert high <= LIMITS[name][1], name
        moods, quadrants = (random.random((tracks, 2)) < 0.5).astype(float), random.integers(0, 4, tracks)
        guessed = np.clip(moods + random.normal(0, 0.3, moods.shape), 0, 1)
        ece = resampled_ece(moods, guessed, counts), resampled_ece(moods, guessed, np.ones((tracks, 1)))[0]
        right = resampled_quadrants(quadrants, quadrants, counts)["accuracy"], np.float64(1)
        ranked = RankedEntries(moods[:, 0], guessed[:, 0], np.arange(tracks), tracks)
        curves = zip(ranked(counts), np.ravel(ranked(np.ones((tracks, 1)))), strict=True)
        for samples, score in (ece, right, *curves):
            low, high = interval(samples, score)
            assert np.isnan(low) or 0 <= low <= score + 1e-12 and score - 1e-12 <= high <= 1


def test_intervals_hold_what_they_promise(random):
    """Of 300 sets of 80 tracks from one population, about 95 % have an interval around the population's AUC."""
    population = random.normal(0, 1, 200_000)
    truth = (population[:100_000] + 1 > population[100_000:]).mean()  # positives lie higher by 1
    labels = np.repeat([1, 0], 40)
    hits = 0
    for seed in range(300):
        scores = random.normal(labels, 1)
        ranked = RankedEntries(labels, scores, np.arange(80), 80)
        samples, _ = ranked(counts_of(80, 200, seed))
        low, high = interval(samples, ranked(np.ones((80, 1)))[0][0])
        hits += low <= truth <= high
    assert 0.9 <= hits / 300 <= 0.98
