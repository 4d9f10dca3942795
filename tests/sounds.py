"""Sounds as arrays and as files in memory, for the tests of audio."""

import io
import re
import shutil

import numpy as np
import pytest
import soundfile

from modeling_m2e.audio_blocks_m2e import AudioReport
from modeling_m2e.audio_m2e import load, stream

RATE = 8_000
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg is absent")


def tone(seconds: float, rate: int = RATE, frequency: float = 440.0, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)
    return wave if channels == 1 else np.repeat(wave[:, None], channels, axis=1)


def noise(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    shape = round(seconds * rate) if channels == 1 else (round(seconds * rate), channels)
    return (0.2 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32).clip(-1, 1)


def encoded(samples: np.ndarray, rate: int = RATE, format: str = "WAV", subtype: str | None = None, **options) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype, **options)
    return buffer.getvalue()


def read(source, seconds: float = 30.0) -> tuple[np.ndarray, int, AudioReport]:
    """The waveform, its sampling rate and the report about it."""
    report = AudioReport()
    waveform, rate = load(source)
    blocks = list(stream(source, [rate], seconds, report))
    np.testing.assert_allclose(np.concatenate([block[rate] for block in blocks]), waveform, atol=1e-6)
    return waveform, rate, report


def joined(source, rates, seconds=30.0) -> dict[int, np.ndarray]:
    blocks = list(stream(source, rates, seconds))
    return {rate: np.concatenate([block[rate] for block in blocks]) for rate in rates}


def assert_one_sentence(error: pytest.ExceptionInfo, name: str) -> None:
    message = str(error.value)
    assert message.startswith(f"{name}: ") and message.endswith(".") and "\n" not in message
    assert not re.search(r"[a-z]\. [A-Z]", message), message
