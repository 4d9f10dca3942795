"""Scores against values worked out by hand."""

import numpy as np
import pytest

from m2e.metrics import emotion_scores, summary

TRUTH = np.array([0, 0, 1, 1, 2, 2, 3, 3])
VA = np.array([[7, 7], [6, 6], [3, 7], [2, 6], [3, 3], [2, 2], [7, 3], [6, 2]], float)


def predictions(**changes):
    moods = np.zeros((8, 2))
    moods[:, 0] = [5, 4, 3, 2, 1, 0, -1, -2]
    return {"mood_logits": moods, "va": VA.copy(), "quadrant_logits": np.eye(4)[TRUTH]} | changes


MOODS = np.column_stack([[1, 1, 1, 1, 1, 0, 0, 0], np.full(8, np.nan)]).astype(float)


def test_perfect_predictions():
    scores = emotion_scores(predictions(), TRUTH, VA, MOODS)
    assert scores["quadrant_f1"] == scores["r2_valence"] == scores["mood_roc_auc"] == scores["mood_pr_auc"] == 1
    assert scores["mood_tags"] == 1  # the column without labels does not count


def test_without_a_quadrant_branch_the_plane_decides():
    values = predictions()
    del values["quadrant_logits"]
    assert emotion_scores(values, TRUTH, VA, MOODS)["quadrant_accuracy"] == 1
    # with neutral arousal above 6 the tracks at exactly 6 fall into the lower half
    assert emotion_scores(values, TRUTH, VA, MOODS, (5.0, 6.5))["quadrant_accuracy"] == 0.75


def test_known_values():
    wrong = predictions(va=VA[:, ::-1], quadrant_logits=np.eye(4)[[0, 0, 1, 1, 2, 2, 3, 0]])
    scores = emotion_scores(wrong, TRUTH, VA, MOODS)
    # F1 per class: .8, 1, 1, 2/3
    assert scores["quadrant_f1"] == pytest.approx((0.8 + 1 + 1 + 2 / 3) / 4)
    residual = ((VA[:, 0] - VA[:, 1]) ** 2).sum()
    assert scores["r2_valence"] == pytest.approx(1 - residual / ((VA[:, 0] - VA[:, 0].mean()) ** 2).sum())


def test_summary_is_mean_and_deviation():
    assert summary([{"a": 1.0}, {"a": 3.0}]) == {"a": {"mean": 2.0, "std": 1.0}}
