"""Do two systems differ on the same tracks? Paired bootstrap: both are scored on the same resamples of the tracks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from m2e.evaluation import bootstrap
from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import DIMENSIONS, MIN_POSITIVES, dimension_scores, quadrant_scores, tag_scores


@dataclass(frozen=True)
class Sampled:
    """A score of one system. value: on all tracks.  samples: (R,) on resamples; equal seeds draw equal tracks.  limits:
    its range."""

    value: float
    samples: np.ndarray
    limits: tuple[float, float] = (-np.inf, 1.0)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Of the score, see `bootstrap.interval`."""
        low, high = bootstrap.interval(self.samples, np.array(self.value), level, self.limits)
        return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """How much the second system scores above the first. probability: share of resamples where it does."""

    value: float
    low: float
    high: float
    probability: float

    @property
    def verdict(self) -> str:
        """Whether "the second is better" holds: its interval lies above 0, below 0, or includes 0."""
        if np.isnan(self.low):
            return "not defined"
        return "holds" if self.low > 0 else "contradicted" if self.high < 0 else "not decided"


def sampled(
    labels: Emotions,
    predictions: Emotions,
    names: Sequence[str],
    resamples: int = 1000,
    seed: int = 0,
    min_positives: int = MIN_POSITIVES,
) -> dict[str, Sampled]:
    """The scores in `names` of n tracks, of labelled entries alone.

    names: mood_pr_auc, mood_roc_auc, quadrant_f1, quadrant_accuracy; r2, rmse, ccc or pearson with _valence, _arousal.
    """
    found: dict[str, Sampled] = {}
    draws = list(bootstrap.resampled_counts(len(labels), resamples, seed))
    for column, dimension in enumerate(DIMENSIONS):
        pair = labels.va[:, column], predictions.va[:, column]
        if wanted := [name for name in names if name.endswith(f"_{dimension}")]:
            values = dimension_scores(*pair)
            parts = [bootstrap.resampled_dimension(*pair, counts) for counts in draws]
            found |= {name: _of(name.removesuffix(f"_{dimension}"), values, parts) for name in wanted}
    if wanted := [name for name in names if name.startswith("quadrant_")]:
        quadrants = labels.quadrants, predictions.quadrants
        values = quadrant_scores(*quadrants)
        parts = [bootstrap.resampled_quadrants(*quadrants, counts) for counts in draws]
        found |= {name: _of(name.removeprefix("quadrant_"), values, parts) for name in wanted}
    if {"mood_pr_auc", "mood_roc_auc"} & set(names):
        curves = tag_scores(labels.moods, predictions.moods, min_positives)
        areas = _areas(labels.moods, predictions.moods, np.flatnonzero(curves.used), draws)
        values = {"mood_roc_auc": curves.roc_auc_macro, "mood_pr_auc": curves.pr_auc_macro}
        found |= {name: Sampled(values[name], areas[name]) for name in values if name in names}
    return found


def _of(name: str, values: Mapping[str, float], parts: Sequence[Mapping[str, np.ndarray]]) -> Sampled:
    """One of several scores that are computed together."""
    return Sampled(values[name], _joined([part[name] for part in parts]), bootstrap.LIMITS.get(name, (0.0, 1.0)))


def _areas(
    labels: np.ndarray, scores: np.ndarray, tags: np.ndarray, draws: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Macro means on resamples; a tag counts where a resample has both classes."""
    ranked = []
    for tag in tags:
        rows = np.flatnonzero(~np.isnan(labels[:, tag]))
        ranked.append(bootstrap.RankedEntries(labels[rows, tag], scores[rows, tag], rows, len(labels)))
    parts: dict[str, list[np.ndarray]] = {"mood_roc_auc": [], "mood_pr_auc": []}
    for counts in draws:
        empty = np.full((2, 1, counts.shape[1]), np.nan)
        areas = np.stack([each(counts) for each in ranked], axis=1) if ranked else empty
        with np.errstate(invalid="ignore"):
            means = np.nansum(areas, axis=1) / (~np.isnan(areas)).sum(axis=1)
        for name, values in zip(parts, means, strict=True):
            parts[name].append(values)
    return {name: _joined(values) for name, values in parts.items()}


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)


def over_seeds(systems: Sequence[Sampled]) -> Sampled:
    """The mean score of several networks."""
    value, samples = np.mean([s.value for s in systems]), np.mean([s.samples for s in systems], axis=0)
    return Sampled(float(value), samples, systems[0].limits)


def difference(first: Sampled, second: Sampled, level: float = 0.95) -> Difference:
    """Second - first. The interval is that of the paired differences, moved so that their mean is the difference."""
    paired = second.samples - first.samples
    paired = paired[~np.isnan(paired)]
    value = second.value - first.value
    if not len(paired) or np.isnan(value):
        return Difference(value, float("nan"), float("nan"), float("nan"))
    tail = 50 * (1 - level)
    low, high = np.percentile(paired, [tail, 100 - tail]) - paired.mean() + value
    return Difference(value, float(low), float(high), float((paired - paired.mean() + value > 0).mean()))
