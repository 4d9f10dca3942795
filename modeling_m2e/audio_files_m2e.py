"""Opens files, bytes and URLs, and decodes them to samples in blocks.

libsndfile reads WAV, FLAC, Ogg, Opus, MP3, AIFF and the like; `audio_ffmpeg_m2e` the formats that libsndfile refuses.
"""

import io
import os
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import soundfile

from .audio_blocks_m2e import AudioReport, Decoded
from .audio_ffmpeg_m2e import open_container
from .audio_parts_m2e import FileSlice, audio_start
from .audio_sndfile_m2e import open_sound
from .download_m2e import download
from .errors_m2e import AudioError
from .remote_m2e import STORES, fetch, store_of


def open_file(source: Any, name: str, seconds: float, stack: ExitStack, report: AudioReport) -> Decoded:
    """The audio by libsndfile, or by ffmpeg where libsndfile refuses the file; in blocks of `seconds`."""
    file, path = _binary_file(source, name, stack)
    size = file.seek(0, os.SEEK_END)
    if not size:
        raise AudioError(f"{name}: is empty (0 bytes).")
    file.seek(0)
    head = file.read(256)
    start = audio_start(file)  # libsndfile counts an ID3 tag before RIFF or FORM as sound
    if start >= size:
        start = 0  # no tag ends beyond the file
    try:
        return open_sound(file, start, size, name, seconds, report)
    except soundfile.LibsndfileError:
        file.seek(0)
        # What has no path, or begins with a tag, goes to ffmpeg as a copy.
        copied = path if path is not None and not start else _spool(FileSlice(file, start, size), stack)
        return open_container(copied, name, head, seconds, stack, report)


def _binary_file(source: Any, name: str, stack: ExitStack) -> tuple[BinaryIO, str | None]:
    """A seekable binary file, and its path where it has one."""
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), None
    if hasattr(source, "read"):
        if isinstance(source, io.TextIOBase):
            raise AudioError(f"{name}: is open as text; open it with mode 'rb'.")
        if hasattr(source, "seekable") and source.seekable():
            return source, None
        path = _spool(source, stack)
    elif isinstance(source, str) and (scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", source)):
        if scheme[1].lower() not in ("http", "https", *STORES):
            raise AudioError(f"{name}: only http and https URLs and remote stores are read; download it first.")
        path = _download(source, name, stack)
    else:
        path = os.fsdecode(source)
    try:
        return stack.enter_context(open(path, "rb")), path
    except IsADirectoryError:
        raise AudioError(f"{name}: is a folder; give the audio files in it.") from None
    except FileNotFoundError:
        raise AudioError(f"{name}: no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{name}: cannot be opened ({reason}).") from error


def _spool(file: Any, stack: ExitStack) -> str:
    """Path of a temporary copy, removed with `stack`."""
    path = os.path.join(stack.enter_context(tempfile.TemporaryDirectory(prefix="m2e-")), "audio")
    with open(path, "wb") as copy:
        while chunk := file.read(1 << 20):
            copy.write(chunk)
    return path


def _download(url: str, name: str, stack: ExitStack) -> str:
    path = os.path.join(stack.enter_context(tempfile.TemporaryDirectory(prefix="m2e-")), "audio")
    (fetch if store_of(url) else download)(url, Path(path), name)
    return path
