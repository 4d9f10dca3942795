"""The tracks that the arguments of a command name. Light to import."""

import glob
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from typing import NamedTuple, cast
from urllib.parse import unquote, urlsplit

from m2e.errors import UsageError
from m2e.remote import is_folder, is_pattern, is_remote, listing, read

# Folders are searched for files with these suffixes; a file that is named itself may have any. They are the suffixes of
# the formats that libsndfile and ffmpeg read, except those that mostly mean something else (.ts, .mat, .raw, ...).
AUDIO_SUFFIXES = frozenset(
    ".3g2 .3gp .8svx .aa3 .aac .ac3 .aif .aifc .aiff .amr .ape .asf .au .avi .avr .caf .dff .dsf .dts .dtshd .eac3 .ec3"
    " .f4v .flac .flv .iff .ircam .m2a .m2ts .m4a .m4b .m4r .m4v .mk3d .mka .mkv .mlp .mov .mp2 .mp3 .mp4 .mpa .mpc"
    " .mpeg .mpg .mpga .mts .nist .oga .ogg .ogv .ogx .oma .omg .opus .paf .ra .rf64 .rm .rmvb .snd .sph .spx .svx .tak"
    " .thd .tta .voc .w64 .wav .wave .wavex .weba .webm .wma .wmv .wv .wve".split()
)
PLAYLIST_SUFFIXES = (".m3u", ".m3u8")
_CONTROL = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")  # in no list of names; an escape is in some names
MAX_PIPE_BYTES = 1 << 30  # an endless pipe must not fill the disk
STDIN = "-"


class Source(NamedTuple):
    """A track to read.

    error: a sentence if it is already clear that there is nothing to read.
    copy: path of the temporary copy to read instead of a pipe, which can be read only once.
    """

    path: str
    error: str | None = None
    copy: str | None = None


def collect(paths: Iterable[str], skipped: dict[str, str] | None = None) -> list[Source]:
    """All tracks that the arguments name, in their order, without duplicates.

    paths: files, folders, globs, http(s) URLs, the same in remote stores (s3://, ...), M3U playlists; "-" reads audio,
    or a list of these, from stdin: one per line, or ended by NULs.
    skipped: receives {path: reason} of what a search of folders did not take.
    Raises UsageError if stdin is closed.
    """
    skipped = {} if skipped is None else skipped
    sources = list(stream(paths, skipped))
    for source in sources:
        skipped.pop(source.path, None)  # named by another argument
    return sources


def stream(paths: Iterable[str | Source], skipped: dict[str, str]) -> Iterator[Source]:
    """As `collect`, one by one while folders and stores are searched; keeps some 120 bytes of each name in memory.

    paths: also tracks that are already known.
    """
    files: set[int] = set()  # hashes, to keep little
    names: set[int] = set()
    for path in paths:
        for source in _named(path, skipped):
            real, absolute = source.copy or identity(source.path), _absolute(source.path)
            file = hash(real)
            name = file if absolute == real else hash(absolute)  # mostly one number, kept once
            if file not in files:
                files.add(file)
                names.add(name)
                yield source
            elif name not in names:
                skipped[source.path] = "another name of the same file"


def _named(path: str | Source, skipped: dict[str, str]) -> Iterator[Source]:
    if isinstance(path, Source):
        return iter([path])
    return _stdin(skipped) if path == STDIN else _expand(path, skipped)


def identity(path: str) -> str:
    """The real path, or the URL: the same for all names of one file."""
    return path if _is_url(path) else os.path.realpath(path)


def _absolute(path: str) -> str:
    return path if _is_url(path) else os.path.abspath(path)


def _is_url(path: str) -> bool:
    return path.lower().startswith(("http://", "https://")) or is_remote(path)


def _expand(path: str, skipped: dict[str, str]) -> Iterator[Source]:
    if is_remote(path):
        yield from _expand_remote(path, skipped)
    elif _is_url(path):
        yield Source(path)
    elif os.path.isdir(path):
        yield from _or(_audio_in(path, skipped), Source(path, f"{path}: holds no audio file."))
    elif _is_pipe(path):
        yield _copy_of_pipe(path)
    elif os.path.lexists(path):
        yield from _playlist(path, skipped) if path.lower().endswith(PLAYLIST_SUFFIXES) else [Source(path)]
    elif glob.has_magic(path):
        yield from _matches(path, skipped) or [Source(path, f"{path}: matches no file.")]
    else:
        yield Source(path, f"{path}: there is no such file or folder.")


def _or(sources: Iterable[Source], otherwise: Source) -> Iterator[Source]:
    """The sources, or the other one if there are none."""
    source = None
    for source in sources:
        yield source
    if source is None:
        yield otherwise


def _expand_remote(url: str, skipped: dict[str, str]) -> Iterator[Source]:
    """The tracks of a URL in a store. Nothing is asked about a file with the suffix of audio."""
    try:
        if url.lower().endswith(PLAYLIST_SUFFIXES):
            yield from _playlist(url, skipped)
        elif _is_audio(url) and not glob.has_magic(url):
            yield Source(url)
        elif is_pattern(url):
            yield from _or(_remote_audio(url, skipped), Source(url, f"{url}: matches no audio file."))
        elif is_folder(url):
            yield from _or(_remote_audio(url, skipped), Source(url, f"{url}: holds no audio file."))
        else:
            yield Source(url)
    except UsageError as error:
        yield Source(url, str(error))


def _remote_audio(url: str, skipped: dict[str, str]) -> Iterator[Source]:
    for name in listing(url):
        if _is_hidden(os.path.basename(name)):
            skipped[name] = "hidden"
        elif not _is_audio(name):
            skipped[name] = "without the suffix of audio"
        else:
            yield Source(name)


# --- folders ---


def _audio_in(folder: str, skipped: dict[str, str]) -> Iterator[Source]:
    """Audio files below a folder, sorted, unreadable folders last; linked folders are searched, but none twice."""
    for where, files in _walk(folder, skipped):
        if files is None:
            yield Source(where, skipped.pop(where))
            continue
        for name in files:
            path = os.path.join(where, name)
            if reason := _why_not(path):
                skipped[path] = reason
            else:
                yield Source(path)


def _walk(folder: str, skipped: dict[str, str]) -> Iterator[tuple[str, list[str] | None]]:
    """(folder, its files) of a folder and all below it.

    A folder that cannot be read has None for its files, and a sentence in `skipped`.
    """
    unreadable: list[OSError] = []
    seen = {os.path.realpath(folder)}
    for where, folders, files in os.walk(folder, onerror=unreadable.append, followlinks=True):
        inner = sorted(folders, key=lambda name: (os.path.islink(os.path.join(where, name)), name))
        folders.clear()
        for name in inner:
            path = os.path.join(where, name)
            real = os.path.realpath(path)
            if _is_hidden(name):
                skipped[path] = "hidden"
            elif real in seen:
                skipped[path] = "another name of the same folder"
            else:
                seen.add(real)
                folders.append(name)
        yield where, sorted(files)
    for error in unreadable:
        skipped[error.filename] = f"{error.filename}: {error.strerror}."
        yield error.filename, None


def _is_hidden(name: str) -> bool:
    """Names such as .git and ._song.mp3 (macOS); "...And Justice for All" and ".38 Special" are music."""
    return re.match(r"\.[^\W\d]", name) is not None


def _is_audio(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def _why_not(path: str) -> str | None:
    """Why a search does not take a file, None if it does."""
    name = os.path.basename(path)
    if _is_hidden(name):
        return "hidden"
    if not _is_audio(name):
        return "without the suffix of audio"
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return None  # the reader says why
    return None if stat.S_ISREG(mode) else "not a regular file"


# --- globs ---


def _matches(pattern: str, skipped: dict[str, str]) -> list[Source]:
    """The audio that a glob matches; all files if none of them has the suffix of audio."""
    tracks: list[Source] = []
    others: dict[str, str] = {}
    for match in sorted(set(_glob(pattern, skipped))):
        if os.path.isdir(match):
            tracks += _audio_in(match, skipped)
        elif reason := _why_not(match):
            others[match] = reason
        else:
            tracks.append(Source(match))
    if not tracks:
        tracks = [Source(path) for path in others if os.path.isfile(path)]
    skipped.update(others)
    return tracks


def _glob(pattern: str, skipped: dict[str, str]) -> Iterator[str]:
    """The matches of a pattern. Unlike glob's own, its ** follows no circle of links."""
    parts = pattern.replace(os.altsep or os.sep, os.sep).split(os.sep)
    if "**" not in parts:
        yield from glob.glob(pattern)
        return
    at = parts.index("**")
    rest = os.sep.join(parts[at + 1 :]).lstrip(os.sep)
    base = os.sep.join(parts[:at])
    bases = [os.sep if pattern.startswith(os.sep) else ""] if not base else glob.glob(base)
    for folder in filter(os.path.isdir, [each or os.curdir for each in bases]):
        if not rest:
            yield folder
            continue
        for where, files in _walk(folder, skipped):
            if files is not None:
                here = where if base or pattern.startswith(os.sep) else os.path.relpath(where)
                yield from _glob(os.path.join("" if here == os.curdir else glob.escape(here), rest), skipped)


# --- lists ---


def _playlist(path: str, skipped: dict[str, str]) -> Iterator[Source]:
    try:
        if is_remote(path):
            lines = _names(read(path))
        else:
            with open(path, "rb") as file:
                lines = _names(file.read())
    except OSError as error:
        lines, why = None, error.strerror or str(error)
    else:
        why = "it is no list of names"
    if lines is None:
        yield Source(path, f"{path}: cannot be read as a playlist ({why}).")
        return
    folder = os.path.dirname(path)
    for line in lines:
        if line.lower().startswith("file://"):
            line = unquote(urlsplit(line).path, errors="surrogateescape")
        name = line if _is_url(line) else os.path.join(folder, line)
        if line.startswith("#") and not os.path.lexists(name):
            continue  # a comment, or #EXTINF
        if identity(name) == identity(path) or line.lower().endswith(PLAYLIST_SUFFIXES):
            skipped[name] = "a playlist in a playlist"
        else:
            yield from _listed(name, skipped)


def _listed(name: str, skipped: dict[str, str]) -> Iterator[Source]:
    """The tracks of a line of a list; names in stores are taken as they are, without a question for each."""
    return iter([Source(name)]) if is_remote(name) and not name.endswith("/") else _expand(name, skipped)


def _stdin(skipped: dict[str, str]) -> Iterator[Source]:
    if sys.stdin is None:
        raise UsageError("stdin is closed: name the files, or send audio or a list of files to it.")
    try:
        head = sys.stdin.buffer.read(1 << 16)
        if _names(head) is None:  # no list, so audio; the reader says if it is none
            yield _spooled(STDIN, cast(BufferedIOBase, sys.stdin.buffer), head)
            return
        lines = _names(head + sys.stdin.buffer.read())
    except OSError as error:
        raise UsageError(f"stdin cannot be read: {error.strerror or error}.") from error
    if lines is None:
        raise UsageError("stdin begins as a list of files and goes on as something else: name the files.")
    extended = bool(lines) and lines[0].startswith("#EXTM3U")
    for line in lines:
        if not (extended and line.startswith("#")):
            yield from _listed(line, skipped)


def _names(data: bytes) -> list[str] | None:
    """The names in a list: lines, or strings ended by NULs; None if the bytes are no list.

    A list has no control characters and, with NULs, no empty names and few of one letter. UTF-16 is recognised by its
    byte order mark or by the zeros in every other byte.
    """
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if wide or (len(data) > 3 and (not any(data[1::2]) or not any(data[::2])) and any(data)):
        codec = "utf-16" if wide else "utf-16-le" if data[0] else "utf-16-be"
        data = data[: len(data) // 2 * 2].decode(codec, errors="replace").encode("utf-8", errors="replace")
    data = data.removeprefix(b"\xef\xbb\xbf")
    zeros = data.count(b"\0")
    if _CONTROL.search(data) or data.startswith(b"\0") or b"\0\0" in data or zeros > len(data) // 3:
        return None
    lines = data.split(b"\0") if zeros else data.splitlines()
    return [os.fsdecode(line) for line in lines if line.strip()]


# --- pipes ---

_copies: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False


def _copy_of_pipe(path: str) -> Source:
    try:
        with open(path, "rb") as pipe:
            return _spooled(path, pipe)
    except OSError as error:
        return Source(path, f"{path}: cannot be read ({error.strerror or error}).")


def _spooled(path: str, pipe: BufferedIOBase, head: bytes = b"") -> Source:
    """The source of what a pipe holds, in a temporary file."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="m2e-")
        _copies.append(folder)
        name = os.path.join(folder.name, "audio")
        with open(name, "wb") as copy:
            # read1: a signal between the reads of a longer one would wait for the pipe
            chunk = head or pipe.read1(1 << 20)
            while chunk:
                copy.write(chunk)
                if copy.tell() > MAX_PIPE_BYTES:
                    return Source(path, f"{path}: is longer than {MAX_PIPE_BYTES >> 20} MiB: save it to a file first.")
                chunk = pipe.read1(1 << 20)
    except OSError as error:
        why = (error.strerror or str(error)).rstrip(".")
        return Source(path, f"{path}: cannot be copied to a temporary file ({why}): set TMPDIR to a folder with space.")
    return Source(path, copy=name)
