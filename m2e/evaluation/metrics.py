"""Single scores of emotion predictions against labels: pure functions on arrays. NaN means not labelled.

Moods: ROC-AUC, PR-AUC and calibration of multi-label tags. Valence and arousal: R2, RMSE, CCC, Pearson's correlation.
Quadrants: macro-F1 and accuracy. Intervals of all of them are in `m2e.evaluation.bootstrap`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import pearsonr
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

DIMENSIONS = ("valence", "arousal")
NO_QUADRANT = -100  # the label that the model's loss ignores
MIN_POSITIVES = 5  # a tag with fewer positive tracks in the evaluated set has no usable curve
RELIABILITY_BINS = 15  # of equal width (Guo et al., ICML 2017)


# --- moods ---


@dataclass(frozen=True)
class TagScores:
    """How well tags are ranked.

    roc_auc, pr_auc: (M,) of every tag, NaN for those left out.  positives: (M,) tracks that carry the tag.
    roc_auc_micro, pr_auc_micro: of all labelled entries in one ranking; NaN where these are all of one class.
    """

    roc_auc: np.ndarray
    pr_auc: np.ndarray
    positives: np.ndarray
    roc_auc_micro: float
    pr_auc_micro: float

    @property
    def used(self) -> np.ndarray:
        """(M,) which tags the macro means run over."""
        return ~np.isnan(self.roc_auc)

    @property
    def left_out(self) -> int:
        """Tags without enough positives or without negatives."""
        return int((~self.used).sum())

    @property
    def roc_auc_macro(self) -> float:
        """The mean of the used tags' areas; NaN without any."""
        return float(self.roc_auc[self.used].mean()) if self.used.any() else float("nan")

    @property
    def pr_auc_macro(self) -> float:
        """The mean of the used tags' average precisions; NaN without any."""
        return float(self.pr_auc[self.used].mean()) if self.used.any() else float("nan")

    def to_dict(self) -> dict[str, float]:
        """The means under the names that evaluations give them."""
        return {
            "mood_roc_auc": self.roc_auc_macro,
            "mood_pr_auc": self.pr_auc_macro,
            "mood_roc_auc_micro": self.roc_auc_micro,
            "mood_pr_auc_micro": self.pr_auc_micro,
            "mood_tags": int(self.used.sum()),
        }


def tag_scores(labels: np.ndarray, scores: np.ndarray, min_positives: int = 1) -> TagScores:
    """ROC-AUC and PR-AUC (average precision) of (n, M) scores against (n, M) labels: 0, 1 or NaN.

    A tag needs labelled tracks of both classes, `min_positives` of them positive. Raises ValueError for arrays that do
    not fit each other, other labels, and scores that are not finite where there is a label.
    """
    labels, scores = _pair(labels, scores, dimensions=2)
    labelled = ~np.isnan(labels)
    if not np.isin(labels[labelled], (0, 1)).all():
        raise ValueError("Mood labels must be 0, 1 or NaN.")
    positives = np.nansum(labels, axis=0).astype(int)
    usable = (positives >= max(1, min_positives)) & (positives < labelled.sum(0))
    roc_auc, pr_auc = np.full((2, labels.shape[1]), np.nan)
    for tag in np.flatnonzero(usable):
        rows = labelled[:, tag]
        roc_auc[tag] = roc_auc_score(labels[rows, tag], scores[rows, tag])
        pr_auc[tag] = average_precision_score(labels[rows, tag], scores[rows, tag])
    pooled = labels[labelled], scores[labelled]
    mixed = 0 < positives.sum() < labelled.sum()
    return TagScores(
        roc_auc,
        pr_auc,
        positives,
        float(roc_auc_score(*pooled)) if mixed else float("nan"),
        float(average_precision_score(*pooled)) if mixed else float("nan"),
    )


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram of equal bins over 0..1.

    counts: (B,) predictions per bin.  probability, frequency: (B,) mean prediction and mean label there, NaN in an
    empty bin; a calibrated model has them equal.
    """

    counts: np.ndarray
    probability: np.ndarray
    frequency: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean of |probability - frequency|, weighted by counts; NaN without any."""
        filled = self.counts > 0
        gaps = np.abs(self.probability - self.frequency)[filled]
        return float(np.average(gaps, weights=self.counts[filled])) if filled.any() else float("nan")

    def to_list(self) -> list[dict[str, float]]:
        """The bins that are not empty: from, to, count, probability, frequency."""
        edges = np.linspace(0, 1, len(self.counts) + 1)
        return [
            {
                "from": float(edges[index]),
                "to": float(edges[index + 1]),
                "count": int(self.counts[index]),
                "probability": float(self.probability[index]),
                "frequency": float(self.frequency[index]),
            }
            for index in np.flatnonzero(self.counts)
        ]


def reliability(labels: np.ndarray, probabilities: np.ndarray, bins: int = RELIABILITY_BINS) -> Reliability:
    """The reliability of probabilities of any shape against labels (0..1, NaN) of the same shape."""
    labels, probabilities = _pair(labels, probabilities)
    labelled = ~np.isnan(labels)
    labels, probabilities = labels[labelled], probabilities[labelled]
    where = bin_index(probabilities, bins)
    counts = np.bincount(where, minlength=bins)
    with np.errstate(invalid="ignore"):
        probability, frequency = (
            np.bincount(where, weights=values, minlength=bins) / counts for values in (probabilities, labels)
        )
    return Reliability(counts, probability, frequency)


def bin_index(probabilities: np.ndarray, bins: int) -> np.ndarray:
    """Which of the equal bins over 0..1 holds each probability. Raises ValueError outside 0..1."""
    if probabilities.size and not (0 <= probabilities.min() and probabilities.max() <= 1):
        raise ValueError("Calibration is defined for probabilities: give scores between 0 and 1.")
    return np.minimum((probabilities * bins).astype(int), bins - 1)


# --- valence and arousal ---


def dimension_scores(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """r2, rmse, ccc and pearson of (n,) predictions of one dimension; all NaN with fewer than two labelled tracks.

    ccc: Lin's concordance correlation, 2 cov / (var + var + (difference of the means)^2), which unlike Pearson's also
    punishes a wrong level or scale. pearson is NaN where predictions or labels are constant.
    """
    labels, predictions = _pair(labels, predictions, dimensions=1)
    labelled = ~np.isnan(labels)
    labels, predictions = labels[labelled], predictions[labelled]
    if len(labels) < 2:
        return dict.fromkeys(("r2", "rmse", "ccc", "pearson"), float("nan"))
    constant = np.ptp(labels) == 0 or np.ptp(predictions) == 0
    covariance = np.cov(labels, predictions, bias=True)
    spread = covariance[0, 0] + covariance[1, 1] + (labels.mean() - predictions.mean()) ** 2
    return {
        "r2": float(r2_score(labels, predictions)),
        "rmse": float(root_mean_squared_error(labels, predictions)),
        "ccc": float(2 * covariance[0, 1] / spread) if spread else float("nan"),
        "pearson": float("nan") if constant else float(pearsonr(labels, predictions).statistic),
    }


# --- quadrants ---


def quadrant_scores(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """f1 (macro) and accuracy of (n,) quadrants 0..3; label -100 = not labelled; NaN where no track is labelled."""
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(f"Quadrants of shape {labels.shape} and {predictions.shape} do not belong together.")
    labelled = labels != NO_QUADRANT
    if not labelled.any():
        return {"f1": float("nan"), "accuracy": float("nan")}
    labels, predictions = labels[labelled], predictions[labelled]
    return {
        "f1": float(f1_score(labels, predictions, average="macro")),
        "accuracy": float(accuracy_score(labels, predictions)),
    }


# --- all of a training's predictions ---


def emotion_scores(
    predictions: dict[str, np.ndarray],
    quadrants: np.ndarray,
    va: np.ndarray,
    moods: np.ndarray,
    neutral: tuple[float, float] = (5.0, 5.0),
) -> dict[str, float]:
    """Quadrant macro-F1 and accuracy, R2 of valence and arousal, macro ROC-AUC and PR-AUC of the moods.

    predictions: mood_logits (n, M), va (n, 2) and, from a model with that branch, quadrant_logits (n, 4); without it
    the quadrant is where valence and arousal lie around ``neutral``.  quadrants: (n,) 0..3.  va: (n, 2).
    moods: (n, M) 0/1, NaN in columns without labels; macro means run over tags with at least 5 positives.
    """
    from modeling_m2e.scale_m2e import QUADRANTS, quadrant

    if "quadrant_logits" in predictions:
        guessed = predictions["quadrant_logits"].argmax(1)
    else:
        points = [(float(valence), float(arousal)) for valence, arousal in predictions["va"]]
        guessed = np.array([QUADRANTS.index(quadrant(v, a, *neutral)) for v, a in points])
    tags = tag_scores(moods, predictions["mood_logits"], MIN_POSITIVES)
    r2 = [dimension_scores(va[:, index], predictions["va"][:, index])["r2"] for index in range(2)]
    return {
        **{f"quadrant_{name}": value for name, value in quadrant_scores(quadrants, guessed).items()},
        **{f"r2_{name}": value for name, value in zip(DIMENSIONS, r2, strict=True)},
        "mood_roc_auc": tags.roc_auc_macro,
        "mood_pr_auc": tags.pr_auc_macro,
        "mood_tags": int(tags.used.sum()),
    }


def summary(rows: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (over seeds) of every score."""
    return {
        name: {"mean": float(np.mean([row[name] for row in rows])), "std": float(np.std([row[name] for row in rows]))}
        for name in rows[0]
    }


def _pair(labels: ArrayLike, values: ArrayLike, dimensions: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64, of one shape; the values finite wherever there is a label."""
    labels, values = np.asarray(labels, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if labels.shape != values.shape or (dimensions is not None and labels.ndim != dimensions):
        raise ValueError(f"Labels of shape {labels.shape} and predictions of {values.shape} do not belong together.")
    if not np.isfinite(values[~np.isnan(labels)]).all():
        raise ValueError("There are predictions that are not finite: no score is defined for them.")
    return labels, values
