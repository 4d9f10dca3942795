"""Data sets that are rendered here: `audio/ID.flac`, and `labels.csv` for the reader "folder"."""

import csv
import io
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from m2e.datasets.midi_audio import RATE
from m2e.storage import write_text, write_whole

MIDDLE = (5.1, 4.7)  # valence and arousal of what is neutral, on the scale of Panda 4Q


class Rendered(NamedTuple):
    """A track for training.  artist: what must not be divided between splits.  quadrant: None = not clear."""

    id: str
    artist: str
    valence: float
    arousal: float
    quadrant: str | None


def audio_file(folder: Path, track_id: str) -> Path:
    return folder / "audio" / f"{track_id}.flac"


def write_flac(path: Path, waveform: np.ndarray) -> None:
    """Mono at 22,050 Hz; the file is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, partial(soundfile.write, data=waveform, samplerate=RATE, format="FLAC"))


def write_labels(folder: Path, tracks: Iterable[Rendered]) -> None:
    """The table of a folder whose audio has been written."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*Rendered._fields, "audio", "split"])
    for track in tracks:
        table.writerow([*track, audio_file(Path(), track.id), "train"])
    write_text(folder / "labels.csv", text.getvalue())
