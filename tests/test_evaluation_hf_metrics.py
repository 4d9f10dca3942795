"""The metrics through the library `evaluate`, without its hub."""

import numpy as np
import pytest

from m2e.evaluation.hf_metrics import MoodCalibration, MoodCurves, QuadrantF1, ValenceArousal
from m2e.evaluation.metrics import dimension_scores, reliability, tag_scores


@pytest.fixture
def random():
    return np.random.default_rng(0)


def in_batches(metric, predictions, references, size=7, **settings):
    for start in range(0, len(predictions), size):
        rows = slice(start, start + size)
        metric.add_batch(predictions=predictions[rows], references=references[rows])
    return metric.compute(**settings)


def test_moods_in_batches(random, tmp_path):
    labels = (random.random((40, 3)) < 0.3).astype(float)
    labels[:, 2] = 0
    labels[3, 0] = np.nan
    scores = random.random((40, 3))
    found = in_batches(MoodCurves(cache_dir=str(tmp_path)), scores, labels, names=["happy", "sad", "epic"])
    expected = tag_scores(labels, scores)
    assert found["mood_roc_auc"] == expected.roc_auc_macro and found["mood_pr_auc"] == expected.pr_auc_macro
    assert found["mood_roc_auc_micro"] == expected.roc_auc_micro
    assert found["per_tag"]["sad"] == {"roc_auc": expected.roc_auc[1], "pr_auc": expected.pr_auc[1]}
    assert found["mood_tags"] == 2 and found["mood_tags_left_out"] == 1

    found = in_batches(MoodCalibration(cache_dir=str(tmp_path)), scores, labels, bins=5)
    assert found["mood_ece"] == pytest.approx(reliability(labels, scores, 5).ece) and len(found["reliability"]) == 5


def test_valence_and_arousal(random, tmp_path):
    labels, predictions = random.normal(5, 1, (2, 20, 2))
    labels[4, 0] = np.nan
    found = in_batches(ValenceArousal(cache_dir=str(tmp_path)), predictions, labels)
    for column, name in enumerate(("valence", "arousal")):
        for score, value in dimension_scores(labels[:, column], predictions[:, column]).items():
            assert found[f"{score}_{name}"] == pytest.approx(value)


def test_quadrants(tmp_path):
    metric = QuadrantF1(cache_dir=str(tmp_path))
    found = metric.compute(predictions=[0, 1, 1, 3], references=[0, 0, 1, -100])
    assert found == {"quadrant_f1": pytest.approx(2 / 3), "quadrant_accuracy": pytest.approx(2 / 3)}


def test_a_description_says_what_goes_in():
    assert "references: (n, 2)" not in MoodCurves().description
    assert "predictions, references: (n, 2)" in ValenceArousal().description
