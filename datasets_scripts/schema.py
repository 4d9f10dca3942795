"""The common schema of all data sets: a track, its audio and its labels.

id        name of the track within its data set
audio     path of the local file; from the hub also {"bytes", "path"}
moods     labels of a multi-label vocabulary; null where the data set has none
valence   1 (negative) to 9 (positive); null where unknown
arousal   1 (calm) to 9 (excited); null where unknown
quadrant  Q1 to Q4 (Russell), as annotated; null where it is not
artist    must not be in training and test at once; null where unknown
split     train, validation or test
duration  seconds, by the labels or the file's header; null where unknown
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from datasets import Dataset, Features, List, Value

from m2e.errors import DataError
from modeling_m2e.scale_m2e import QUADRANTS

SPLITS = ("train", "validation", "test")
SCALE = (1.0, 9.0)  # of valence and arousal
FEATURES = Features(
    id=Value("string"),
    audio=Value("string"),
    moods=List(Value("string")),
    valence=Value("float32"),
    arousal=Value("float32"),
    quadrant=Value("string"),
    artist=Value("string"),
    split=Value("string"),
    duration=Value("float32"),
)


@dataclass(frozen=True)
class Track:
    """One row of the schema."""

    id: str
    audio: Path | str
    split: str
    moods: list[str] | None = None
    valence: float | None = None
    arousal: float | None = None
    quadrant: str | None = None
    artist: str | None = None
    duration: float | None = None


def to_dataset(name: str, tracks: Sequence[Track]) -> Dataset:
    """The tracks as a Dataset with FEATURES. Raises DataError that lists all rows that break the schema."""
    faults = {
        "ids that occur more than once": [key for key, count in Counter(t.id for t in tracks).items() if count > 1],
        f"splits other than {', '.join(SPLITS)}": [t.id for t in tracks if t.split not in SPLITS],
        "valence or arousal beyond 1 to 9, or one without the other": [t.id for t in tracks if not _on_scale(t)],
        "quadrants other than Q1 to Q4": [t.id for t in tracks if t.quadrant not in (None, *QUADRANTS)],
    }
    if listing := [f"{fault} ({listed(ids)})" for fault, ids in faults.items() if ids]:
        raise DataError(f"{name} has {'; '.join(listing)}: correct its labels.")
    columns = {field.name: [getattr(track, field.name) for track in tracks] for field in fields(Track)}
    columns["audio"] = [str(path) for path in columns["audio"]]
    return Dataset.from_dict({column: columns[column] for column in FEATURES}, features=FEATURES)


def _on_scale(track: Track) -> bool:
    values = track.valence, track.arousal
    if values == (None, None):
        return True
    return all(v is not None and math.isfinite(v) and SCALE[0] - 1e-6 <= v <= SCALE[1] + 1e-6 for v in values)


def rescale(value: float, low: float, high: float) -> float:
    """A rating between ``low`` and ``high``, moved to the scale from 1 to 9."""
    return SCALE[0] + (SCALE[1] - SCALE[0]) * (value - low) / (high - low)


def split_words(cell: str | Iterable[object], separator: str = ";") -> list[str]:
    """The words of a cell, with or without blanks around the separator; without empty words and repetitions."""
    words = cell.split(separator.strip() or separator) if isinstance(cell, str) else map(str, cell)
    return list(dict.fromkeys(word.strip() for word in words if word.strip()))


def listed(names: Iterable[str], limit: int = 20) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + more
