"""Made sounds that are not music: noise, tones, sweeps, clicks, hum, applause, near silence and synthetic speech."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from m2e.errors import DataError

SAMPLING_RATE = 22050  # Hz
SYLLABLES = (
    "ba be bo da de di do fa fi ga go ha ka ke ki la le li lo ma me mi mo na ne no pa pe ra re ri ro sa se si so ta te"
    " ti to va ve vo wa we za"
).split()
VOICES = ("en", "en-us", "de", "fr", "es", "it", "pl", "pt", "nl", "sv")


def _times(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE


def _coloured(rng: np.random.Generator, samples: int, slope: float) -> np.ndarray:
    """Noise whose power falls with frequency ** -slope."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[1:] /= np.arange(1, len(spectrum)) ** (slope / 2)
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum, samples)
    return noise / noise.std()


def noise(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """White to brown, in a random band, sometimes swelling like wind."""
    wave = _coloured(rng, len(_times(seconds)), rng.uniform(0, 2))
    if rng.random() < 0.5:
        knots = np.arange(0, seconds + 2, 2)
        swell = np.interp(_times(seconds), knots, rng.uniform(0.1, 1, len(knots)))
        wave = wave * swell
    return wave


def tone(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """One steady tone with up to three harmonics."""
    pitch = 50 * 2 ** rng.uniform(0, 7)
    parts = [rng.random() / k * np.sin(2 * np.pi * k * pitch * _times(seconds)) for k in range(1, rng.integers(2, 5))]
    return np.sum(parts, axis=0)


def sweep(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A glissando up and down, as of a siren or a test signal."""
    period, low = rng.uniform(0.5, seconds), 80 * 2 ** rng.uniform(0, 3)
    frequency = low * 2 ** (rng.uniform(1, 4) * (0.5 + 0.5 * np.sin(2 * np.pi * _times(seconds) / period)))
    return np.sin(2 * np.pi * np.cumsum(frequency) / SAMPLING_RATE)


def clicks(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Clicks, regular or at random times, over faint noise."""
    wave = 0.001 * rng.standard_normal(len(_times(seconds)))
    count = max(2, int(seconds * rng.uniform(0.5, 12)))
    places = np.linspace(0, len(wave) - 400, count) if rng.random() < 0.5 else rng.uniform(0, len(wave) - 400, count)
    for place in places.astype(int):
        wave[place : place + 300] += rng.standard_normal(300) * np.exp(-np.arange(300) / rng.uniform(5, 80))
    return wave


def hum(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Mains hum and the noise of a machine."""
    base = rng.choice([50.0, 60.0, 100.0, 120.0])
    wave = sum(rng.random() * np.sin(2 * np.pi * k * base * _times(seconds)) for k in range(1, 9))
    return wave + rng.uniform(0.05, 1) * _coloured(rng, len(_times(seconds)), 1)


def applause(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Many claps: short bursts of noise at random times."""
    wave = np.zeros(len(_times(seconds)) + 800)
    clap = rng.standard_normal((16, 800)) * np.exp(-np.arange(800) / rng.uniform(60, 200))
    for place in rng.integers(0, len(wave) - 800, int(seconds * rng.uniform(20, 400))):
        wave[place : place + 800] += rng.uniform(0.2, 1) * clap[rng.integers(16)]
    return wave[: len(_times(seconds))]


def silence(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Faint noise, as of an empty recording; what is fainter is refused as silent."""
    return 10 ** rng.uniform(-3.9, -3.3) * _coloured(rng, len(_times(seconds)), rng.uniform(0, 1))


def speech(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Sentences of random syllables by espeak-ng, one to three speakers in turn, some in noise. Raises DataError."""
    parts: list[np.ndarray] = []
    while sum(len(part) for part in parts) < seconds * SAMPLING_RATE:
        words = ["".join(rng.choice(SYLLABLES, rng.integers(1, 4))) for _ in range(rng.integers(4, 14))]
        voice = f"{rng.choice(VOICES)}+{rng.choice(['m1', 'm3', 'm7', 'f1', 'f3', 'f5'])}"
        parts += [_spoken(" ".join(words) + ".", voice, rng), np.zeros(int(rng.uniform(0.1, 0.8) * SAMPLING_RATE))]
    wave = np.concatenate(parts)[: len(_times(seconds))]
    return wave + 10 ** rng.uniform(-4, -1.5) * _coloured(rng, len(wave), 1)


def _spoken(text: str, voice: str, rng: np.random.Generator) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        pace = ["-s", str(rng.integers(110, 220)), "-p", str(rng.integers(20, 80))]
        try:
            subprocess.run(["espeak-ng", "-v", voice, *pace, "-w", str(path), text], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise DataError("Speech is made by espeak-ng: install it (apt install espeak-ng).") from error
        wave, rate = soundfile.read(path, dtype="float32")
    return soxr.resample(wave, rate, SAMPLING_RATE) / 2


KINDS: dict[str, Callable[[np.random.Generator, float], np.ndarray]] = {
    "noise": noise, "tone": tone, "sweep": sweep, "clicks": clicks, "hum": hum, "applause": applause,
    "silence": silence, "speech": speech,
}  # fmt: skip


def sounds(kind: str, count: int, seconds: float, seed: int = 0) -> Iterator[np.ndarray]:
    """`count` waveforms (samples,) float32 of a kind at 22,050 Hz; equal seeds give equal sounds."""
    for number in range(count):
        rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
        wave = KINDS[kind](rng, seconds)
        if kind != "silence":
            wave = wave / max(abs(wave).max(), 1e-9) * rng.uniform(0.1, 0.9)
        yield wave.astype(np.float32)
