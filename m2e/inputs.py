"""The tracks that the arguments of a command name. Light to import."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

# Folders are searched for files with these suffixes; a file that is named itself may have any.
AUDIO_SUFFIXES = frozenset(
    ".aac .ac3 .aif .aifc .aiff .amr .ape .au .caf .flac .m4a .m4b .mka .mp2 .mp3 .mpc .oga .ogg .opus .rf64 .snd .tta"
    " .w64 .wav .wave .weba .wma .wv".split()
)


class Source(NamedTuple):
    """A track to read. `error` is a sentence if it is already clear that there is nothing to read."""

    path: str
    error: str | None = None


def collect(paths: Iterable[str]) -> list[Source]:
    """All tracks that the arguments name, in their order, without duplicates.

    paths: files, folders, globs, http(s) URLs; "-" reads a list of these from stdin, one per line or ended by NULs.
    """
    sources: dict[str, Source] = {}
    for path in paths:
        for line in _stdin_lines() if path == "-" else [path]:
            for source in _expand(line):
                sources.setdefault(identity(source.path), source)
    return list(sources.values())


def identity(path: str) -> str:
    """The absolute path, or the URL: the same for all spellings of one track."""
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
    """Audio files below a folder, sorted, without hidden ones (macOS adds a `._song.mp3` to each song.mp3)."""
    tracks: list[Source] = []
    unreadable: list[OSError] = []
    for where, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        audio = [name for name in sorted(files) if _is_audio(name) and not name.startswith(".")]
        tracks += [Source(os.path.join(where, name)) for name in audio]
    return tracks + [Source(error.filename, f"{error.filename}: {error.strerror}.") for error in unreadable]
