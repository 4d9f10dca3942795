"""Playlists: which tracks, and in which order. Pure functions on arrays; the same input gives the same playlist.

A playlist is built track by track. Each step takes the track with the lowest cost: how badly it fits, how far it is
from the place on the path in the valence-arousal plane, and how badly its key mixes with that of the track before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from m2e.library.keys import key_distance

ARTIST_GAP = 5  # an artist comes once in so many tracks in a row
KEY_WEIGHT = 0.5  # a clash of keys costs as much as so many standard deviations of valence or arousal
UNKNOWN_KEY = 0.5  # of a clash
CLASH = 3  # steps on the circle of fifths from which on all keys are equally far
VARIETY = 0.25  # standard deviations, by which chance moves the costs
POOL = 2000  # tracks that are considered in every step, or 20 for each track of the playlist
OVERSHOOT = 0.1  # of the length, by which the last track may be too long

_CLASHES = np.array([[min(key_distance(a, b), CLASH) / CLASH for b in range(24)] for a in range(24)])


@dataclass(frozen=True)
class Candidates:
    """n tracks, of which a playlist is made.

    ids: (n,).  plane: (n, 2) valence and arousal in standard deviations of the library.  keys: (n,) 0-23 or NaN.
    artists, songs: (n,) a number for each artist, and for each song, which may be there several times; -1 where
    unknown.  seconds: (n,) durations.
    """

    ids: np.ndarray
    plane: np.ndarray
    keys: np.ndarray
    artists: np.ndarray
    songs: np.ndarray
    seconds: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> "Candidates":
        """Some of the tracks."""
        columns = (getattr(self, column.name)[rows] for column in fields(self))
        return Candidates(*columns)


@dataclass(frozen=True)
class Path:
    """From one point of the plane to another one, in the units of `Candidates.plane`."""

    start: np.ndarray
    end: np.ndarray

    def at(self, share: float) -> np.ndarray:
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def distances(self, points: np.ndarray) -> np.ndarray:
        """(n,) distances of points to the path."""
        along = self.end - self.start
        length = float(along @ along)
        shares = np.clip((points - self.start) @ along / length, 0, 1) if length else np.zeros(len(points))
        return np.linalg.norm(points - (self.start + shares[:, None] * along), axis=1)


@dataclass(frozen=True)
class Length:
    """The length of a playlist: a number of tracks, or minutes."""

    count: int | None = None
    minutes: float | None = None

    def tracks(self, seconds: np.ndarray) -> int:
        """About how many tracks that is."""
        if self.count is not None:
            return self.count
        return max(1, round((self.minutes or 0) * 60 / max(float(np.median(seconds)), 1.0)))


def arrange(
    candidates: Candidates,
    costs: np.ndarray,
    length: Length,
    path: Path | None = None,
    seed: int = 0,
    first: int | None = None,
    last: int | None = None,
) -> list[int]:
    """The ids of a playlist, perhaps shorter than `length` where tracks or artists run out.

    costs: (n,) how badly each track fits, in about standard deviations.  path: for playlists that move in the plane.
    first, last: ids that the playlist begins and ends with.
    """
    random = np.random.default_rng(seed)
    costs = costs + VARIETY * random.random(len(costs))
    wanted = length.tracks(candidates.seconds) if len(candidates) else 0
    pool = _pool(candidates, costs if path is None else costs + path.distances(candidates.plane), wanted, first, last)
    some, costs = candidates.take(pool), costs[pool]
    free = np.ones(len(some), bool)
    gap = min(ARTIST_GAP, len(set(some.artists.tolist()) - {-1}) or 1)
    total = None if length.minutes is None else length.minutes * 60
    end = _row(some.ids, last)
    if end is not None:
        free &= _others(some.songs, end)
        free &= (some.artists != some.artists[end]) | (some.artists < 0) | (some.ids == first) | (gap == 1)
    reserved = some.seconds[end] if end is not None and total is not None else 0.0

    chosen: list[int] = []
    elapsed = 0.0
    while len(chosen) < (length.count or len(some)) - (end is not None):
        allowed = free & ~np.isin(some.artists, [each for each in some.artists[chosen[1 - gap :]] if each >= 0])
        if gap == 1:
            allowed = free.copy()
        if total is not None:
            allowed &= some.seconds <= total * (1 + OVERSHOOT) - elapsed - reserved
        if first is not None and not chosen:
            allowed &= some.ids == first
        if not allowed.any():
            break
        step = costs.copy()
        if path is not None:
            share = _share(len(chosen), elapsed, length, total, some)
            step += np.linalg.norm(some.plane - path.at(share), axis=1)
        if chosen:
            step += KEY_WEIGHT * _key_costs(some.keys[chosen[-1]], some.keys)
        best = int(np.flatnonzero(allowed)[np.argmin(step[allowed])])
        if total is not None and chosen:
            before, after = total - elapsed - reserved, elapsed + reserved + some.seconds[best] - total
            if after > before:  # nearer to the length without it
                break
        chosen.append(best)
        free &= _others(some.songs, best)
        elapsed += float(some.seconds[best])
    return [int(some.ids[row]) for row in [*chosen, *([] if end is None else [end])]]


def _others(songs: np.ndarray, row: int) -> np.ndarray:
    """(n,) bool: whether a track is another song than that of a row."""
    others = (songs != songs[row]) | (songs < 0)
    others[row] = False
    return others


def _share(count: int, elapsed: float, length: Length, total: float | None, some: Candidates) -> float:
    """How far along the path the next track is: 0 for the first, 1 for the last."""
    if total is None:
        return count / max((length.count or len(some)) - 1, 1)
    return elapsed / max(total - float(np.median(some.seconds)), 1.0)


def _pool(candidates: Candidates, costs: np.ndarray, wanted: int, *ids: int | None) -> np.ndarray:
    """The rows of the best tracks, in their order, and of those with the `ids`."""
    size = max(POOL, 20 * wanted)
    rows = np.arange(len(costs)) if len(costs) <= size else np.sort(np.argpartition(costs, size)[:size])
    named = [row for row in (_row(candidates.ids, each) for each in ids) if row is not None]
    return np.unique(np.concatenate([rows, np.array(named, np.int64)]))


def _row(ids: np.ndarray, wanted: int | None) -> int | None:
    found = np.flatnonzero(ids == (0 if wanted is None else wanted))  # ids begin with 1
    return int(found[0]) if len(found) else None


def _key_costs(previous: float, keys: np.ndarray) -> np.ndarray:
    """(n,) 0 for keys that mix with the previous one, up to 1."""
    if np.isnan(previous):
        return np.full(len(keys), UNKNOWN_KEY)
    known = ~np.isnan(keys)
    found = np.full(len(keys), UNKNOWN_KEY)
    steps = _CLASHES[int(previous)][keys[known].astype(int)]
    found[known] = np.where(steps <= 1 / CLASH, 0.0, steps)
    return found


def numbered(texts: Sequence[str | None]) -> np.ndarray:
    """(n,) a number for each text, without regard to case; -1 for None."""
    numbers: dict[str, int] = {}
    return np.array(
        [-1 if text is None else numbers.setdefault(text.casefold(), len(numbers)) for text in texts], np.int64
    )
