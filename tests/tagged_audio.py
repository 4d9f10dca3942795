"""Short audio files of every format whose tags can be written, and records for them."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 44100
BY_SNDFILE = {
    "wav": "PCM_16",
    "flac": "PCM_16",
    "ogg": "VORBIS",
    "opus": "OPUS",
    "mp3": "MPEG_LAYER_III",
    "aiff": "PCM_16",
}
_FORMATS = {"ogg": "OGG", "opus": "OGG"}
BY_FFMPEG = {"m4a": ["-c:a", "aac"], "wv": [], "wma": ["-c:a", "wmav2"], "tta": []}
SUFFIXES = (*BY_SNDFILE, *BY_FFMPEG)


def make(folder: Path, suffix: str, name: str = "song", seconds: float = 1.0) -> Path:
    """A tone without tags. Skips the test where a format needs ffmpeg, and it is absent."""
    path = folder / f"{name}.{suffix}"
    rate = 48000 if suffix == "opus" else RATE
    samples = 0.3 * np.sin(np.arange(round(seconds * rate)) / 16) * np.ones((2, 1))
    samples = samples.T + 0.01 * np.random.default_rng(0).standard_normal((samples.shape[1], 2))
    if suffix in BY_SNDFILE:
        form = _FORMATS.get(suffix, suffix.upper())
        soundfile.write(path, samples, rate, BY_SNDFILE[suffix], format=form)
        return path
    if shutil.which("ffmpeg") is None:
        pytest.skip("the program ffmpeg is absent")
    wav = folder / f"{name}-source.wav"
    soundfile.write(wav, samples, RATE)
    command = ["ffmpeg", "-v", "error", "-i", str(wav), "-map_metadata", "-1", *BY_FFMPEG[suffix], str(path)]
    subprocess.run(command, check=True)
    wav.unlink()
    return path


def record(path: object = "song", **changes: object) -> dict:
    """The plain values of a record."""
    return {
        "path": str(path),
        "duration": 1.0,
        "valence": 5.3121,
        "arousal": 6.2,
        "quadrant": "Q1",
        "moods": [{"label": "calm", "score": 0.9}, {"label": "happy", "score": 0.8}, {"label": "épic", "score": 0.1}],
        "selected_moods": ["calm", "happy"],
        "key": {"tonic": "A", "mode": "minor", "confidence": 0.8},
        "chords": None,
        "model": "fake",
        "attributes": {"energy": 0.731},
        "error": None,
        **changes,
    }
