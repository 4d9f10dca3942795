"""Damage in the middle of a file costs what is damaged, not the block; what follows stays in its place."""

import re

import numpy as np
import pytest
from sounds import encoded, noise, read

from m2e.errors import AudioError
from modeling_m2e.audio_m2e import load

RATE = 16_000


def steps(seconds: int) -> np.ndarray:
    """A tone of 500 Hz in the first second, and 100 Hz more in every later one; with a little noise."""
    frequency = np.repeat(500.0 + 100.0 * np.arange(seconds), RATE)
    wave = 0.5 * np.sin(2 * np.pi * np.cumsum(frequency) / RATE) + 0.02 * noise(seconds, RATE)
    return wave.astype(np.float32)


def right_seconds(waveform: np.ndarray, seconds: int) -> list[int]:
    """The seconds whose tone is in its place."""
    found = []
    for index in range(seconds):
        part = waveform[round((index + 0.25) * RATE) : round((index + 0.75) * RATE)]
        if len(part) == RATE // 2 and abs(np.abs(np.fft.rfft(part)).argmax() * 2 - 500 - 100 * index) <= 4:
            found.append(index)
    return found


def damaged(data: bytes, kind: str, start: float = 0.4, end: float = 0.5) -> bytes:
    first, last = int(len(data) * start), int(len(data) * end)
    filler = bytes(last - first)
    if kind == "random":
        filler = np.random.default_rng(0).integers(0, 256, last - first, dtype=np.uint8).tobytes()
    return data[:first] + filler + data[last:]


@pytest.mark.parametrize("kind", ["zeros", "random"])
@pytest.mark.parametrize("format", ["FLAC", "MP3"])
def test_a_hole_is_silence_and_the_rest_stays_in_place(format, kind, no_ffmpeg):
    data = damaged(encoded(steps(20), RATE, format), kind)
    waveform, rate, report = read(data)
    assert rate == RATE and len(waveform) == pytest.approx(20 * RATE, abs=RATE / 3)
    right = right_seconds(waveform, 20)
    assert len(right) >= 16 and {0, 5, 12, 18, 19} <= set(right)
    (warning,) = report.warnings
    assert warning.startswith("The file is truncated or damaged: 1") and re.search(r" of 20\.\d s can be read", warning)
    assert report.seconds_used == pytest.approx(18.0, abs=0.7)


@pytest.mark.parametrize("kind", ["zeros", "random"])
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_hole_in_ogg_is_silence_and_the_rest_stays_in_place(subtype, kind, no_ffmpeg):
    data = damaged(encoded(steps(20), RATE, "OGG", subtype), kind)
    waveform, rate, report = read(data)
    assert rate == RATE and len(waveform) == pytest.approx(20 * rate, abs=rate / 3)
    right = right_seconds(waveform, 20)
    assert len(right) >= 15 and {0, 5, 12, 18, 19} <= set(right)  # whole pages are lost
    assert report.seconds_used == pytest.approx(17.0, abs=1.5)
    assert report.warnings and " of 20." in report.warnings[0]


def test_a_file_that_is_mostly_damaged_is_refused(no_ffmpeg):
    for format in ("FLAC", "MP3"):
        with pytest.raises(AudioError, match="is truncated or damaged"):
            load(damaged(encoded(steps(20), RATE, format), "zeros", 0.2, 0.9))


@pytest.mark.parametrize("format", ["FLAC", "MP3"])
def test_truncated_files_give_a_warning_or_an_error(format, no_ffmpeg):
    data = encoded(steps(20), RATE, format)
    waveform, _, report = read(data[: int(len(data) * 0.7)])
    assert len(waveform) == pytest.approx(14 * RATE, abs=RATE)
    (warning,) = report.warnings
    assert warning.startswith("The file is truncated or damaged: 1")
    with pytest.raises(AudioError, match="is truncated or damaged"):
        load(data[: int(len(data) * 0.3)])
