"""The parts of a track: its segments of constant emotion, and its highlight. Pure functions on the curve.

Segments are the best piecewise constant fit of the curve: least squares, with a penalty for every change (optimal
partitioning: Jackson et al. 2005, "An algorithm for optimal partitioning of data on an interval").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .record_m2e import CurvePoint, Highlight

MAX_CELLS = 1024  # of a track, however long: bounds the time, which grows with the square
MIN_SEGMENT_SECONDS = 10.0
HIGHLIGHT_SECONDS = 30.0
# What a change has to explain: squared points of the scale times seconds. A move by one point that lasts 10 s on both
# sides explains 5; one by half a point has to last 16 s.
_MIN_PENALTY = 2.0
_NOISE_FACTOR = 2.0  # of the penalty that noise alone would reach
_MEDIAN_CHI2 = 2 * math.log(2)  # median of a chi-squared variable of 2 degrees of freedom


@dataclass(frozen=True)
class Stretch:
    """Consecutive windows, from `first` up to `last` (exclusive), and the seconds that they stand for."""

    first: int
    last: int
    start: float
    end: float


def stretches(curve: Sequence[CurvePoint]) -> list[Stretch]:
    """The segments of a curve: without gaps, from its start to its end, each at least 10 s long unless the track is
    shorter; empty for an empty curve.

    A border is in the middle of the overlap of two windows.
    """
    if not curve:
        return []
    borders = _borders(curve)
    values = np.array([[point.valence, point.arousal] for point in curve])
    edges = _cells(len(curve))
    seconds = np.maximum(np.diff(borders), 1e-9)
    cells = np.add.reduceat(values * seconds[:, None], edges[:-1]) / np.add.reduceat(seconds, edges[:-1])[:, None]
    changes = change_points(cells, borders[edges], _penalty(curve, values))
    places = edges[changes].tolist()
    return [
        Stretch(first, last, float(borders[first]), float(borders[last]))
        for first, last in zip(places, places[1:], strict=False)
    ]


def change_points(
    values: np.ndarray, times: np.ndarray, penalty: float, shortest: float = MIN_SEGMENT_SECONDS
) -> list[int]:
    """The borders [0, ..., n] of the piecewise constant fit of values (n, d) that costs least.

    times: (n + 1,) of the borders between the values, increasing.  A fit costs the squared distances times seconds,
    and `penalty` for every border inside. No piece is shorter than `shortest` seconds, unless all is.
    """
    seconds = np.diff(times)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values * seconds[:, None], axis=0)])
    squares = np.concatenate([[0.0], np.cumsum((values**2).sum(axis=1) * seconds)])
    best, before = np.full(len(times), np.inf), np.zeros(len(times), dtype=int)
    best[0] = -penalty
    for end in range(1, len(times)):
        enough = max(1, int(np.searchsorted(times, times[end] - shortest + 1e-9, side="right")))  # starts that may be
        apart = np.maximum(times[end] - times[:enough], 1e-9)
        fit = squares[end] - squares[:enough] - ((sums[end] - sums[:enough]) ** 2).sum(axis=1) / apart
        costs = best[:enough] + fit + penalty
        before[end] = int(costs.argmin())
        best[end] = costs[before[end]] if apart[0] >= shortest or end == len(values) else np.inf
    path = [len(values)]
    while path[-1]:
        path.append(int(before[path[-1]]))
    return path[::-1]


def highlight(curve: Sequence[CurvePoint], embeddings: np.ndarray | None = None) -> Highlight | None:
    """The 30 s that are most like the whole track, or all of a shorter track; None for an empty curve.

    embeddings: (n, width) of the windows. The mean of the part lies nearest to the median of all windows, in place and
    in embedding, each measured by the mean distance of all parts.
    """
    if not curve:
        return None
    begin, end = curve[0].start, curve[-1].end
    if end - begin <= HIGHLIGHT_SECONDS:
        return Highlight(begin, end)
    edges = _cells(len(curve))
    counts = np.diff(edges)[:, None]
    starts = np.array([curve[first].start for first in edges[:-1]])
    ends = np.array([curve[last - 1].end for last in edges[1:]])
    firsts = np.flatnonzero(starts <= end - HIGHLIGHT_SECONDS + 1e-9)
    lasts = np.maximum(np.searchsorted(ends, starts[firsts] + HIGHLIGHT_SECONDS + 1e-9, side="right"), firsts + 1)
    distance = np.zeros(len(firsts))
    places = np.array([[point.valence, point.arousal] for point in curve])
    for matrix in [places] if embeddings is None else [places, embeddings]:
        cells = np.add.reduceat(matrix, edges[:-1]).astype(np.float64) / counts
        sums = np.concatenate([np.zeros((1, cells.shape[1])), np.cumsum(cells, axis=0)])
        means = (sums[lasts] - sums[firsts]) / (lasts - firsts)[:, None]
        apart = np.linalg.norm(means - np.median(cells, axis=0), axis=1)
        distance += apart / max(apart.mean(), 1e-9)
    start = float(starts[firsts[int(distance.argmin())]])
    return Highlight(start, start + HIGHLIGHT_SECONDS)


def _borders(curve: Sequence[CurvePoint]) -> np.ndarray:
    """(n + 1,) where one window's part of the track ends and that of the next begins."""
    inside = [(before.end + after.start) / 2 for before, after in zip(curve, curve[1:], strict=False)]
    return np.array([curve[0].start, *inside, curve[-1].end])


def _cells(count: int) -> np.ndarray:
    """The borders of cells of equally many windows, at most MAX_CELLS of them."""
    size = -(-count // MAX_CELLS)
    return np.append(np.arange(0, count, size), count)


def _penalty(curve: Sequence[CurvePoint], values: np.ndarray) -> float:
    """What a change has to explain: twice what noise alone would, in the best of all places to cut.

    The noise is that of windows that do not overlap, taken from the (lower) median of their differences. The best of n
    places to cut it explains about its variance, times 2 log n, times the seconds of a window.
    """
    width = float(np.median([point.end - point.start for point in curve]))
    starts = np.array([point.start for point in curve])
    lag = int(np.searchsorted(starts, starts[0] + width - 1e-6))
    if lag >= len(values):
        return _MIN_PENALTY
    moved = ((values[lag:] - values[:-lag]) ** 2).sum(axis=1)
    variance = float(np.sort(moved)[(len(moved) - 1) // 2]) / 2 / _MEDIAN_CHI2
    independent = max((curve[-1].end - curve[0].start) / width, 2.0)
    return max(_MIN_PENALTY, _NOISE_FACTOR * variance * width * 2 * math.log(independent))
