"""Finds the parts of a file that are files of their own: joined FLAC and MP3 files, tags, damaged stretches.

libsndfile stops at the end of the first part. Each part is given to it as a file (`FileSlice`).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

MIN_MP3_FRAMES = 3  # a shorter run of frame headers is chance
_CHUNK, _MARGIN = 1 << 20, 1 << 13  # bytes read at once; more than the longest MPEG frame
_FLAC = b"fLaC\0\0\0\x22"  # the mark, and the head of STREAMINFO, which is 34 bytes long


@dataclass(frozen=True)
class Part:
    """Bytes from `start` to `end` that a decoder takes for a whole file.

    length: declared or counted samples per channel, None if unknown.  endless: an MP3 whose header has no length.
    hole: seconds that are lost between the part before and this one.
    head: bytes to put before it.  granules: of Ogg, from the end of the part before to its own; None without a hole.
    """

    start: int
    end: int
    length: int | None = None
    endless: bool = False
    hole: float = 0.0
    head: bytes = b""
    granules: int | None = None


class FileSlice:
    """The bytes `head` and those from `start` to `end` of a binary file, as a file that can be read."""

    def __init__(self, file: Any, start: int, end: int, head: bytes = b""):
        self.file, self.start, self.head, self.position = file, start, head, 0
        self.size = len(head) + end - start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence]
        self.position = origin + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def read(self, count: int = -1) -> bytes:
        left = max(0, self.size - self.position)
        count = left if count < 0 else min(count, left)
        data: bytes = self.head[self.position : self.position + count]
        if len(data) < count:
            self.file.seek(self.start + self.position + len(data) - len(self.head))
            data += self.file.read(count - len(data))
        self.position += len(data)
        return data


class EndlessFile:
    """A file that claims to be far longer than it is, so that no length is guessed from its size."""

    EXTRA = 1 << 40

    def __init__(self, file: Any):
        self.file, self.position = file, 0
        self.size = file.seek(0, os.SEEK_END)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size + self.EXTRA}[whence]
        self.position = origin + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def read(self, count: int) -> bytes:
        # The claimed end shows the real end, where ID3v1 tags are looked for.
        self.file.seek(self.position % self.EXTRA)
        data: bytes = self.file.read(count)
        self.position += len(data)
        return data


def id3_length(head: bytes) -> int:
    """Bytes of the ID3v2 tag with which `head` (10 bytes or more) begins, 0 without one."""
    if head[:3] != b"ID3" or len(head) < 10 or max(head[6:10]) > 127:
        return 0
    size = int("".join(f"{byte:07b}" for byte in head[6:10]), 2)  # four bytes of seven bits
    return size + (20 if head[5] & 0x10 else 10)  # with a footer, or without


def audio_start(file: Any) -> int:
    """The byte after all ID3v2 tags at the beginning of a file."""
    start = 0
    while True:
        file.seek(start)
        length = id3_length(file.read(10))
        if not length:
            return start
        start += length


# --- FLAC ---


def flac_parts(file: Any, start: int, size: int) -> list[Part]:
    """The files of which a FLAC file is joined."""
    starts = [start, *positions(file, _FLAC, start + len(_FLAC), size)]
    return [Part(*span) for span in zip(starts, [*starts[1:], size], strict=True)]


class FlacFrames:
    """The frames of a FLAC file: after damage, decoding goes on at the next one. Scans the file when first asked."""

    def __init__(self, file: Any, start: int, end: int):
        file.seek(start)
        self.file, self.start, self.end = file, start, end
        self.head = bytearray(file.read(42))
        self.block, self.total = (
            int.from_bytes(self.head[8:10], "big"),
            int.from_bytes(self.head[21:26], "big") & (1 << 36) - 1,
        )
        self.head[4] |= 0x80  # STREAMINFO is the last block of metadata
        self.head[21] &= 0xF0  # of unknown length
        self.head[22:42] = bytes(20)
        self._frames: list[tuple[int, int]] | None = None

    def after(self, sample: int) -> tuple[FileSlice, int] | None:
        """A FLAC file of all frames that begin after `sample`, and its first sample; None where there are none."""
        if self._frames is None:
            self._frames = [
                (position, first)
                for mark in (b"\xff\xf8", b"\xff\xf9")
                for position in positions(self.file, mark, self.start + 42, self.end)
                if (first := self._first_sample(position)) is not None
            ]
        later = [(first, position) for position, first in self._frames if sample < first < (self.total or 1 << 62)]
        if not later:
            return None
        first, position = min(later)
        return FileSlice(self.file, position, self.end, bytes(self.head)), first

    def _first_sample(self, position: int) -> int | None:
        """The number of the first sample of the frame at `position`, None where no frame is."""
        self.file.seek(position)
        data: bytes = self.file.read(16)
        if len(data) < 16 or data[3] & 1 or data[2] >> 4 == 0 or data[2] & 15 == 15:
            return None
        length = 8 - (data[4] ^ 0xFF).bit_length() or 1  # bytes of the number, which is written as in UTF-8
        if length == 1 and data[4] >= 0x80 or length > 7:
            return None
        number = data[4] if length == 1 else data[4] & (0xFF >> (length + 1))
        for byte in data[5 : 4 + length]:
            number = number << 6 | byte & 63
        header = 4 + length + {6: 1, 7: 2}.get(data[2] >> 4, 0) + {12: 1, 13: 2, 14: 2}.get(data[2] & 15, 0)
        checksum = 0  # CRC-8
        for byte in data[:header]:
            checksum ^= byte
            for _ in range(8):
                checksum = (checksum << 1 ^ (0x107 if checksum & 0x80 else 0)) & 0x1FF
        if checksum & 0xFF != data[header]:
            return None
        return number if data[1] & 1 else number * self.block


def positions(file: Any, mark: bytes, start: int, size: int) -> Iterator[int]:
    """Where `mark` occurs in the bytes from `start` to `size`."""
    while start < size:
        file.seek(start)
        data = file.read(_CHUNK + len(mark) - 1)
        found = data.find(mark)
        while found >= 0:
            yield start + found
            found = data.find(mark, found + 1)
        if len(data) < len(mark):
            return
        start += _CHUNK


# --- MP3 ---


def _frame_table() -> dict[int, tuple[int, int, int]]:
    """{second and third byte of an MPEG audio frame: (bytes, samples per channel, sampling rate)}."""
    one = {
        3: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
        2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
        1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    }
    low = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    two = {3: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256), 2: low, 1: low}
    table = {}
    for version, divisor in ((3, 1), (2, 2), (0, 4)):  # MPEG-1, 2, 2.5
        for layer, rates in (one if version == 3 else two).items():
            samples = {3: 384, 2: 1152, 1: 1152 if version == 3 else 576}[layer]
            for index, kilobits in enumerate(rates, 1):
                for code, hertz in enumerate((44100, 48000, 32000)):
                    for rest in range(8):  # checksum, padding and private bit
                        rate, padding = hertz // divisor, rest >> 1 & 1
                        if layer == 3:
                            length = (12_000 * kilobits // rate + padding) * 4
                        else:
                            length = samples * 125 * kilobits // rate + padding
                        second = 0xE0 | version << 3 | layer << 1 | rest >> 2
                        table[second << 8 | index << 4 | code << 2 | rest & 3] = (length, samples, rate)
    return table


_FRAMES = _frame_table()


class _Bytes:
    """Bytes of a file by their position, read in chunks from front to back."""

    def __init__(self, file: Any, size: int):
        self.file, self.size, self.base, self.data = file, size, 0, b""

    def at(self, position: int) -> int:
        """The index in `data` of a position; as many bytes follow it as a frame may have, if the file has them."""
        index = position - self.base
        if index < 0 or (index + _MARGIN > len(self.data) and self.base + len(self.data) < self.size):
            self.file.seek(position)
            self.base, self.data, index = position, self.file.read(_CHUNK + _MARGIN), 0
        return index


def mp3_parts(file: Any, start: int, size: int) -> list[Part]:
    """The runs of MPEG frames in a file, without tags and damage; empty where there are none.

    A new part begins with another rate or number of channels, with a header of its own (Xing, Info, VBRI), after the
    number of frames that such a header declares, after a tag, and after bytes that are no frames.
    """
    parts: list[Part] = []
    stream = _Bytes(file, size)
    position, begin, count, lost, lost_before = start, start, 0, 0, 0
    kind: tuple[int, int, int, bool] | None = None  # of the open part; None while there is none
    declared: int | None = None
    spacing = 0.0  # seconds per byte of the last part
    owed = 0  # samples that the header of the stream declares and that no part has given yet
    joint = True  # whether the next part begins a file of its own
    hole = 0.0  # before the open part

    def close(end: int) -> None:
        nonlocal kind, lost, spacing, owed
        if kind is None:
            return
        samples, rate = kind[1], kind[2]
        if count < MIN_MP3_FRAMES:
            lost += lost_before + end - begin
        else:
            owed -= count * samples + round(hole * rate)
            parts.append(Part(begin, end, count * samples, declared is None, hole))
            spacing = count * samples / rate / (end - begin)
        kind = None

    def settle() -> None:  # what a stream still owes is missing at its end
        if parts and owed > 0:
            parts[-1] = replace(parts[-1], length=(parts[-1].length or 0) + owed)

    while position + 4 <= size:
        index = stream.at(position)
        data = stream.data
        entry = _FRAMES.get(data[index + 1] << 8 | data[index + 2]) if data[index] == 0xFF else None
        if entry is None:
            tag = _tag_length(data, index)
            if tag:
                close(position)
                position, joint = position + tag, True
                continue
        else:
            now = (data[index + 1] & 0xFE, entry[1], entry[2], data[index + 3] >> 6 == 3)
            header = _xing_frames(data, index, now)
            if kind is not None and (
                now != kind or header is not None or (declared is not None and count > declared + 1)
            ):
                if now == kind or _continues(data, index + entry[0], now):
                    close(position)
                    joint = True
            if kind is None and (header is not None or _continues(data, index + entry[0], now)):
                kind, begin, declared = now, position, header or None
                hole = 0.0 if joint or header is not None else lost * spacing
                if joint or header is not None:
                    settle()
                    owed = entry[1] * (header or 0)
                lost_before, lost, joint = lost, 0, False
                count = -1 if header is not None else 0  # a frame with the header has no sound
            if kind == now:
                count += 1
                position += entry[0]
                continue
        close(position)  # bytes that are no frame
        following = data.find(b"\xff", index + 1)
        skipped = (following if following >= 0 else len(data)) - index
        position, lost = position + skipped, lost + skipped
    close(min(position, size))
    settle()
    return parts


def _continues(data: bytes, index: int, kind: tuple[int, int, int, bool]) -> bool:
    """Whether a frame of this kind, a tag or the end of the file follows at `index`."""
    if index + 4 > len(data):
        return True
    entry = _FRAMES.get(data[index + 1] << 8 | data[index + 2]) if data[index] == 0xFF else None
    if entry is None:
        return _tag_length(data, index) > 0
    return (data[index + 1] & 0xFE, entry[1], entry[2]) == kind[:3]


def _tag_length(data: bytes, index: int) -> int:
    """Bytes of the ID3v2, ID3v1 or APE tag at `index`, 0 without one."""
    mark = data[index : index + 8]
    if mark[:3] == b"ID3":
        return id3_length(data[index : index + 10])
    if mark[:3] == b"TAG":
        return 128
    return 32 + int.from_bytes(data[index + 12 : index + 16], "little") if mark == b"APETAGEX" else 0


def _xing_frames(data: bytes, index: int, kind: tuple[int, int, int, bool]) -> int | None:
    """The number of frames that the header in this frame declares: 0 if it does not, None if this is no header."""
    one, mono = kind[0] >> 3 & 3 == 3, kind[3]
    at = index + (21 if one == mono else 36 if one else 13)  # after the side information
    if data[at : at + 4] in (b"Xing", b"Info"):
        return int.from_bytes(data[at + 8 : at + 12], "big") if data[at + 7] & 1 else 0
    if data[index + 36 : index + 40] == b"VBRI":
        return int.from_bytes(data[index + 50 : index + 54], "big")
    return None
