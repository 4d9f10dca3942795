"""The streams of joined Ogg files, and their stretches between lost pages."""

import io

import numpy as np
import pytest
from sounds import encoded, read
from test_audio_sndfile_m2e import RATE, right_seconds, steps

from modeling_m2e import audio_parts_m2e
from modeling_m2e.audio_parts_m2e import Part
from modeling_m2e.ogg_pages_m2e import ogg_parts


@pytest.fixture(scope="module", params=["VORBIS", "OPUS"])
def ogg(request) -> bytes:
    return encoded(steps(10), RATE, "OGG", request.param)


def pages(data: bytes) -> list[bytes]:
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"OggS"]
    return [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


def parts(data: bytes) -> tuple[list[Part], bool]:
    return ogg_parts(io.BytesIO(data), 0, len(data))


def test_a_whole_file_is_one_part(ogg):
    assert parts(ogg) == ([Part(0, len(ogg))], True)
    assert parts(ogg + ogg) == ([Part(0, len(ogg)), Part(len(ogg), 2 * len(ogg))], True)


def test_a_lost_page_divides_a_stream(ogg):
    all_pages = pages(ogg)
    left = b"".join(all_pages[:5] + all_pages[6:])
    (first, second), complete = parts(left)
    assert complete and first == Part(0, len(b"".join(all_pages[:5])))
    assert (second.start, second.end) == (first.end, len(left))
    assert ogg.startswith(second.head) and second.head == b"".join(all_pages[:2])
    waveform, rate, report = read(left)
    assert len(waveform) / rate == pytest.approx(10, abs=0.3) and len(right_seconds(waveform, 10)) >= 7
    assert report.warnings


def test_a_page_with_a_wrong_checksum_is_lost(ogg):
    broken = bytearray(ogg)
    at = ogg.index(pages(ogg)[5]) + 400
    broken[at] ^= 1
    (first, second), _ = parts(bytes(broken))
    assert first.end <= at < second.start


def test_the_end_that_is_missing_is_noticed(ogg):
    assert parts(ogg[:-1000])[1] is False
    assert parts(b"".join(pages(ogg)[:-1]))[1] is False
    assert parts(ogg + b"junk")[1] is False


def test_bytes_that_are_no_pages():
    assert parts(b"") == ([], False)
    assert parts(b"OggS" * 100) == ([], False)


def test_many_marks_are_read_once(ogg, monkeypatch):
    reads = []

    class Counted(io.BytesIO):
        def read(self, count=-1):
            data = super().read(count)
            reads.append(len(data))
            return data

    data = ogg + b"OggS" * 50_000
    ogg_parts(Counted(data), 0, len(data))
    assert sum(reads) < 1 << 28  # not a megabyte for every mark


def test_positions_over_the_edges_of_chunks(monkeypatch):
    monkeypatch.setattr(audio_parts_m2e, "_CHUNK", 10)
    data = b"x" * 8 + b"OggS" + b"x" * 7 + b"OggS"
    assert list(audio_parts_m2e.positions(io.BytesIO(data), b"OggS", 0, len(data))) == [8, 19]
    assert np.all(np.diff(list(audio_parts_m2e.positions(io.BytesIO(data * 9), b"OggS", 0, len(data) * 9))) > 0)
