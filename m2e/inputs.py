"""What a command reads and writes: tracks named by arguments, and an output file that survives a kill.

Light to import. Raises UsageError, with one sentence, where the arguments cannot be meant so.
"""

import glob
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TextIO

from m2e.errors import UsageError

# What a folder is searched for; a file that is named itself is read whatever it is called.
AUDIO_SUFFIXES = frozenset(
    ".aac .ac3 .aif .aifc .aiff .amr .ape .au .caf .flac .m4a .m4b .mka .mp2 .mp3 .mpc .oga .ogg .opus .rf64 .snd .tta"
    " .w64 .wav .wave .weba .wma .wv".split()
)
PARTIAL = ".partial"  # ends the name of an output file until it is complete
TEXT = {"encoding": "utf-8", "errors": "backslashreplace"}  # the bytes of a bad file name: \udcff, as in JSON


class Source(NamedTuple):
    """A track to read; `error` says why there is nothing to read."""

    path: str
    error: str | None = None


def collect(paths: Iterable[str]) -> list[Source]:
    """Every track that the arguments name, once each, in their order.

    paths: files, folders, globs, http(s) URLs; "-" stands for a list of these on stdin, one per line or ended by NULs.
    """
    found: dict[str, Source] = {}
    for path in paths:
        for line in _stdin_lines() if path == "-" else [path]:
            for source in _expand(line):
                found.setdefault(identity(source.path), source)
    return list(found.values())


def identity(path: str) -> str:
    """What all names of one track share."""
    return path if _is_url(path) else os.path.abspath(path)


def _is_url(path: str) -> bool:
    return path.lower().startswith(("http://", "https://"))


def _stdin_lines() -> list[str]:
    data = sys.stdin.buffer.read()
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(line) for line in lines if line.strip()]


def _expand(path: str) -> Iterator[Source]:
    if _is_url(path) or (os.path.lexists(path) and not os.path.isdir(path)):
        yield Source(path)
    elif os.path.isdir(path):
        yield from _audio_in(path) or [Source(path, f"{path}: holds no audio file.")]
    elif glob.has_magic(path):
        tracks = []
        for match in sorted(glob.glob(path, recursive=True)):
            tracks += _audio_in(match) if os.path.isdir(match) else [Source(match)]
        audio = [track for track in tracks if track.error or _is_audio(track.path)]
        yield from audio or tracks or [Source(path, f"{path}: matches no file.")]
    else:
        yield Source(path, f"{path}: there is no such file or folder.")


def _is_audio(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def _audio_in(folder: str) -> list[Source]:
    """Audio files below a folder, sorted; nothing hidden (macOS leaves a `._song.mp3` beside each song.mp3)."""
    tracks, unreadable = [], []
    for where, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        audio = [name for name in sorted(files) if _is_audio(name) and not name.startswith(".")]
        tracks += [Source(os.path.join(where, name)) for name in audio]
    return tracks + [Source(error.filename, f"{error.filename}: {error.strerror}.") for error in unreadable]


def partial_name(output: str) -> str:
    return os.path.realpath(output) + PARTIAL


def check_output(output: str, sources: Iterable[Source]) -> None:
    """Raises UsageError where `output` can be no output file."""
    target = os.path.realpath(output)
    folder = os.path.dirname(target)
    if os.path.isdir(target) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise UsageError(f"{output} cannot be written: it must be a file in a folder that exists and is yours.")
    if target in {os.path.realpath(source.path) for source in sources}:
        raise UsageError(f"{output} is one of the files to read: choose another -o FILE.")


def earlier_records(output: str, wanted: Iterable[Source]) -> dict[str, str]:
    """{identity: JSON line} of what `output` and its partial file hold, less the wanted tracks that failed.

    The last record of a track counts. Raises UsageError where `output` is not JSON Lines of records.
    """
    target, wanted = os.path.realpath(output), {identity(source.path) for source in wanted}
    earlier: dict[str, str] = {}
    for name in (target, target + PARTIAL):
        if not os.path.isfile(name):
            continue
        with open(name, encoding="utf-8", errors="replace", newline="\n") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                    track, failed = identity(record["path"]), record["error"] is not None
                except (ValueError, KeyError, TypeError, AttributeError):
                    if name == target:
                        raise UsageError(f"{output} holds other things than records: choose another -o FILE.") from None
                    continue  # the line that a kill cut off
                if not failed or track not in wanted:
                    earlier[track] = line.rstrip("\n") + "\n"
    return earlier


def refuse_to_lose(output: str) -> None:
    """Raises UsageError where an interrupted run has left records that a new run would overwrite."""
    if os.path.isfile(partial_name(output)) and os.path.getsize(partial_name(output)):
        raise UsageError(f"{output}{PARTIAL} holds records of an interrupted run: add --resume to go on, or delete it.")


@contextmanager
def open_output(output: str | None, earlier: Iterable[str] = (), to_be_read: bool = False) -> Iterator[TextIO]:
    """A text file: `output` under a partial name until the block ends without error, or stdout for None.

    It begins with the lines of `earlier`, which may come from the partial file itself.  to_be_read: by people, so that
    stdout keeps the encoding of their terminal; all else is UTF-8.
    """
    if output is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(**({"errors": "replace"} if to_be_read else TEXT))
        yield sys.stdout
        return
    target, partial = os.path.realpath(output), partial_name(output)
    if os.path.exists(target) and not os.path.isfile(target):  # a device or a pipe is not renamed over
        with open(target, "w", **TEXT, newline="\n") as file:
            file.writelines(earlier)
            yield file
        return
    merged = partial + ".new"
    with open(merged, "w", **TEXT, newline="\n") as file:
        file.writelines(earlier)
    os.replace(merged, partial)
    try:
        with open(partial, "a", **TEXT, newline="\n") as file:
            yield file
    except BaseException:
        if not os.path.getsize(partial):
            os.remove(partial)
        raise
    os.replace(partial, target)
