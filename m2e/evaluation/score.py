"""All scores of a model's predictions for a labelled dataset, with bootstrap intervals.

    labels, ignored = labels_of(dataset, tags)
    evaluation = score(labels, predictions_of(records, tags), tags)

`m2e.evaluation.metrics` has the single scores, `m2e.evaluation.bootstrap` their values for resamples,
`m2e.evaluation.report` the tables for people.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

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

T = TypeVar("T")
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
    "coverage_valence": "Valence, share of labels in the interval",
    "width_valence": "Valence, mean width of the interval",
    "coverage_arousal": "Arousal, share of labels in the interval",
    "width_arousal": "Arousal, mean width of the interval",
    "mood_roc_auc": "Moods, macro ROC-AUC",
    "mood_pr_auc": "Moods, macro PR-AUC",
    "mood_roc_auc_micro": "Moods, micro ROC-AUC",
    "mood_pr_auc_micro": "Moods, micro PR-AUC",
    "mood_ece": "Moods, calibration error",
}


FEW_TRACKS = 30  # an R2 of 9 tracks has an interval three units wide, one of 30 tracks half a unit


@dataclass(frozen=True)
class Evaluation:
    """Scores of the tasks that have labels.

    tracks: number of scored tracks.  scores: by the keys of SCORE_NAMES; and mood_tags, the number of tags in the macro
    means.  intervals: (low, high) of the scores, inside each score's range.  tags: {tag: {"positives", "roc_auc",
    "pr_auc" and their intervals}} of those.  tags_left_out: labelled tags with too few positives, or without negatives.
    reliability: of the mood probabilities.  resamples, level, seed: of the intervals.  labelled: tracks with labels of
    each task.
    """

    tracks: int
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    tags: dict[str, dict[str, Any]]
    tags_left_out: list[str]
    reliability: Reliability | None
    resamples: int
    level: float
    seed: int
    labelled: dict[str, int] = field(default_factory=dict)

    @property
    def note(self) -> str | None:
        """A warning about tasks with too few labelled tracks; None if all have enough."""
        few = [f"{task} ({count})" for task, count in self.labelled.items() if count < FEW_TRACKS]
        if not few:
            return None
        return f"Too few tracks to conclude anything about {', '.join(few)}: use at least {FEW_TRACKS} labelled tracks."

    def to_dict(self) -> dict[str, Any]:
        """The evaluation for JSON: an undefined score is None."""
        note = {} if self.note is None else {"note": self.note}
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
            | note
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
    """All scores of n tracks, with bootstrap intervals. Raises DataError if no track has a label."""
    measures: list[Measure] = []
    labelled = _labelled(labels)
    if "quadrants" in labelled:
        measures.append(_quadrants(labels.quadrants, predictions.quadrants))
    for column, dimension in enumerate(DIMENSIONS):
        if dimension in labelled:
            measures.append(_dimension(dimension, labels.va[:, column], predictions.va[:, column]))
            if predictions.intervals is not None and not np.isnan(predictions.intervals[:, column]).any():
                measures.append(_coverage(dimension, labels.va[:, column], predictions.intervals[:, column]))
    curves = diagram = None
    if "moods" in labelled:
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
    bounds = {}
    for name, drawn in samples.items():
        limits = bootstrap.LIMITS.get(name.partition("_")[0], (0.0, 1.0))
        low_high = bootstrap.interval(np.concatenate(drawn, axis=-1).T, scores[name], level, limits)
        bounds[name] = np.stack(low_high, axis=-1)
    per_tag = {name: (scores.pop(name), bounds.pop(name, None)) for name in PER_TAG if name in scores}
    return Evaluation(
        tracks=len(labels),
        scores=scores,
        intervals={name: (float(low), float(high)) for name, (low, high) in bounds.items()},
        tags={} if curves is None else _per_tag(tags, curves, per_tag),
        tags_left_out=[] if curves is None else _left_out(tags, curves, labels.moods),
        reliability=diagram,
        resamples=resamples,
        level=level,
        seed=seed,
        labelled=labelled,
    )


def _labelled(labels: Emotions) -> dict[str, int]:
    """The number of labelled tracks by task, of the tasks that have any."""
    va = {name: ~np.isnan(labels.va[:, column]) for column, name in enumerate(DIMENSIONS)}
    tracks = {"quadrants": labels.quadrants != NO_QUADRANT} | va | {"moods": ~np.isnan(labels.moods).all(axis=1)}
    return {task: int(rows.sum()) for task, rows in tracks.items() if rows.any()}


# A task's scores, and a function that gives them for resamples (counts per track), with resamples in the last axis.
Measure = tuple[dict[str, Any], Callable[[np.ndarray], dict[str, np.ndarray]]]
PER_TAG = ("roc_auc", "pr_auc")  # scores that are arrays with a value for each tag in the macro means


def _quadrants(labels: np.ndarray, predictions: np.ndarray) -> Measure:
    def named(values: dict[str, T]) -> dict[str, T]:
        return {f"quadrant_{name}": value for name, value in values.items()}

    return (
        named(quadrant_scores(labels, predictions)),
        lambda counts: named(bootstrap.resampled_quadrants(labels, predictions, counts)),
    )


def _dimension(dimension: str, labels: np.ndarray, predictions: np.ndarray) -> Measure:
    def named(values: dict[str, T]) -> dict[str, T]:
        return {f"{name}_{dimension}": value for name, value in values.items()}

    return (
        named(dimension_scores(labels, predictions)),
        lambda counts: named(bootstrap.resampled_dimension(labels, predictions, counts)),
    )


def _coverage(dimension: str, labels: np.ndarray, intervals: np.ndarray) -> Measure:
    rows = ~np.isnan(labels)
    low, high = intervals[rows].T
    inside = (low <= labels[rows]) & (labels[rows] <= high)
    both = np.stack([inside, high - low])
    names = f"coverage_{dimension}", f"width_{dimension}"

    def resample(counts: np.ndarray) -> dict[str, np.ndarray]:
        drawn = counts[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            return dict(zip(names, both @ drawn / drawn.sum(0), strict=True))

    return dict(zip(names, both.mean(axis=1).tolist(), strict=True)), resample


def _moods(labels: np.ndarray, probabilities: np.ndarray, curves: TagScores, ece: float) -> Measure:
    labelled = ~np.isnan(labels)
    tracks, columns = np.nonzero(labelled)
    truth, guesses = labels[labelled], probabilities[labelled]
    pooled = bootstrap.RankedEntries(truth, guesses, tracks, len(labels))
    ranked = [
        bootstrap.RankedEntries(truth[columns == tag], guesses[columns == tag], tracks[columns == tag], len(labels))
        for tag in np.flatnonzero(curves.used)
    ]

    def resample(counts: np.ndarray) -> dict[str, np.ndarray]:
        values = {"mood_ece": bootstrap.resampled_ece(labels, probabilities, counts)}
        values["mood_roc_auc_micro"], values["mood_pr_auc_micro"] = pooled(counts)
        if ranked:
            roc_auc, pr_auc = np.stack([tag(counts) for tag in ranked], axis=1)
            values |= {"roc_auc": roc_auc, "pr_auc": pr_auc}
            # a resample without a positive track of a tag leaves the tag out, as any set would
            values |= {f"mood_{name}": _mean_of_defined(values[name]) for name in PER_TAG}
        return values

    each = {"roc_auc": curves.roc_auc[curves.used], "pr_auc": curves.pr_auc[curves.used]}
    return curves.to_dict() | {"mood_ece": ece} | each, resample


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """The mean over the first axis without NaN; NaN if all values are."""
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=0) / (~np.isnan(values)).sum(axis=0)


def _per_tag(
    tags: Sequence[str], curves: TagScores, scores: dict[str, tuple[np.ndarray, np.ndarray | None]]
) -> dict[str, dict[str, Any]]:
    rows = {}
    for place, tag in enumerate(np.flatnonzero(curves.used).tolist()):
        row: dict[str, Any] = {"positives": int(curves.positives[tag])}
        for name, (values, bounds) in scores.items():
            row[name] = float(values[place])
            if bounds is not None:
                row[f"{name}_interval"] = tuple(bounds[place].tolist())
        rows[tags[tag]] = row
    return rows


def _left_out(tags: Sequence[str], curves: TagScores, labels: np.ndarray) -> list[str]:
    labelled = ~np.isnan(labels).all(axis=0)
    return [tags[tag] for tag in np.flatnonzero(labelled & ~curves.used).tolist()]


def _plain(value: Any) -> Any:
    """The value for JSON: lists for tuples, None for NaN."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
