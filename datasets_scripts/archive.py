"""What is in the user's copy of a data set: where its files lie, and whether all are there and readable."""

import csv
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import soundfile

from m2e.datasets.schema import Track, listed
from m2e.errors import AudioError, DataError
from modeling_m2e.audio_m2e import load

DEPTH = 5  # folders between the folder that is given and a file: unpacked archives lie one in another
CHECKS = ("strict", "partial", "off")
log = logging.getLogger(__name__)


def find(folder: Path, *names: str) -> Path | None:
    """The first of these files or folders (relative paths) in ``folder`` or in folders of it, nearest first."""
    for name in names:
        for level in range(DEPTH):
            found = (path for path in folder.glob("*/" * level + name) if "__MACOSX" not in path.parts)
            if path := min(found, default=None):
                return path
    return None


def need(folder: Path, *names: str) -> Path:
    """As ``find``. Raises DataError where there is none."""
    if path := find(folder, *names):
        return path
    raise DataError(f"{folder} holds no {' or '.join(names)}: give the folder that docs/datasets.md describes.")


def audio_folder(folder: Path, given: str | Path | None, check: str, *names: str) -> Path:
    """Where the audio lies: ``given``, or the first of these folders, which need not be there with check "off".

    Raises DataError.
    """
    if given is not None:
        return Path(given)
    return (find(folder, *names) or folder / names[0]) if check == "off" else need(folder, *names)


def read_table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a CSV or TSV by column name, blanks around names and values taken off; surplus cells are dropped."""
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
        rows = csv.DictReader(file, delimiter=delimiter, quoting=quoting, skipinitialspace=True)
        return [{key.strip(): (cell or "").strip() for key, cell in row.items() if key is not None} for row in rows]


def verify(name: str, folder: Path, tracks: Sequence[Track], expected: int | None, check: str) -> list[Track]:
    """The tracks whose audio is there and opens, with the duration of their header where the labels have none.

    expected: tracks of the complete data set.  check: "strict" raises DataError where anything is missing;
    "partial" goes on without it, with a warning; "off" opens no file.
    """
    if check not in CHECKS:
        raise ValueError(f"check is one of {', '.join(CHECKS)}, not {check!r}.")
    if check == "off":
        return list(tracks)
    with ThreadPoolExecutor(16) as pool:  # waiting for disks, mostly
        probed = list(pool.map(probe, (track.audio for track in tracks)))
    problems = []
    if expected is not None and len(tracks) != expected:
        problems.append(f"labels of {len(tracks)} tracks, not {expected}")
    for state in ("missing", "unreadable"):
        bad = [track.audio for track, found in zip(tracks, probed, strict=True) if found == state]
        if bad:
            names = listed(os.path.relpath(path, folder) for path in bad)
            problems.append(f"{len(bad)} {state} audio files ({names})")
    usable = [
        track if track.duration is not None else replace(track, duration=found)
        for track, found in zip(tracks, probed, strict=True)
        if found not in ("missing", "unreadable")
    ]
    if problems:
        sentence = f"{name} in {folder} has {'; '.join(problems)}"
        if check == "strict" or not usable:
            raise DataError(f"{sentence}: complete the copy, or give check='partial' to go on without.")
        log.warning("%s; going on with %d tracks.", sentence, len(usable))
    return usable


def probe(path: Path) -> float | str | None:
    """ "missing", "unreadable", or the seconds that the header declares (None where it cannot be told cheaply)."""
    if not os.path.isfile(path):
        return "missing"
    try:
        info = soundfile.info(str(path))
        return info.duration if info.frames > 0 else "unreadable"
    except (soundfile.SoundFileError, OSError):
        try:  # what libsndfile does not know
            load(path, max_seconds=1.0)
        except AudioError:
            return "unreadable"
        return None
