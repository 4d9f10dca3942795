"""Finds the streams of which an Ogg file is joined, and in them the stretches between lost pages (RFC 3533)."""

import zlib
from dataclasses import dataclass, field
from typing import Any

from .audio_parts_m2e import Part, positions

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_HEAD = 27  # bytes of a page before its table of segments
_MAX_DAMAGED = 10_000  # pages; a file that is made to have more of them must not take hours


@dataclass(frozen=True)
class _Page:
    """first, last: of its stream.  granule: its end, in samples of the stream; 0 in headers, below 0 if unknown."""

    end: int
    first: bool
    last: bool
    granule: int
    serial: bytes
    sequence: int

    def follows_gap(self, previous: "_Page") -> bool:
        return self.serial == previous.serial and self.sequence > previous.sequence + 1


@dataclass
class _Run:
    """Pages without a gap: their bytes, and the last granule position."""

    start: int
    end: int
    granule: int = 0


@dataclass
class _Link:
    """One stream of a chained file.  headers: the end of the pages before the first sample, None before it is known."""

    runs: list[_Run]
    headers: int | None = None
    serials: set[bytes] = field(default_factory=set)

    def parts(self, file: Any, end: int) -> list[Part]:
        """Its runs as files; `end`: where the next stream begins, or the file ends."""
        start = self.runs[0].start
        sounding = [run for run in self.runs if run.granule > 0]
        if len(sounding) < 2 or len(self.serials) > 1 or self.headers is None:
            return [Part(start, end)]
        file.seek(start)
        head = file.read(self.headers - start)
        parts = [Part(start, sounding[0].end)]
        for before, run in zip(sounding[:-1], sounding[1:], strict=True):
            parts.append(Part(run.start, run.end, head=head, granules=max(0, run.granule - before.granule)))
        return parts


def ogg_parts(file: Any, start: int, size: int) -> tuple[list[Part], bool]:
    """The streams of a chained Ogg file, divided where pages are lost or damaged, and whether the file is complete.

    It is complete if it ends with the page that ends its stream.
    """
    links: list[_Link] = []
    page: _Page | None = None
    marks = positions(file, b"OggS", start, size)
    lost, complete, bad, position = False, False, 0, start
    while position < size:
        previous, page = page, _page(file, position, size)
        if page is None:
            lost, complete, page, bad = True, False, previous, bad + 1
            following = next((mark for mark in marks if mark > position), None)
            if following is None or bad > _MAX_DAMAGED:
                break
            position = following
            continue
        if page.first and not (previous is not None and previous.first):
            links.append(_Link([_Run(position, page.end)]))
        elif links and (lost or previous is not None and page.follows_gap(previous)):
            links[-1].runs.append(_Run(position, page.end))
        if links:
            link = links[-1]
            link.serials.add(page.serial)
            run = link.runs[-1]
            if page.granule > 0:
                if link.headers is None and len(link.runs) == 1:
                    link.headers = position
                run.granule = page.granule
            run.end = page.end
        lost, complete, position = False, page.last, page.end
    if not links:
        return [], complete
    ends = [*(link.runs[0].start for link in links[1:]), size]
    return [part for link, end in zip(links, ends, strict=True) for part in link.parts(file, end)], complete


def _page(file: Any, position: int, size: int) -> _Page | None:
    """The page at `position`; None where it is damaged."""
    file.seek(position)
    head: bytes = file.read(_HEAD + 255)
    if head[:4] != b"OggS" or len(head) < _HEAD:
        return None
    start = _HEAD + head[26]
    length = start + sum(head[_HEAD:start])
    if position + length > size:
        return None
    data = (head + file.read(max(0, length - len(head))))[:length]
    if _checksum(data[:22] + bytes(4) + data[26:]) != int.from_bytes(data[22:26], "little"):
        return None
    granule = int.from_bytes(data[6:14], "little", signed=True)
    sequence = int.from_bytes(data[18:22], "little")
    return _Page(position + length, bool(data[5] & 2), bool(data[5] & 4), granule, data[14:18], sequence)


def _checksum(data: bytes) -> int:
    """CRC-32 of polynomial 0x04c11db7 as in Ogg: zlib's of reversed bits, without its inversions."""
    reflected = zlib.crc32(data.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{reflected:032b}"[::-1], 2)
