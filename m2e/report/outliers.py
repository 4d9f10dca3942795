"""Tracks that differ from the rest of a library. Pure functions on arrays."""

from typing import NamedTuple

import numpy as np

DEVIATION_PER_MAD = 1.4826  # standard deviation of a normal distribution whose median absolute deviation is 1
FAR = 3.0  # deviations from the median, from where a value counts as unusual


class Outlier(NamedTuple):
    """A track (row), its most unusual feature (column), and how many deviations that lies above the median."""

    track: int
    feature: int
    deviations: float


def deviations(values: np.ndarray) -> np.ndarray:
    """How many robust deviations each value lies above the median of its column; 0 where it is unknown.

    values: (tracks, features), NaN where unknown. A column whose values are nearly all the same has no deviations.
    """
    result = np.zeros(values.shape)
    for column, each in enumerate(np.asarray(values, float).T):
        known = np.isfinite(each)
        if known.any():
            middle = np.median(each[known])
            spread = DEVIATION_PER_MAD * np.median(np.abs(each[known] - middle))
            if spread > 0:
                result[known, column] = (each[known] - middle) / spread
    return result


def outliers(values: np.ndarray, count: int) -> list[Outlier]:
    """At most `count` tracks with a feature that is FAR from the median, the farthest first; see `deviations`."""
    if not values.size:
        return []
    scores = deviations(values)
    features = np.abs(scores).argmax(axis=1)
    worst = scores[np.arange(len(scores)), features]
    order = np.argsort(-np.abs(worst), kind="stable")[:count]
    return [Outlier(int(i), int(features[i]), float(worst[i])) for i in order if abs(worst[i]) >= FAR]
