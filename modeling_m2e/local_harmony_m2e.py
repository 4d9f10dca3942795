"""Cuts a track into parts, each with the harmony around it: what the curve is predicted from.

The harmony of a whole track cannot move its curve, and the network learnt from clips of about half a minute.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np

from .chord_labels_m2e import ChordSegment
from .key_m2e import estimate_key
from .processing_m2e import TrackFeatures
from .windows_m2e import Window

PARTS_PER_CONTEXT = 3  # a part is so much shorter than the harmony around it


def parts(track: TrackFeatures, seconds: float, key_profile: str) -> Iterator[TrackFeatures]:
    """The track's windows in runs, each with chords, key and statistics of `seconds` of the track around its middle.

    A track that is no longer is one part. Near its ends the context is as long, so it is not centred there.
    """
    if track.duration <= seconds:
        yield track
        return

    def run(item: tuple[int, Window]) -> int:
        return int((item[1].start + item[1].end) / 2 / seconds * PARTS_PER_CONTEXT)

    for _, group in groupby(enumerate(track.windows), run):
        numbers = [number for number, _ in group]
        windows = track.windows[numbers[0] : numbers[-1] + 1]
        middle = (windows[0].start + windows[-1].end) / 2
        start = min(max(0.0, middle - seconds / 2), track.duration - seconds)
        part = replace(track, windows=windows, embeddings=track.embeddings[numbers[0] : numbers[-1] + 1])
        yield part if track.chords is None else with_harmony_of(part, start, start + seconds, key_profile)


def with_harmony_of(track: TrackFeatures, start: float, end: float, key_profile: str) -> TrackFeatures:
    """The features with the chords, the key and the statistics from `start` to `end`, in seconds."""
    chords = clipped(track.chords or [], start, end)
    statistics = track.statistics
    if statistics is not None:
        borders = np.append(statistics[:, 0], track.duration)
        middles = (borders[:-1] + borders[1:]) / 2
        inside = (middles >= start) & (middles < end)
        statistics = statistics[inside if inside.any() else [np.abs(middles - (start + end) / 2).argmin()]]
    return replace(track, chords=chords, key=estimate_key(chords, profile=key_profile), statistics=statistics)


def clipped(chords: list[ChordSegment], start: float, end: float) -> list[ChordSegment]:
    """The chords between two times in seconds, the outer ones shortened."""
    inside = [chord for chord in chords if chord.end > start and chord.start < end]
    return [replace(chord, start=max(chord.start, start), end=min(chord.end, end)) for chord in inside]
