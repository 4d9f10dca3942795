"""What an evaluation compares: the labels of a dataset and the records of its tracks, both as columns of arrays.

A dataset has the columns of `datasets_scripts.schema`.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from m2e.errors import DataError
from m2e.evaluation.metrics import DIMENSIONS, NO_QUADRANT
from modeling_m2e.record_m2e import FailedTrack, Mood, MusicEmotion
from modeling_m2e.scale_m2e import QUADRANTS

if TYPE_CHECKING:
    from modeling_m2e import MusicEmotionPipeline


@dataclass(frozen=True)
class Emotions:
    """Labels or predictions of n tracks in columns.

    moods: (n, M) labels 0 or 1, or probabilities.  va: (n, 2) valence, arousal, 1-9.  quadrants: (n,) 0..3.
    Of a label, NaN (-100 of a quadrant) says that there is none.
    """

    moods: np.ndarray
    va: np.ndarray
    quadrants: np.ndarray

    def __len__(self) -> int:
        return len(self.moods)

    def __getitem__(self, rows) -> "Emotions":
        return Emotions(self.moods[rows], self.va[rows], self.quadrants[rows])


# --- labels ---


def labels_of(dataset: Mapping[str, Sequence], tags: Sequence[str]) -> tuple[Emotions, Counter]:
    """The labels of all tracks for a model with these mood tags, and how often every mood that means none occurs.

    A mood is a tag of that name, else what AllMusic's word of that name means among the tags (see
    `datasets_scripts.panda4q`). Tags that no mood of the dataset means are not labelled: give the whole dataset, and
    choose its split afterwards. A track whose moods are None is not labelled either.
    """
    columns = {tag: index for index, tag in enumerate(tags)}
    tracks = dataset["moods"][:]
    occurring = Counter(word for words in tracks for word in words or ())
    meant = {word: [columns[tag] for tag in _meanings(word, columns) if tag in columns] for word in occurring}
    labelled = sorted({column for found in meant.values() for column in found})
    moods = np.full((len(tracks), len(tags)), np.nan)
    for row, words in zip(moods, tracks, strict=True):
        if words is not None:
            row[labelled] = 0.0
            row[[column for word in words for column in meant[word]]] = 1.0
    va = np.array([dataset[name][:] for name in DIMENSIONS], dtype=np.float64).T  # None becomes NaN
    quadrants = [NO_QUADRANT if value is None else QUADRANTS.index(value) for value in dataset["quadrant"][:]]
    ignored = Counter({word: count for word, count in occurring.items() if not meant[word]})
    return Emotions(moods, va, np.array(quadrants, dtype=np.int64)), ignored


def _meanings(word: str, tags: Mapping[str, int]) -> list[str]:
    from m2e.datasets.panda4q import ALLMUSIC_TO_JAMENDO

    return [word] if word in tags else ALLMUSIC_TO_JAMENDO.get(word, "").split()


# --- predictions ---


def predict(
    pipe: "MusicEmotionPipeline",
    ids: Sequence[str],
    audio: Sequence[str | dict],
    cache: str | Path,
    report: Callable[[str], None] = print,
) -> list[MusicEmotion | None]:
    """The records of all tracks, None where the audio is bad; features are cached in the folder `cache`.

    audio: paths, or {"bytes", "path"} of audio that is embedded in the dataset, which is put into the cache too.
    """
    from m2e.features.cache import audio_files, cached_features

    files = audio_files(ids, audio, Path(cache) / "audio")
    tracks = cached_features(ids, files, pipe.processor, cache, report)
    return [None if track is None else pipe.predict_features(track) for track in tracks]


def read_records(file: str | os.PathLike) -> list[MusicEmotion | FailedTrack]:
    """The records of a JSON Lines file that `m2e predict` wrote. Raises DataError."""
    records = []
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
            except (ValueError, KeyError, TypeError):
                raise DataError(
                    f"{file}, line {number}, is no record: give a file that m2e predict --format jsonl wrote."
                ) from None
    return records


def match(
    records: Iterable[MusicEmotion | FailedTrack], paths: Sequence[str | os.PathLike]
) -> list[MusicEmotion | None]:
    """The record of each path, None where there is none or the track failed.

    Records belong to the file that they name or, where that lies elsewhere, to the only one of the same name.
    """
    by_path, by_name = {}, {}
    for record in records:
        by_path[os.path.realpath(record.path)] = record
        by_name.setdefault(os.path.basename(record.path), []).append(record)
    names = Counter(os.path.basename(path) for path in paths)
    found = []
    for path in paths:
        record, name = by_path.get(os.path.realpath(path)), os.path.basename(path)
        if record is None and names[name] == 1 and len(by_name.get(name, [])) == 1:
            record = by_name[name][0]
        found.append(record if isinstance(record, MusicEmotion) else None)
    return found


def predictions_of(records: Sequence[MusicEmotion], tags: Sequence[str]) -> Emotions:
    """The columns of records without errors. Raises DataError where one lacks a tag."""
    moods = np.zeros((len(records), len(tags)))
    for row, record in zip(moods, records, strict=True):
        scores = {mood.label: mood.score for mood in record.moods}
        if missing := [tag for tag in tags if tag not in scores]:
            raise DataError(f"The record of {record.path} has no score of {missing[0]}: predict all moods.")
        row[:] = [scores[tag] for tag in tags]
    va = np.array([[record.valence, record.arousal] for record in records], dtype=np.float64).reshape(-1, 2)
    return Emotions(moods, va, np.array([QUADRANTS.index(record.quadrant) for record in records], dtype=np.int64))
