"""The scores of `m2e.evaluation.metrics` as metrics of Hugging Face's library `evaluate`; nothing is downloaded.

    metric = MoodCurves()
    metric.add_batch(predictions=probabilities, references=labels)  # for every batch
    metric.compute()  # {"mood_roc_auc": ..., "mood_pr_auc": ..., ...}

A distributed evaluation needs `num_process`, `process_id` and `experiment_id`, as for every metric of that library.
"""

from typing import Any

import datasets
import evaluate
import numpy as np

from m2e.evaluation.metrics import (
    DIMENSIONS,
    RELIABILITY_BINS,
    dimension_scores,
    quadrant_scores,
    reliability,
    tag_scores,
)

CITATION = "Kang, Herremans: Towards Unified Music Emotion Recognition, 2025 (arXiv 2502.03979)."
ROWS = datasets.List(datasets.Value("float64"))
Rows = list[Any]  # numbers, or lists of numbers


class _Metric(evaluate.Metric):
    """One row per track; the class docstring is the metric's description. NaN in a reference means not labelled."""

    value = ROWS

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation=CITATION,
            features=datasets.Features({"predictions": self.value, "references": self.value}),
        )


class MoodCurves(_Metric):
    """ROC-AUC and PR-AUC of multi-label moods: macro, micro and per tag.

    predictions: (n, M) scores.  references: (n, M) 0, 1 or NaN.
    min_positives: a tag with fewer positive tracks is left out of the macro means.  names: of the tags, for `per_tag`.
    """

    def _compute(
        self, predictions: Rows, references: Rows, min_positives: int = 1, names: list[str] | None = None
    ) -> dict[str, Any]:
        scores = tag_scores(np.array(references, float), np.array(predictions, float), min_positives)
        names = names or [str(index) for index in range(len(scores.positives))]
        columns = zip(names, scores.roc_auc.tolist(), scores.pr_auc.tolist(), strict=True)
        return {
            **scores.to_dict(),
            "mood_tags_left_out": scores.left_out,
            "per_tag": {name: {"roc_auc": roc_auc, "pr_auc": pr_auc} for name, roc_auc, pr_auc in columns},
        }


class MoodCalibration(_Metric):
    """Expected calibration error of mood probabilities, all labelled entries pooled, and its reliability diagram.

    predictions: (n, M) probabilities.  references: (n, M) 0..1 or NaN.  bins: of equal width.
    """

    def _compute(self, predictions: Rows, references: Rows, bins: int = RELIABILITY_BINS) -> dict[str, Any]:
        diagram = reliability(np.array(references, float), np.array(predictions, float), bins)
        return {"mood_ece": diagram.ece, "reliability": diagram.to_list()}


class ValenceArousal(_Metric):
    """R2, RMSE, concordance and Pearson's correlation of valence and of arousal.

    predictions, references: (n, 2) valence, arousal; a reference may be NaN.
    """

    def _compute(self, predictions: Rows, references: Rows) -> dict[str, float]:
        predicted, labels = np.array(predictions, float), np.array(references, float)
        return {
            f"{score}_{name}": value
            for column, name in enumerate(DIMENSIONS)
            for score, value in dimension_scores(labels[:, column], predicted[:, column]).items()
        }


class QuadrantF1(_Metric):
    """Macro-F1 and accuracy of Russell's quadrants.

    predictions, references: (n,) 0..3 for Q1..Q4; reference -100 = not labelled.
    """

    value = datasets.Value("int64")

    def _compute(self, predictions: Rows, references: Rows) -> dict[str, float]:
        return {
            f"quadrant_{name}": value
            for name, value in quadrant_scores(np.array(references), np.array(predictions)).items()
        }
