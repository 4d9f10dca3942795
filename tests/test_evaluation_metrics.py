"""Scores against values worked out by hand."""

import numpy as np
import pytest

from m2e.evaluation.metrics import dimension_scores, quadrant_scores, reliability, summary, tag_scores


def test_summary_is_mean_and_deviation():
    assert summary([{"a": 1.0}, {"a": 3.0}]) == {"a": {"mean": 2.0, "std": 1.0}}


# --- moods ---


def test_tags_by_hand():
    labels = np.array([[1, 0, 1], [0, 0, np.nan], [1, 0, 0], [0, 0, np.nan]], float)
    scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.2, np.nan], [0.7, 0.3, 0.5], [0.1, 0.4, np.nan]])
    found = tag_scores(labels, scores)
    # the first tag ranks + - + -: three of four pairs are right; precision 1 and 2/3 at its positives; the last is tied
    assert found.roc_auc == pytest.approx([0.75, np.nan, 0.5], nan_ok=True)
    assert found.pr_auc == pytest.approx([(1 + 2 / 3) / 2, np.nan, 0.5], nan_ok=True)
    assert found.positives.tolist() == [2, 0, 1] and found.used.tolist() == [True, False, True]
    assert found.left_out == 1 and found.roc_auc_macro == pytest.approx(0.625)
    # pooled, highest first: + - + then the tied + and -, then only -
    assert found.roc_auc_micro == pytest.approx((7 + 6 + 5.5) / 21)
    assert found.pr_auc_micro == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert tag_scores(labels, scores, min_positives=2).used.tolist() == [True, False, False]


def test_nothing_usable_gives_nan_not_a_number():
    found = tag_scores(np.full((4, 2), np.nan), np.zeros((4, 2)))
    assert found.left_out == 2 and np.isnan([found.roc_auc_macro, found.pr_auc_macro, found.roc_auc_micro]).all()
    assert np.isnan(reliability(np.full(3, np.nan), np.zeros(3)).ece)


@pytest.mark.parametrize(
    "labels, scores, words",
    [
        ([[0.5], [1]], [[0.1], [0.2]], "0, 1 or NaN"),
        ([[0], [1]], [[0.1], [np.nan]], "not finite"),
        ([[0], [1]], [[0.1], [np.inf]], "not finite"),
        ([[0], [1]], [[0.1, 0.2]], "do not belong together"),
        ([0, 1], [0.1, 0.2], "do not belong together"),
    ],
)
def test_what_cannot_be_scored_is_refused(labels, scores, words):
    with pytest.raises(ValueError, match=words):
        tag_scores(np.array(labels, float), np.array(scores, float))


def test_reliability_by_hand():
    probabilities = np.array([[0.1, 0.2], [0.3, 0.9], [1.0, 0.6]])
    labels = np.array([[0, 0], [1, 1], [1, np.nan]])
    found = reliability(labels, probabilities, bins=2)
    assert found.counts.tolist() == [3, 2]
    assert found.probability == pytest.approx([0.2, 0.95]) and found.frequency == pytest.approx([1 / 3, 1])
    assert found.ece == pytest.approx((3 * (1 / 3 - 0.2) + 2 * 0.05) / 5)
    assert [row["count"] for row in found.to_list()] == [3, 2] and found.to_list()[1]["from"] == 0.5
    with pytest.raises(ValueError, match="between 0 and 1"):
        reliability(labels, probabilities * 2)


# --- valence and arousal, quadrants ---


def test_dimensions_by_hand():
    labels = np.array([1.0, 2.0, 3.0, np.nan])
    found = dimension_scores(labels, np.array([2.0, 3.0, 4.0, 100.0]))  # right but for the level
    assert found["pearson"] == pytest.approx(1) and found["rmse"] == pytest.approx(1)
    assert found["r2"] == pytest.approx(1 - 3 / 2)
    assert found["ccc"] == pytest.approx(2 * (2 / 3) / (2 / 3 + 2 / 3 + 1))
    assert dimension_scores(labels, np.array([3.0, 2.0, 1.0, 0.0]))["ccc"] == pytest.approx(-1)


def test_constant_predictions_have_no_correlation():
    found = dimension_scores(np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    assert found["r2"] == 0 and found["ccc"] == 0 and np.isnan(found["pearson"])
    assert np.isnan(list(dimension_scores(np.array([1.0, np.nan]), np.zeros(2)).values())).all()
    with pytest.raises(ValueError, match="not finite"):
        dimension_scores(np.array([1.0, 2.0]), np.array([1.0, np.nan]))


def test_quadrants_by_hand():
    labels, predictions = np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([0, 0, 1, 1, 2, 2, 3, 0])
    found = quadrant_scores(labels, predictions)
    assert found["accuracy"] == 7 / 8 and found["f1"] == pytest.approx((0.8 + 1 + 1 + 2 / 3) / 4)  # F1 of each class
    assert quadrant_scores(labels, labels) == {"f1": 1.0, "accuracy": 1.0}


def test_quadrants_without_label_do_not_count():
    found = quadrant_scores(np.array([0, 0, 1, -100]), np.array([0, 1, 1, 3]))
    assert found["accuracy"] == pytest.approx(2 / 3) and found["f1"] == pytest.approx(2 / 3)
    assert np.isnan(quadrant_scores(np.array([-100]), np.array([2]))["f1"])


# --- the real thing ---


@pytest.mark.parametrize(
    "system, roc_auc, pr_auc", [("baseline_vggish", 0.725821, 0.107734), ("lileonardo", 0.774789, 0.150872)]
)
def test_mediaeval_systems_score_as_published(shared, system, roc_auc, pr_auc):
    folder = shared / "data" / "annotations" / "mtg_jamendo" / "mediaeval"
    found = tag_scores(np.load(folder / "groundtruth.npy"), np.load(folder / f"{system}_predictions.npy"))
    assert found.roc_auc_macro == pytest.approx(roc_auc, abs=1e-5)
    assert found.pr_auc_macro == pytest.approx(pr_auc, abs=1e-5)
    assert found.left_out == 0 and len(found.roc_auc) == 56
    official = folder / f"{system}_results.tsv"
    if official.exists():
        published = dict(line.split("\t") for line in official.read_text().splitlines())
        for name, value in (("ROC-AUC-micro", found.roc_auc_micro), ("PR-AUC-micro", found.pr_auc_micro)):
            assert value == pytest.approx(float(published[name]), abs=1e-5)
