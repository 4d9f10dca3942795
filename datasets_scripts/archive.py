"""The user's copy of a data set: finding its files, and checking that all exist and are readable."""

import csv
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal

import soundfile

from m2e.datasets.schema import Track, listed
from m2e.errors import AudioError, DataError, reason
from m2e.remote import is_remote
from modeling_m2e.audio_m2e import load

DEPTH = 5  # levels of folders that are searched: unpacked archives may be nested
CHECKS = ("strict", "partial", "off")
log = logging.getLogger(__name__)


class IncompleteCopy(DataError):
    """A copy of a data set lacks files or holds damaged ones. problem: what, without the advice of the message."""

    def __init__(self, problem: str):
        super().__init__(f"{problem}: complete the copy, or skip what is missing (--option check=partial).")
        self.problem = problem


def find(folder: Path, *names: str) -> Path | None:
    """The first of these files or folders (relative paths) in ``folder`` or its subfolders, nearest first."""
    for name in names:
        for level in range(DEPTH):
            paths = [path for path in folder.glob("*/" * level + name) if "__MACOSX" not in path.parts]
            if paths:
                return min(paths)
    return None


def need(folder: Path, *names: str) -> Path:
    """As ``find``. Raises DataError if there is none."""
    if path := find(folder, *names):
        return path
    raise DataError(f"{folder} holds no {' or '.join(names)}: give the folder that docs/datasets.md describes.")


def audio_folder(folder: Path, given: str | Path | None, check: str, *names: str) -> Path:
    """The folder of the audio: ``given``, or the first of these folders, which need not exist with check "off".

    Raises DataError.
    """
    if given is not None:
        return Path(given)
    return (find(folder, *names) or folder / names[0]) if check == "off" else need(folder, *names)


def read_table(path: Path, delimiter: str = ",", columns: Iterable[str] = ()) -> list[dict[str, str]]:
    """The rows of a CSV or TSV by column name, without blanks around names and values or surplus cells.

    columns: those that the table must have.  Raises DataError.
    """
    quoting: Literal[0, 3] = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = csv.DictReader(file, delimiter=delimiter, quoting=quoting, skipinitialspace=True)
            header = [name.strip() for name in rows.fieldnames or ()]
            table = [
                {key.strip(): (cell or "").strip() for key, cell in row.items() if key is not None} for row in rows
            ]
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({reason(error)}): get the file again.") from error
    if absent := [name for name in columns if name not in header]:
        raise DataError(f"{path} has no column {listed(absent)}: give a table as docs/datasets.md describes it.")
    return table


def number(row: dict[str, str], column: str, path: Path) -> float:
    """The number in a cell. Raises DataError."""
    try:
        return float(row[column])
    except ValueError:
        cells = ", ".join(list(row.values())[:3])
        raise DataError(f"{path} has {row[column]!r} as {column} (row {cells}, ...): get the file again.") from None


def verify(name: str, folder: Path, tracks: Sequence[Track], expected: int | None, check: str) -> list[Track]:
    """The tracks with readable audio; those without a labelled duration have that of the file's header.

    expected: number of tracks in the complete data set.  check: "strict" raises IncompleteCopy, which lists everything
    missing; "partial" skips it, with a warning; "off" opens no file.
    """
    if check not in CHECKS:
        raise DataError(f"There is no check {check!r}: choose {', '.join(CHECKS)}.")
    if check == "off":
        return list(tracks)
    with ThreadPoolExecutor(16) as pool:  # waiting for disks, mostly
        probed = list(pool.map(probe, (track.audio for track in tracks)))
    problems = []
    if expected is not None and len(tracks) != expected:
        problems.append(f"labels of {len(tracks)} tracks, not {expected}")
    for state in ("missing", "unreadable"):
        bad = [track.audio for track, result in zip(tracks, probed, strict=True) if result == state]
        if bad:
            names = listed(os.path.relpath(path, folder) for path in bad)
            problems.append(f"{len(bad)} {state} audio files ({names})")
    usable = [
        track if track.duration is not None else replace(track, duration=result)
        for track, result in zip(tracks, probed, strict=True)
        if not isinstance(result, str)
    ]
    if problems:
        sentence = f"{name} in {folder} has {'; '.join(problems)}"
        if check == "strict" or not usable:
            raise IncompleteCopy(sentence)
        log.warning("%s; %d tracks are used.", sentence, len(usable))
    return usable


def probe(path: Path | str) -> float | Literal["missing", "unreadable"] | None:
    """The seconds that the header declares, None if it does not or is not local; or what is wrong with the file."""
    if is_remote(str(path)):
        return None
    if not os.path.isfile(path):
        return "missing"
    try:
        info = soundfile.info(str(path))
        return info.duration if info.frames > 0 else "unreadable"
    except (soundfile.SoundFileError, OSError):
        try:  # formats that libsndfile does not know
            load(path, max_seconds=1.0)
        except AudioError:
            return "unreadable"
        return None
