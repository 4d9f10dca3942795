"""The identity of audio: a hash of its bytes in a file, without tags, pictures, names and dates.

An edit of tags or a rename keeps it. Where a container is not known or damaged, all bytes count, but the tags at the
beginning and at the end.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

CHUNK = 1 << 20  # bytes
DIGEST_BYTES = 16
Span = tuple[int, int]  # first byte, and the byte after the last

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def content_hash(path: str) -> str:
    """32 hex digits. Raises: OSError."""
    with open(path, "rb") as file:
        start, end = audio_span(file)
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for first, last in audio_spans(file, start, end):
            file.seek(first)
            while first < last and (chunk := file.read(min(CHUNK, last - first))):
                digest.update(chunk)
                first += len(chunk)
    return digest.hexdigest()


def audio_spans(file: BinaryIO, start: int, end: int) -> list[Span]:
    """The bytes between `start` and `end` that are audio, or describe how to decode it."""
    file.seek(start)
    head = file.read(16)
    try:
        parser = _parser(head)
        spans = [] if parser is None else list(parser(file, start, end))
    except (struct.error, IndexError):  # cut off
        spans = []
    inside = [(first, min(last, end)) for first, last in spans if first < min(last, end)]
    return inside or [(start, end)]


def _parser(head: bytes) -> Callable[[BinaryIO, int, int], Iterator[Span]] | None:
    if head.startswith(b"fLaC"):
        return _flac
    if head.startswith(b"OggS"):
        return _ogg
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _wav
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff
    if head[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip"):
        return _mp4
    if head.startswith(b"DSD "):
        return _dsf
    return _asf if head.startswith(_ASF) else None


# --- tags around any audio ---


def audio_span(file: BinaryIO) -> Span:
    """A file without the ID3v2 tags at its beginning, and the ID3v1, APEv2, Lyrics3 and ID3v2 tags at its end."""
    start, end = 0, file.seek(0, 2)
    while start < end and (size := _id3v2(_read(file, start, 10), b"ID3")):
        start = min(start + size, end)
    while shorter := _tag_at_end(file, start, end):
        end -= shorter
    return start, end


def _id3v2(header: bytes, mark: bytes) -> int:
    """The size of an ID3v2 tag, 0 if this is none."""
    if len(header) < 10 or header[:3] != mark or any(byte & 0x80 for byte in header[6:10]):
        return 0
    size = sum(byte << shift for byte, shift in zip(header[6:10], (21, 14, 7, 0), strict=True))
    return size + (20 if header[5] & 0x10 or mark == b"3DI" else 10)


def _tag_at_end(file: BinaryIO, start: int, end: int) -> int:
    """The size of the tag that ends at `end`, 0 if there is none."""
    size = 0
    tail = _read(file, max(start, end - 128), min(128, end - start))
    if len(tail) == 128 and tail.startswith(b"TAG"):
        size = 128
    elif tail[-32:-24] == b"APETAGEX":
        length, _, flags = struct.unpack("<III", tail[-20:-8])
        size = length + (32 if flags >> 31 else 0)
    elif tail.endswith(b"LYRICS200") and tail[-15:-9].isdigit():
        size = int(tail[-15:-9]) + 15
    else:
        size = _id3v2(tail[-10:], b"3DI")
    return size if 0 < size <= end - start else 0


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


# --- containers: the spans of audio between two positions ---


def _flac(file: BinaryIO, start: int, end: int) -> Iterator[Span]:
    at, last = start + 4, False
    while not last:
        header = _read(file, at, 4)
        last, kind, size = bool(header[0] & 0x80), header[0] & 0x7F, int.from_bytes(header[1:4], "big")
        if kind == 0:  # STREAMINFO
            yield at + 4, at + 4 + size
        at += 4 + size
    yield at, end


def _wav(file: BinaryIO, start: int, end: int) -> Iterator[Span]:
    at, long_data = start + 12, 0
    while at + 8 <= end:
        name, size = struct.unpack("<4sI", _read(file, at, 8))
        if name == b"ds64":
            long_data = struct.unpack("<Q", _read(file, at + 16, 8))[0]
        if name == b"data" and size == 0xFFFFFFFF:
            size = long_data or end
        if name in (b"fmt ", b"data"):
            yield at + 8, at + 8 + size
        at += 8 + size + size % 2


def _aiff(file: BinaryIO, start: int, end: int) -> Iterator[Span]:
    at = start + 12
    while at + 8 <= end:
        name, size = struct.unpack(">4sI", _read(file, at, 8))
        if name in (b"COMM", b"SSND"):
            yield at + 8, at + 8 + size
        at += 8 + size + size % 2


def _dsf(file: BinaryIO, start: int, end: int) -> Iterator[Span]:
    at = start
    while at + 12 <= end:
        name, size = struct.unpack("<4sQ", _read(file, at, 12))
        if name in (b"fmt ", b"data"):
            yield at + 12, at + size
        at += max(size, 12)


def _mp4(file: BinaryIO, start: int, end: int) -> Iterator[Span]:
    at = start
    while at + 8 <= end:
        size, name = struct.unpack(">I4s", _read(file, at, 8))
        header = 8
        if size == 1:
            size, header = struct.unpack(">Q", _read(file, at + 8, 8))[0], 16
        size = size or end - at
        if name == b"mdat":
            yield at + header, at + size
        at += max(size, header)


def _asf(file: BinaryIO, start: int, end: int) -> Iterator[Span]:
    at = start
    while at + 24 <= end:
        name, size = struct.unpack("<16sQ", _read(file, at, 24))
        if name == _ASF_DATA:
            yield at + 50, at + size  # after the id of the file and the number of packets
        at += max(size, 24)


def _ogg(file: BinaryIO, start: int, end: int) -> Iterator[Span]:
    """The contents of the pages, without the second packet of each stream: the comments. (Pages get renumbered.)"""
    at = start
    ended: dict[bytes, int] = {}  # packets of each stream that have ended, up to 2
    while at + 27 <= end:
        header = _read(file, at, 27)
        if header[:4] != b"OggS":
            yield at, end
            return
        lengths = file.read(header[26])
        first = at = at + 27 + len(lengths)
        at += sum(lengths)
        stream = header[14:18]
        count = 0 if header[5] & 2 else ended.get(stream, 2)
        if count == 2:
            yield first, at
            continue
        for length, goes_on in _packets(lengths):
            if count != 1:
                yield first, first + length
            first += length
            count = min(count + (not goes_on), 2)
        ended[stream] = count


def _packets(lengths: bytes) -> Iterator[tuple[int, bool]]:
    """(bytes in this page, whether it goes on in the next one) of the packets of a page."""
    size = 0
    for length in lengths:
        size += length
        if length < 255:
            yield size, False
            size = 0
    if lengths and lengths[-1] == 255:
        yield size, True
