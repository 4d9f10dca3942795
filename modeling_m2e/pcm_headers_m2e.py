"""Where the samples lie in WAV, RF64, W64, AIFF, AU and CAF files, and how many bytes of them the header declares.

The header of a recorder that was killed, or of a file beyond 4 GiB, declares too few. The file itself is right then.
"""

import os
import re
from dataclasses import dataclass
from typing import Any

_ID = re.compile(rb"[A-Za-z0-9_. ]{4}\Z")
_UNKNOWN = (1 << 63) - 1
_NEW_FILE = (b"RIFF", b"RIFX", b"RF64", b"FORM", b".snd", b"dns.", b"caff", b"riff")


@dataclass(frozen=True)
class SampleBytes:
    """The samples of a file: from byte `start` on, `present` bytes, of which the header declares `declared`.

    declared: None where the header says that the length is unknown.  other: whether chunks or tags follow the declared
    end, so that the rest of the file is no sound.  big_endian: the order of bytes in this container.
    """

    start: int
    present: int
    declared: int | None
    other: bool
    big_endian: bool


def sample_bytes(file: Any, start: int, size: int) -> SampleBytes | None:
    """Where the samples lie in the file that begins at byte `start`; None where no header of these formats says it."""
    file.seek(start)
    head = file.read(40)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return _chunks(file, start + 12, size, b"data", "big" if head[:4] == b"RIFX" else "little")
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return _chunks(file, start + 12, size, b"SSND", "big")
    if head[:4] in (b".snd", b"dns."):
        order = "big" if head[:4] == b".snd" else "little"
        first, declared = (int.from_bytes(head[at : at + 4], order) for at in (4, 8))  # type: ignore[arg-type]
        return _found(file, start + first, size, None if declared == 0xFFFFFFFF else declared, order)
    if head[:4] == b"caff":
        return _caf(file, start + 8, size)
    if head[:4] == b"riff" and head[24:28] == b"wave":
        return _w64(file, start + 40, size)
    return None


def _chunks(file: Any, position: int, size: int, wanted: bytes, order: Any) -> SampleBytes | None:
    long = None  # of the data, in RF64
    while position + 8 <= size:
        file.seek(position)
        head = file.read(24)
        length = int.from_bytes(head[4:8], order)
        if head[:4] == b"ds64":
            long = int.from_bytes(head[16:24], "little")
        if head[:4] == wanted:
            skip = 8 + int.from_bytes(head[8:12], "big") if wanted == b"SSND" else 0  # offset and size of blocks
            declared: int | None = max(0, length - skip)
            if long is not None and length == 0xFFFFFFFF:
                declared = long
            elif 0x7FFF0000 <= length and position + 8 + length > size:  # the placeholders of writers to a pipe
                declared = None
            return _found(file, position + 8 + skip, size, declared, order)
        position += 8 + length + length % 2
    return None


def _caf(file: Any, position: int, size: int) -> SampleBytes | None:
    while position + 12 <= size:
        file.seek(position)
        head = file.read(12)
        length = int.from_bytes(head[4:], "big")
        if head[:4] == b"data":
            declared = None if length > _UNKNOWN else max(0, length - 4)  # the edit count
            return _found(file, position + 16, size, declared, "big")
        position += 12 + length
    return None


def _w64(file: Any, position: int, size: int) -> SampleBytes | None:
    while position + 24 <= size:
        file.seek(position)
        head = file.read(24)
        length = int.from_bytes(head[16:], "little")  # with these 24 bytes
        if head[:4] == b"data":
            return _found(file, position + 24, size, None if length > _UNKNOWN else max(0, length - 24), "little")
        position += max(24, (length + 7) // 8 * 8)
    return None


def _found(file: Any, start: int, size: int, declared: int | None, order: str) -> SampleBytes | None:
    if start > size:
        return None
    present = size - start
    other = declared is not None and declared < present and _follows(file, start + declared, size)
    if declared and not other and declared < present:  # zeros after the declared end are padding
        file.seek(start + declared)
        other = not file.read(1 << 12).strip(b"\0")
    return SampleBytes(start, present, declared, other, order == "big")


def _follows(file: Any, end: int, size: int) -> bool:
    """Whether the bytes after the declared end of the samples are a chunk, a tag or a file of its own."""
    file.seek(end)
    data = file.read(1 << 12)
    for head in (data, data[1:]):  # samples of odd length are padded with a byte, or are not
        if head[:3] in (b"TAG", b"ID3") or head[:8] == b"APETAGEX" or head[:4] in _NEW_FILE:
            return True
        lengths = [int.from_bytes(head[4:8], "little"), int.from_bytes(head[4:8], "big")]
        lengths.append(int.from_bytes(head[4:12], "big"))  # CAF
        lengths.append(int.from_bytes(head[16:24], "little") - 24)  # W64
        if _ID.match(head[:4]) and any(0 <= length <= size - end for length in lengths):
            return True
    return False


def joined_file(file: Any, samples: SampleBytes, size: int) -> int | None:
    """Where the next file begins, for files of these formats that were joined; None for a single file."""
    position = samples.start + (samples.declared or 0)
    for at in range(position, position + 8):  # W64 pads to 8 bytes
        file.seek(at, os.SEEK_SET)
        if samples.declared and at + 12 <= size and file.read(4) in _NEW_FILE:
            return at
    return None
