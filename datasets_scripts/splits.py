"""Splits of data sets that define none: which track is for training, validation or test.

``paper_splits.json`` holds the id lists that Kang and Herremans (arXiv 2502.03979) published for DEAM and PMEmo (random
70/15/15) and for EmoMusic, whose test list is MediaEval 2013's evaluation set.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from m2e.datasets.schema import SPLITS, Track, listed
from m2e.errors import DataError

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}


def paper_split(name: str, songs: Iterable[str]) -> dict[str, str]:
    """{id: split} of songs of "deam", "emomusic" or "pmemo". Raises DataError for songs not in its lists."""
    lists = json.loads((Path(__file__).parent / "paper_splits.json").read_text(encoding="utf-8"))[name]
    known = {str(number): split for split in SPLITS for number in lists[split]}
    if others := [song for song in songs if song not in known]:
        raise DataError(f"There are ratings of songs that are not in the lists of {name}: {listed(others)}.")
    return {song: known[song] for song in songs}


def with_splits(tracks: Sequence[Track]) -> list[Track]:
    """The tracks, split 70/15/15 by artist; a track without an artist is a group of its own."""
    splits = grouped_split([track.artist or f"track {track.id}" for track in tracks])
    return [replace(track, split=split) for track, split in zip(tracks, splits, strict=True)]


def grouped_split(groups: Sequence[str], shares: Mapping[str, float] = SHARES) -> list[str]:
    """The split of every track. No group (an artist, a song) is in two splits; the same groups give the same splits.

    The largest groups are placed first, ties in an order that depends on their names only; each goes to the split that
    lacks most tracks.
    """
    sizes = Counter(groups)
    lacking = {split: share * len(groups) for split, share in shares.items()}
    chosen: dict[str, str] = {}
    for group in sorted(sizes, key=lambda g: (-sizes[g], hashlib.sha256(g.encode()).digest())):
        chosen[group] = max(lacking, key=lacking.__getitem__)
        lacking[chosen[group]] -= sizes[group]
    return [chosen[group] for group in groups]
