"""Headers that lie about the length: the file is the truth, and the report says so."""

import io
import re
import struct

import numpy as np
import pytest
from sounds import RATE, encoded, noise, read, tone

from m2e.errors import AudioError
from modeling_m2e.audio_m2e import load
from modeling_m2e.pcm_headers_m2e import sample_bytes


def patched(format: str, length: int, subtype: str | None = None) -> bytes:
    """Five seconds of a tone, in a file whose header declares `length` bytes of samples."""
    data = bytearray(encoded(tone(5.0), format=format, subtype=subtype))
    if format in ("WAV", "WAVEX"):
        at = data.index(b"data")
        data[at + 4 : at + 8] = struct.pack("<I", length)
        data[4:8] = struct.pack("<I", (at + length) & 0xFFFFFFFF)
    elif format == "AIFF":
        at = data.index(b"SSND")
        data[at + 4 : at + 8] = struct.pack(">I", length + 8)
        data[4:8] = struct.pack(">I", at + 8 + length)
    elif format == "AU":
        data[8:12] = struct.pack(">I", length)
    elif format == "CAF":
        at = data.index(b"data")
        data[at + 4 : at + 12] = struct.pack(">Q", length + 4)
    elif format == "W64":
        at = data.index(b"data")
        data[at + 16 : at + 24] = struct.pack("<Q", length + 24)
    return bytes(data)


@pytest.mark.parametrize("length", [0, 16_000])
@pytest.mark.parametrize("format", ["WAV", "WAVEX", "AIFF", "AU", "CAF", "W64"])
def test_the_rest_of_the_file_is_read(format, length, no_ffmpeg):
    waveform, rate, report = read(patched(format, length))
    assert rate == RATE
    np.testing.assert_allclose(waveform[: 5 * RATE], tone(5.0), atol=1e-3)
    assert len(waveform) - 5 * RATE < 100
    seconds = length / 2 / RATE
    assert report.warnings == [f"The header declares {seconds:.1f} s, but the file holds 5.0 s: all was read."]


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_every_kind_of_samples(subtype, no_ffmpeg):
    waveform, _, report = read(patched("WAV", 0, subtype))
    np.testing.assert_allclose(waveform, tone(5.0), atol=0.03)
    assert len(report.warnings) == 1


def test_a_recorder_that_was_killed_in_silence():
    data = bytearray(encoded(np.concatenate([np.zeros(3 * RATE, np.float32), tone(1.0)])))
    data[4:8], data[40:44] = struct.pack("<I", 36), bytes(4)
    assert len(read(bytes(data))[0]) == 4 * RATE


def test_header_alone():
    with pytest.raises(AudioError, match="holds no audio samples"):
        load(encoded(tone(1.0))[:44])
    with pytest.raises(AudioError, match="0.0 of 1.0 s"):
        load(encoded(tone(1.0))[:46])


@pytest.mark.parametrize(
    "rest",
    [
        b"LIST" + struct.pack("<I", 4) + b"INFO",
        b"TAG" + bytes(125),
        b"id3 " + struct.pack("<I", 9_000) + b"x" * 9_000,
        bytes(40_000),
    ],
)
def test_chunks_tags_and_padding_are_no_sound(rest):
    waveform, _, report = read(encoded(tone(2.0)) + rest)
    assert len(waveform) == 2 * RATE and not report.warnings


@pytest.mark.parametrize("format", ["WAV", "WAVEX", "RF64", "AIFF", "AU", "CAF", "W64"])
def test_right_headers_are_believed(format):
    data = encoded(noise(2.0, channels=2), format=format)
    found = sample_bytes(io.BytesIO(data), 0, len(data))
    assert found.declared == 2 * RATE * 4 and found.present >= found.declared
    _, _, report = read(data)
    assert not report.warnings


@pytest.mark.parametrize("format", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64"])
def test_truncated_files_give_a_warning_or_an_error(format, no_ffmpeg):
    data = encoded(noise(20.0), format=format)
    waveform, _, report = read(data[: int(len(data) * 0.7)])
    assert len(waveform) == pytest.approx(14 * RATE, abs=RATE / 4)
    (warning,) = report.warnings
    assert re.fullmatch(r"The file is truncated or damaged: 1[34]\.\d of 20\.0 s can be read\.", warning)
    assert report.seconds_used == pytest.approx(14.0, abs=0.1)
    with pytest.raises(AudioError, match=r"is truncated or damaged, [56]\.\d of 20\.0 s can be read"):
        load(data[: int(len(data) * 0.3)])
