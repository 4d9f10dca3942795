"""Which tracks a playlist is made of: those like others, of moods, of a quadrant, or along a path between moods."""

import os
from collections.abc import Sequence

import numpy as np

from m2e.errors import UsageError
from m2e.library.database import Library
from m2e.library.playlists import Candidates, Length, Path, arrange, numbered
from m2e.library.query import Tracks, check_mood, search
from m2e.library.similarity import embeddings_of, similarities
from m2e.library.track import LibraryTrack

MOOD_SHARE = 0.1  # of the tracks, those with the most of a mood, say where in the plane it is
LIKE_SCALE = 5.0  # a similarity lower by 0.2 is as bad as one standard deviation on the plane
QUADRANTS = ("Q1", "Q2", "Q3", "Q4")
NOTHING_FITS = "no track fits: ask for less, or see what there is with m2e library query."


def find_track(library: Library, text: str) -> LibraryTrack:
    """The track with this id, or of this file. Raises: UsageError."""
    track = library.track(int(text)) if text.isdecimal() and not os.path.exists(text) else library.find(text)
    if track is None:
        raise UsageError(f"{text} is not in the library: scan its folder, or give the id of a track.")
    if track.missing:
        raise UsageError(f"{track.path} is missing: bring it back, or choose another track.")
    return track


class Plane:
    """The valence-arousal plane in standard deviations of a library, as absolute values crowd near the middle.

    points: (n, 2) of all tracks.
    """

    def __init__(self, tracks: Tracks):
        values = np.stack([tracks.number("valence"), tracks.number("arousal")], axis=1).astype(np.float64)
        self._center, self._spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
        self.points = self.point(values)

    def point(self, values: np.ndarray) -> np.ndarray:
        """(..., 2) valence and arousal (1-9) in the units of the plane."""
        return (values - self._center) / self._spread


def candidates(tracks: Tracks, where: str = "", also: Sequence[int] = ()) -> tuple[Candidates, np.ndarray]:
    """(the tracks that a query finds, and those with the ids `also`; their rows among all).

    Raises: QueryError; UsageError if the query finds none.
    """
    rows = search(tracks, where)
    if not len(rows):
        raise UsageError(NOTHING_FITS)
    taken = np.isin(tracks.ids, np.asarray(also, np.int64))
    taken[rows] = True
    rows = np.flatnonzero(taken)
    seconds = tracks.number("duration").astype(np.float64)
    known = seconds[~np.isnan(seconds)]
    seconds = np.where(np.isnan(seconds), np.median(known) if len(known) else 0.0, seconds)
    artists = [None if text is None else text.split("; ")[0] for text in tracks.texts("artist")]
    titles = tracks.texts("title")
    songs = [f"{artist}\n{title}" if artist and title else None for artist, title in zip(artists, titles, strict=True)]
    keys, plane = tracks.number("key"), Plane(tracks).points
    everything = Candidates(tracks.ids, plane, keys, numbered(artists), numbered(songs), seconds)
    return everything.take(rows), rows


def like(tracks: Tracks, names: Sequence[str], length: Length, where: str = "", seed: int = 0) -> list[int]:
    """A playlist of the tracks nearest to some, which come first. Raises: UsageError."""
    wanted = [find_track(tracks.library, name).id for name in names]
    some, _ = candidates(tracks, where, wanted)
    ids, matrix = tracks.columns.embeddings()
    found = dict(zip(ids.tolist(), similarities(matrix, embeddings_of(ids, matrix, wanted)).tolist(), strict=True))
    costs = np.array([LIKE_SCALE * (1 - found.get(each, -1.0)) for each in some.ids.tolist()])
    costs[np.isin(some.ids, wanted)] = 0.0
    return arrange(some, costs, length, seed=seed, first=wanted[0])


def moods(tracks: Tracks, names: Sequence[str], length: Length, where: str = "", seed: int = 0) -> list[int]:
    """A playlist of the tracks with the most of all these moods. Raises: UsageError."""
    some, rows = candidates(tracks, where)
    costs = np.zeros(len(some))
    for name in names:
        costs += _fall(mood_of(tracks, name))[rows]
    return arrange(some, costs, length, seed=seed)


def quadrant(tracks: Tracks, name: str, length: Length, where: str = "", seed: int = 0) -> list[int]:
    """A playlist of tracks of a quadrant, the clearest ones first. Raises: UsageError."""
    if name.upper() not in QUADRANTS:
        raise UsageError(f"{name} is no quadrant: give Q1, Q2, Q3 or Q4.")
    condition = f"quadrant = {name}"
    some, _ = candidates(tracks, f"({where}), {condition}" if where.strip() else condition)
    return arrange(some, np.zeros(len(some)), length, seed=seed)


def journey(tracks: Tracks, start: str, end: str, length: Length, where: str = "", seed: int = 0) -> list[int]:
    """A playlist from one place in the valence-arousal plane to another.

    start, end: a mood, "valence,arousal", or a track, which is then the first or the last one.
    Raises: UsageError.
    """
    if not len(tracks.ids):
        raise UsageError(NOTHING_FITS)
    (first, from_id), (last, to_id) = _place(tracks, start), _place(tracks, end)
    some, _ = candidates(tracks, where, [each for each in (from_id, to_id) if each is not None])
    return arrange(some, np.zeros(len(some)), length, Path(first, last), seed, from_id, to_id)


def _place(tracks: Tracks, text: str) -> tuple[np.ndarray, int | None]:
    """(a point in the units of the plane; the id of the track, if it is one)."""
    plane = Plane(tracks)
    if point := _point(text):
        return plane.point(np.array(point)), None
    if text.isdecimal() or os.path.exists(text):
        key = find_track(tracks.library, text).id
        return plane.points[np.flatnonzero(tracks.ids == key)[0]], key
    values = np.nan_to_num(mood_of(tracks, text), nan=-1.0)
    most = np.argsort(-values, kind="stable")[: max(1, round(MOOD_SHARE * len(values)))]
    return plane.points[most].mean(axis=0), None


def _point(text: str) -> tuple[float, float] | None:
    try:
        valence, arousal = map(float, text.split(","))
    except ValueError:
        return None
    return valence, arousal


def mood_of(tracks: Tracks, name: str) -> np.ndarray:
    """(n,) the probability of a mood. Raises: QueryError."""
    return tracks.columns.mood(check_mood(tracks, name))


def _fall(values: np.ndarray) -> np.ndarray:
    """(n,) how far each value lies below the largest, in standard deviations; unknown ones as the lowest."""
    values = np.nan_to_num(values.astype(np.float64), nan=0.0)
    return (values.max() - values) / max(values.std(), 1e-6)
