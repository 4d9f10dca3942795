"""Scores of emotion predictions against labels. Pure functions on arrays."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, r2_score, roc_auc_score

from modeling_m2e.output_m2e import QUADRANTS, quadrant

MIN_POSITIVES = 5  # a tag with fewer positive tracks in the evaluated set has no usable curve


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
    if "quadrant_logits" in predictions:
        guessed = predictions["quadrant_logits"].argmax(1)
    else:
        guessed = np.array([QUADRANTS.index(quadrant(*point, *neutral)) for point in predictions["va"]])
    usable = [tag for tag in range(moods.shape[1]) if MIN_POSITIVES <= np.nansum(moods[:, tag]) < len(moods)]
    scores, truth = predictions["mood_logits"], moods
    return {
        "quadrant_f1": float(f1_score(quadrants, guessed, average="macro")),
        "quadrant_accuracy": float((quadrants == guessed).mean()),
        "r2_valence": float(r2_score(va[:, 0], predictions["va"][:, 0])),
        "r2_arousal": float(r2_score(va[:, 1], predictions["va"][:, 1])),
        "mood_roc_auc": float(np.mean([roc_auc_score(truth[:, tag], scores[:, tag]) for tag in usable])),
        "mood_pr_auc": float(np.mean([average_precision_score(truth[:, tag], scores[:, tag]) for tag in usable])),
        "mood_tags": len(usable),
    }


def summary(rows: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation (over seeds) of every score."""
    return {
        name: {"mean": float(np.mean([row[name] for row in rows])), "std": float(np.std([row[name] for row in rows]))}
        for name in rows[0]
    }
