"""Additive synthesis with random timbres: the notes sound like no sound font, and different each time.

A model trained on them must use pitches rather than known instruments.
"""

from collections.abc import Callable

import numpy as np
import pretty_midi

PARTIALS = 12  # at most
LONGEST = 4.0  # seconds a note rings at most
PITCHED_DRUMS = (35, 36, 41, 43, 45, 47, 48, 50)  # kicks and toms: a falling sine; all others are noise


def synthesize(midi: pretty_midi.PrettyMIDI, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Mono float32 waveform of all tracks; each track has a timbre of its own."""
    output = np.zeros(int((midi.get_end_time() + LONGEST) * rate), np.float32)
    for track in midi.instruments:
        timbre = drum_timbre(rate, rng) if track.is_drum else Timbre(rate, rng)
        sounds: dict[int, np.ndarray] = {}  # one sound per pitch, cut to the length of each note
        for note in track.notes:
            if note.pitch not in sounds:
                sounds[note.pitch] = timbre(note.pitch)
            release = int(0.05 * rate)
            length = min(int((note.end - note.start) * rate) + release, len(sounds[note.pitch]))
            sound = sounds[note.pitch][:length] * (note.velocity / 127) ** 1.5
            sound[-release:] *= np.linspace(1, 0, release)[-len(sound) :]
            begin = int(note.start * rate)
            output[begin : begin + length] += sound[: len(output) - begin]
    return output


class Timbre:
    """A random instrument: MIDI pitch -> its sound (samples,) when held."""

    def __init__(self, rate: int, rng: np.random.Generator):
        self.rate = rate
        partials = np.arange(1, rng.integers(2, PARTIALS + 1) + 1)
        slope, odd = rng.uniform(0.4, 2.5), rng.uniform(0.1, 1.0) if rng.random() < 0.3 else 1.0
        self.levels = partials**-slope * np.where(partials % 2, 1.0, odd) * np.exp(rng.normal(0, 0.6, len(partials)))
        self.stretch = rng.uniform(0, 4e-4) if rng.random() < 0.5 else 0.0  # of the partials, as in stiff strings
        self.partials = partials
        self.decay = rng.uniform(0.2, 2.0) if rng.random() < 0.6 else 30.0  # seconds: struck, or blown and bowed
        self.damping = rng.uniform(0, 0.6)  # higher partials die away sooner
        self.attack = rng.uniform(0.002, 0.02) if self.decay < 3 else rng.uniform(0.01, 0.12)
        self.detune = rng.uniform(0, 6e-3) if rng.random() < 0.4 else 0.0  # a second voice, share of the frequency
        self.vibrato = (rng.uniform(4, 7), rng.uniform(0, 4e-3) if rng.random() < 0.3 else 0.0)  # Hz, share
        self.phases = rng.uniform(0, 2 * np.pi, len(partials))

    def __call__(self, pitch: int) -> np.ndarray:
        time = np.arange(int(LONGEST * self.rate), dtype=np.float32) / self.rate
        fundamental = 440 * 2 ** ((pitch - 69) / 12)
        speed, depth = self.vibrato
        warped = time - depth / (2 * np.pi * speed) * np.cos(2 * np.pi * speed * time)
        sound = np.zeros_like(time)
        for number, level, phase in zip(self.partials, self.levels, self.phases, strict=True):
            frequency = fundamental * number * np.sqrt(1 + self.stretch * number**2)
            if frequency > 0.45 * self.rate:
                break
            voice = np.sin((2 * np.pi * frequency) * warped + phase)
            if self.detune:
                voice += np.sin((2 * np.pi * frequency * (1 + self.detune)) * warped)
            sound += level * voice * np.exp(-time / self.decay * (1 + self.damping * (number - 1)))
        sound *= np.minimum(1, time / self.attack)
        return (sound / np.abs(self.levels).sum()).astype(np.float32)


def drum_timbre(rate: int, rng: np.random.Generator) -> Callable[[int], np.ndarray]:
    """A random drum kit: MIDI drum number -> its sound (samples,)."""
    time = np.arange(int(0.3 * rate), dtype=np.float32) / rate

    def strike(drum: int) -> np.ndarray:
        if drum in PITCHED_DRUMS:
            fall = 50 * time + rng.uniform(1, 6) * (1 - np.exp(-time * 30))
            return np.sin(2 * np.pi * fall) * np.exp(-time / rng.uniform(0.05, 0.15))
        noise = rng.standard_normal(len(time)).astype(np.float32)
        if rng.random() < 0.7:  # brighter
            noise = np.diff(noise, prepend=0) * 0.7
        return 0.3 * noise * np.exp(-time / rng.uniform(0.01, 0.12))

    return strike
