"""Joined files are read to their end, whatever was joined; libsndfile alone stops at the end of the first."""

import io

import numpy as np
import pytest
from sounds import encoded, noise, read, tone

from modeling_m2e.audio_parts_m2e import FileSlice, audio_start, flac_parts, id3_length, mp3_parts
from modeling_m2e.ogg_pages_m2e import ogg_parts


def pitch(wave: np.ndarray, rate: int) -> float:
    """The strongest frequency in Hz."""
    return float(np.abs(np.fft.rfft(wave)).argmax() * rate / len(wave))


def id3(size: int) -> bytes:
    digits = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\4\0\0" + digits + bytes(size)


def without_xing(data: bytes) -> bytes:
    """An MP3 of constant bit rate without the frame that holds its length."""
    part = mp3_parts(io.BytesIO(data), 0, len(data))[0]
    assert not part.endless
    following = data.index(data[:2], 4)
    assert b"Xing" in data[:following] or b"Info" in data[:following]
    return data[following:]


@pytest.mark.parametrize(
    ("format", "subtype", "rate"),
    [
        ("OGG", "VORBIS", 44_100),
        ("OGG", "OPUS", 48_000),
        ("FLAC", None, 44_100),
        ("WAV", None, 44_100),
        ("AIFF", None, 44_100),
        ("AU", None, 44_100),
        ("CAF", None, 44_100),
        ("W64", None, 44_100),
    ],
)
def test_joined_files_are_read_to_their_end(format, subtype, rate, no_ffmpeg):
    pieces = [tone(2.0, rate, 440.0), tone(3.0, rate, 880.0), tone(1.0, rate, 1320.0)]
    data = b"".join(encoded(piece, rate, format, subtype) for piece in pieces)
    waveform, found, report = read(data)
    assert found == rate and len(waveform) == pytest.approx(6 * rate, abs=2_000)
    for start, frequency in ((0.5, 440.0), (3.0, 880.0), (5.2, 1320.0)):
        part = waveform[int(start * rate) : int((start + 0.5) * rate)]
        assert pitch(part, rate) == pytest.approx(frequency, abs=4)
    assert not report.warnings and report.seconds_used == pytest.approx(6.0, abs=0.1)


@pytest.mark.parametrize("xing", [True, False])
def test_joined_mp3(xing, no_ffmpeg):
    rate = 44_100
    pieces = [
        encoded(tone(seconds, rate, 440.0 * (index + 1)), rate, "MP3", bitrate_mode="CONSTANT")
        for index, seconds in enumerate((2.0, 3.0))
    ]
    if not xing:
        pieces[1] = without_xing(pieces[1])
    for between in (b"", b"TAG" + bytes(125), id3(500)):
        waveform, _, report = read(pieces[0] + between + pieces[1])
        assert len(waveform) == pytest.approx(5 * rate, abs=6_000)
        assert pitch(waveform[3 * rate : 4 * rate], rate) == pytest.approx(880, abs=3)
        assert not report.warnings, report.warnings


def test_joined_files_of_other_rates_and_channels(no_ffmpeg):
    high, low = tone(2.0, 44_100, 440.0, channels=2), tone(2.0, 22_050, 880.0)
    for format, subtype in (("MP3", None), ("OGG", "VORBIS"), ("FLAC", None), ("WAV", None)):
        for first, second in (((high, 44_100), (low, 22_050)), ((low, 22_050), (high, 44_100))):
            data = encoded(*first, format, subtype) + encoded(*second, format, subtype)
            waveform, rate, report = read(data)
            assert rate == 44_100 and len(waveform) == pytest.approx(4 * rate, abs=6_000), format
            order = (440, 880) if first[1] == 44_100 else (880, 440)
            assert pitch(waveform[rate // 2 : rate], rate) == pytest.approx(order[0], abs=4), format
            assert pitch(waveform[3 * rate : 7 * rate // 2], rate) == pytest.approx(order[1], abs=4), format
            assert not report.warnings


def test_xing_header_that_declares_too_few_frames(no_ffmpeg):
    rate = 44_100
    data = encoded(tone(2.0, rate), rate, "MP3") + without_xing(
        encoded(tone(4.0, rate, 880.0), rate, "MP3", bitrate_mode="CONSTANT")
    )
    waveform, _, _ = read(data)
    assert len(waveform) == pytest.approx(6 * rate, abs=6_000)


def test_one_file_is_one_part():
    rate = 44_100
    for format, find in (("OGG", lambda *span: ogg_parts(*span)[0]), ("FLAC", flac_parts), ("MP3", mp3_parts)):
        data = encoded(noise(3.0, rate, channels=2), rate, format)
        (part,) = find(io.BytesIO(data), 0, len(data))
        assert (part.start, part.hole) == (0, 0.0) and len(data) - part.end < 200, format


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000, 48_000])
def test_frames_of_mp3_are_counted(rate):
    for mode in ("CONSTANT", "VARIABLE"):
        data = encoded(noise(5.0, rate), rate, "MP3", bitrate_mode=mode)
        (part,) = mp3_parts(io.BytesIO(data), 0, len(data))
        assert part.length == pytest.approx(5 * rate, abs=4_000)


def test_garbage_has_no_mp3_parts():
    data = np.random.default_rng(0).integers(0, 256, 1 << 16, dtype=np.uint8).tobytes()
    assert mp3_parts(io.BytesIO(data), 0, len(data)) == []
    assert mp3_parts(io.BytesIO(b"\xff" * 10_000), 0, 10_000) == []
    assert mp3_parts(io.BytesIO(b""), 0, 0) == []


def test_id3_tags():
    assert id3_length(id3(300)[:10]) == 310 and id3_length(b"RIFF......") == 0 and id3_length(b"ID3") == 0
    data = id3(20_000) + id3(5) + b"RIFF"
    assert audio_start(io.BytesIO(data)) == len(data) - 4


@pytest.mark.parametrize("format", ["WAV", "AIFF", "FLAC", "MP3", "OGG"])
def test_id3_before_any_format(format, no_ffmpeg):
    rate = 16_000
    plain = encoded(tone(2.0, rate), rate, format)
    for size in (100, 200_000):
        waveform, _, report = read(id3(size) + plain)
        np.testing.assert_array_equal(waveform, read(plain)[0])
        assert not report.warnings


def test_slice_is_a_file():
    part = FileSlice(io.BytesIO(b"0123456789"), 2, 7)
    assert part.read() == b"23456" and part.read(3) == b""
    assert part.seek(-2, 2) == 3 and part.read(9) == b"56" and part.tell() == 5


def test_ogg_without_its_last_page_is_noticed(no_ffmpeg):
    for subtype in ("VORBIS", "OPUS"):
        data = encoded(noise(20.0, 16_000), 16_000, "OGG", subtype)
        waveform, rate, report = read(data[: len(data) * 6 // 10])
        assert 10 < len(waveform) / rate < 14
        assert report.warnings == ["The file ends without the mark of its end: a part may be missing."]
