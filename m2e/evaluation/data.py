"""Labels of a dataset and predictions for its tracks, both as columns of arrays: the input of every score.

A dataset has the columns of `m2e.datasets.schema`.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from m2e.errors import DataError
from m2e.evaluation.metrics import DIMENSIONS, NO_QUADRANT
from modeling_m2e.record_m2e import FailedTrack, Mood, MusicEmotion
from modeling_m2e.scale_m2e import QUADRANTS

INTERVALS = tuple(f"{name}_interval" for name in DIMENSIONS)

if TYPE_CHECKING:
    from datasets import Dataset

    from modeling_m2e import MusicEmotionPipeline


@dataclass(frozen=True)
class Emotions:
    """Labels or predictions of n tracks in columns.

    moods: (n, M) labels 0 or 1, or probabilities.  va: (n, 2) valence, arousal, 1-9.  quadrants: (n,) 0..3.
    NaN (-100 for a quadrant) marks a missing label.
    intervals: (n, 2, 2) low and high of valence and of arousal, NaN where a record has none; None for labels.
    """

    moods: np.ndarray
    va: np.ndarray
    quadrants: np.ndarray
    intervals: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.moods)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray) -> "Emotions":
        intervals = None if self.intervals is None else self.intervals[rows]
        return Emotions(self.moods[rows], self.va[rows], self.quadrants[rows], intervals)


# --- labels ---


def labels_of(dataset: "Dataset | Mapping[str, Sequence[Any]]", tags: Sequence[str]) -> tuple[Emotions, Counter[str]]:
    """The labels of all tracks for a model with these mood tags, and the counts of the moods that match no tag.

    A mood matches the tag of its name, else the tags that `m2e.datasets.panda4q` maps the AllMusic mood of that name
    onto. Tags that no mood of the dataset matches have no labels: give the whole dataset, and select a split
    afterwards. A track whose moods are None has no mood labels either.
    """
    columns = {tag: index for index, tag in enumerate(tags)}
    tracks = dataset["moods"][:]
    occurring = Counter(word for words in tracks for word in words or ())
    matches = {word: [columns[tag] for tag in _matching_tags(word, columns) if tag in columns] for word in occurring}
    labelled = sorted({column for matched in matches.values() for column in matched})
    moods = np.full((len(tracks), len(tags)), np.nan)
    for row, words in zip(moods, tracks, strict=True):
        if words is not None:
            row[labelled] = 0.0
            row[[column for word in words for column in matches[word]]] = 1.0
    va = np.array([dataset[name][:] for name in DIMENSIONS], dtype=np.float64).T  # None becomes NaN
    quadrants = [NO_QUADRANT if value is None else QUADRANTS.index(value) for value in dataset["quadrant"][:]]
    ignored = Counter({word: count for word, count in occurring.items() if not matches[word]})
    return Emotions(moods, va, np.array(quadrants, dtype=np.int64)), ignored


def _matching_tags(word: str, tags: Mapping[str, int]) -> list[str]:
    from m2e.datasets.panda4q import ALLMUSIC_TO_JAMENDO

    return [word] if word in tags else ALLMUSIC_TO_JAMENDO.get(word, "").split()


# --- predictions ---


def predict(
    pipe: "MusicEmotionPipeline",
    ids: Sequence[str],
    audio: Sequence[str | dict[str, Any]],
    cache: str | Path,
    report: Callable[[str], None] = print,
) -> list[MusicEmotion | None]:
    """The records of all tracks, None if the audio cannot be read; features are cached in the folder `cache`.

    audio: paths, or {"bytes", "path"} of audio that is embedded in the dataset, which is written to the cache too.
    """
    from m2e.features.cache import audio_files, cached_features

    processor = pipe.processor
    files = audio_files(ids, audio, Path(cache) / "audio")
    tracks = cached_features(ids, files, processor, cache, report)
    return [None if track is None else pipe.predict_features(track) for track in tracks]


def read_records(file: str | os.PathLike) -> list[MusicEmotion | FailedTrack]:
    """The records of a JSON Lines file that `m2e predict` wrote. Raises DataError."""
    records: list[MusicEmotion | FailedTrack] = []
    with open(file, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                content = json.loads(line)
                if content["error"] is not None:
                    records.append(FailedTrack(content["path"], content["error"], content["model"]))
                    continue
                names = ("path", "duration", "valence", "arousal", "quadrant", "selected_moods", "model")
                moods = [Mood(**mood) for mood in content["moods"]]
                records.append(MusicEmotion(moods=moods, **{name: content[name] for name in names}))
                for name in INTERVALS:
                    low_high = content.get(name)
                    if low_high is not None:
                        low, high = map(float, low_high)
                        setattr(records[-1], name, (low, high))
            except (ValueError, KeyError, TypeError):
                raise DataError(
                    f"{file}, line {number}, is no record: give a file that m2e predict --format jsonl wrote."
                ) from None
    return records


def match(
    records: Iterable[MusicEmotion | FailedTrack], paths: Sequence[str | os.PathLike]
) -> list[MusicEmotion | None]:
    """The record of each path, None if there is none or the track failed.

    A record belongs to the path that it names or, if it names a file elsewhere, to the only path with its file name.
    """
    by_path: dict[str, MusicEmotion | FailedTrack] = {}
    by_name: dict[str, list[MusicEmotion | FailedTrack]] = {}
    for record in records:
        if record.path is not None:  # a waveform in memory has none
            by_path[os.path.realpath(record.path)] = record
            by_name.setdefault(os.path.basename(record.path), []).append(record)
    names = Counter(os.path.basename(path) for path in paths)
    matched = []
    for path in paths:
        match, name = by_path.get(os.path.realpath(path)), os.path.basename(path)
        if match is None and names[name] == 1 and len(by_name.get(name, [])) == 1:
            match = by_name[name][0]
        matched.append(match if isinstance(match, MusicEmotion) else None)
    return matched


def predictions_of(records: Sequence[MusicEmotion], tags: Sequence[str]) -> Emotions:
    """The columns of the records. Raises DataError if one lacks a tag."""
    moods = np.zeros((len(records), len(tags)))
    for row, record in zip(moods, records, strict=True):
        scores = {mood.label: mood.score for mood in record.moods}
        if missing := [tag for tag in tags if tag not in scores]:
            raise DataError(f"The record of {record.path} has no score of {missing[0]}: predict all moods.")
        row[:] = [scores[tag] for tag in tags]
    va = np.array([[record.valence, record.arousal] for record in records], dtype=np.float64).reshape(-1, 2)
    quadrants = np.array([QUADRANTS.index(record.quadrant) for record in records], dtype=np.int64)
    unknown = (np.nan, np.nan)
    ends = [[getattr(record, name) or unknown for name in INTERVALS] for record in records]
    return Emotions(moods, va, quadrants, np.array(ends, dtype=np.float64).reshape(-1, 2, 2))
