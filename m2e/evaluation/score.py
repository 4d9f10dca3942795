"""Scores of a model's predictions for a labelled dataset, with bootstrap intervals.

    labels, ignored = labels_of(dataset, tags)
    evaluation = score(labels, predictions_of(records, tags), tags)

Pure functions on the columns of `m2e.evaluation.data`, made of `m2e.evaluation.metrics` and
`m2e.evaluation.bootstrap`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from m2e.errors import DataError
from m2e.evaluation import bootstrap
from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import (
    DIMENSIONS,
    MIN_POSITIVES,
    NO_QUADRANT,
    Reliability,
    TagScores,
    dimension_scores,
    quadrant_scores,
    reliability,
    tag_scores,
)

SCORE_NAMES = {
    "quadrant_f1": "Quadrant, macro F1",
    "quadrant_accuracy": "Quadrant, accuracy",
    "r2_valence": "Valence, R2",
    "rmse_valence": "Valence, RMSE",
    "ccc_valence": "Valence, CCC",
    "pearson_valence": "Valence, Pearson",
    "r2_arousal": "Arousal, R2",
    "rmse_arousal": "Arousal, RMSE",
    "ccc_arousal": "Arousal, CCC",
    "pearson_arousal": "Arousal, Pearson",
    "mood_roc_auc": "Moods, macro ROC-AUC",
    "mood_pr_auc": "Moods, macro PR-AUC",
    "mood_roc_auc_micro": "Moods, micro ROC-AUC",
    "mood_pr_auc_micro": "Moods, micro PR-AUC",
    "mood_ece": "Moods, calibration error",
}


@dataclass(frozen=True)
class Evaluation:
    """Scores of the tasks that have labels.

    tracks: how many were scored.  scores: by the keys of SCORE_NAMES; and mood_tags, how many the macro means run over.
    intervals: (low, high) of the scores.  tags: {tag: {"positives", "roc_auc", "pr_auc" and their intervals}} of those.
    tags_left_out: labelled ones with too few positives, or without negatives.  reliability: of the mood probabilities.
    resamples, level, seed: of the intervals.
    """

    tracks: int
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    tags: dict[str, dict]
    tags_left_out: list[str]
    reliability: Reliability | None
    resamples: int
    level: float
    seed: int

    def to_dict(self) -> dict:
        """What JSON takes: a score that is not defined is None."""
        bootstrapped = {"unit": "track", "resamples": self.resamples, "level": self.level, "seed": self.seed}
        return _plain(
            {
                "tracks": self.tracks,
                "scores": self.scores,
                "intervals": self.intervals,
                "bootstrap": bootstrapped,
                "tags": self.tags,
                "tags_left_out": self.tags_left_out,
                "reliability": None if self.reliability is None else self.reliability.to_list(),
            }
        )


def score(
    labels: Emotions,
    predictions: Emotions,
    tags: Sequence[str],
    *,
    min_positives: int = MIN_POSITIVES,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """All scores of n tracks, with bootstrap intervals. Raises DataError where no track has a label."""
    measures: list[Measure] = []
    if (labels.quadrants != NO_QUADRANT).any():
        measures.append(_quadrants(labels.quadrants, predictions.quadrants))
    for column, dimension in enumerate(DIMENSIONS):
        if not np.isnan(labels.va[:, column]).all():
            measures.append(_dimension(dimension, labels.va[:, column], predictions.va[:, column]))
    curves = diagram = None
    if not np.isnan(labels.moods).all():
        curves = tag_scores(labels.moods, predictions.moods, min_positives)
        diagram = reliability(labels.moods, predictions.moods)
        measures.append(_moods(labels.moods, predictions.moods, curves, diagram.ece))
    if not measures:
        raise DataError("No track has a label of moods, valence, arousal or quadrant: nothing can be scored.")

    samples: dict[str, list[np.ndarray]] = {}
    for counts in bootstrap.resampled_counts(len(labels), resamples, seed):
        for _, resample in measures:
            for name, values in resample(counts).items():
                samples.setdefault(name, []).append(values)
    scores = {name: value for values, _ in measures for name, value in values.items()}
    bounds = {
        name: np.stack(bootstrap.interval(np.concatenate(values, axis=-1).T, scores[name], level), axis=-1)
        for name, values in samples.items()
    }
    each = {name: (scores.pop(name), bounds.pop(name, None)) for name in PER_TAG if name in scores}
    return Evaluation(
        tracks=len(labels),
        scores=scores,
        intervals={name: tuple(pair.tolist()) for name, pair in bounds.items()},
        tags={} if curves is None else _per_tag(tags, curves, each),
        tags_left_out=[] if curves is None else _left_out(tags, curves, labels.moods),
        reliability=diagram,
        resamples=resamples,
        level=level,
        seed=seed,
    )


# A task's scores, and the same of resamples (their counts per track given), resamples in the last axis.
Measure = tuple[dict, Callable[[np.ndarray], dict[str, np.ndarray]]]
PER_TAG = ("roc_auc", "pr_auc")  # scores that are arrays, of the tags that are used


def _quadrants(labels: np.ndarray, predictions: np.ndarray) -> Measure:
    def named(values: dict) -> dict:
        return {f"quadrant_{name}": value for name, value in values.items()}

    return (
        named(quadrant_scores(labels, predictions)),
        lambda counts: named(bootstrap.resampled_quadrants(labels, predictions, counts)),
    )


def _dimension(dimension: str, labels: np.ndarray, predictions: np.ndarray) -> Measure:
    def named(values: dict) -> dict:
        return {f"{name}_{dimension}": value for name, value in values.items()}

    return (
        named(dimension_scores(labels, predictions)),
        lambda counts: named(bootstrap.resampled_dimension(labels, predictions, counts)),
    )


def _moods(labels: np.ndarray, probabilities: np.ndarray, curves: TagScores, ece: float) -> Measure:
    labelled = ~np.isnan(labels)
    tracks, columns = np.nonzero(labelled)
    entries = labels[labelled], probabilities[labelled], tracks
    pooled = bootstrap.RankedEntries(*entries, len(labels))
    ranked = [
        bootstrap.RankedEntries(*(part[columns == tag] for part in entries), len(labels))
        for tag in np.flatnonzero(curves.used)
    ]

    def resample(counts: np.ndarray) -> dict[str, np.ndarray]:
        values = {"mood_ece": bootstrap.resampled_ece(labels, probabilities, counts)}
        values["mood_roc_auc_micro"], values["mood_pr_auc_micro"] = pooled(counts)
        if ranked:
            roc_auc, pr_auc = np.stack([tag(counts) for tag in ranked], axis=1)
            values |= {"roc_auc": roc_auc, "pr_auc": pr_auc}
            # a tag that a resample has no positive of is left out there, as it would be of any set
            values |= {f"mood_{name}": _mean_of_defined(values[name]) for name in PER_TAG}
        return values

    each = {"roc_auc": curves.roc_auc[curves.used], "pr_auc": curves.pr_auc[curves.used]}
    return curves.to_dict() | {"mood_ece": ece} | each, resample


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """The mean over the first axis of what is not NaN; NaN where all is."""
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=0) / (~np.isnan(values)).sum(axis=0)


def _per_tag(tags: Sequence[str], curves: TagScores, each: dict[str, tuple]) -> dict[str, dict]:
    rows = {}
    for place, tag in enumerate(np.flatnonzero(curves.used)):
        row = rows[tags[tag]] = {"positives": int(curves.positives[tag])}
        for name, (values, bounds) in each.items():
            row[name] = float(values[place])
            if bounds is not None:
                row[f"{name}_interval"] = tuple(bounds[place].tolist())
    return rows


def _left_out(tags: Sequence[str], curves: TagScores, labels: np.ndarray) -> list[str]:
    labelled = ~np.isnan(labels).all(axis=0)
    return [tags[tag] for tag in np.flatnonzero(labelled & ~curves.used)]


def _plain(value):
    """JSON's: lists for tuples, None for NaN."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
