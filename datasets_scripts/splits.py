"""Which track is for training, validation or test, where the data set itself does not say.

``paper_splits.json`` holds the id lists that Kang and Herremans (arXiv 2502.03979) published for DEAM and PMEmo (random
70/15/15) and for EmoMusic, whose test list is MediaEval 2013's evaluation set.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from m2e.datasets.schema import SPLITS, listed
from m2e.errors import DataError

SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}


def paper_split(name: str, songs: Iterable[str]) -> dict[str, str]:
    """{id: split} of songs of "deam", "emomusic" or "pmemo". Raises DataError where there are others."""
    lists = json.loads((Path(__file__).parent / "paper_splits.json").read_text())[name]
    known = {str(number): split for split in SPLITS for number in lists[split]}
    if others := [song for song in songs if song not in known]:
        raise DataError(f"There are ratings of songs that are not in the lists of {name}: {listed(others)}.")
    return {song: known[song] for song in songs}


def grouped_split(groups: Sequence[str], shares: Mapping[str, float] = SHARES) -> list[str]:
    """The split of every track, such that no group (an artist, a song) is in two; the same groups give the same.

    The largest groups are placed first, ties in an order that depends on nothing but their names; each goes where most
    tracks are lacking.
    """
    sizes = Counter(groups)
    lacking = {split: share * len(groups) for split, share in shares.items()}
    chosen = {}
    for group in sorted(sizes, key=lambda g: (-sizes[g], hashlib.sha256(g.encode()).digest())):
        chosen[group] = max(lacking, key=lacking.get)
        lacking[chosen[group]] -= sizes[group]
    return [chosen[group] for group in groups]
