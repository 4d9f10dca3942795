"""Music of known character as arrays: soft pads, and a driving band, in major and in minor. Made of sines and noise."""

import numpy as np

RATE = 22050
MAJOR, MINOR = (0, 4, 7), (0, 3, 7)  # semitones of a triad
LOOP = {MAJOR: (0, 5, 7, 0), MINOR: (0, 5, 7, 0)}  # semitones from the tonic, a chord each


def note(midi: float, seconds: float, partials: int, attack: float, decay: float) -> np.ndarray:
    """A tone with so many harmonics that rises within `attack` seconds and falls by e in `decay`."""
    times = np.arange(round(seconds * RATE)) / RATE
    pitch = 440 * 2 ** ((midi - 69) / 12)
    wave = sum(np.sin(2 * np.pi * k * pitch * times) / k for k in range(1, partials + 1) if k * pitch < RATE / 2)
    release = np.minimum(1, (seconds - times) / 0.03)
    return wave * np.minimum(1, times / attack) * np.exp(-times / decay) * release


def place(track: np.ndarray, wave: np.ndarray, start: float) -> None:
    begin = round(start * RATE)
    part = wave[: max(0, len(track) - begin)]
    track[begin : begin + len(part)] += part


def pads(seconds: float, triad: tuple[int, ...] = MAJOR, tonic: int = 60) -> np.ndarray:
    """Quiet sustained chords, four seconds each, and a slow melody."""
    track = np.zeros(round(seconds * RATE))
    for index, start in enumerate(np.arange(0, seconds, 4.0)):
        root = tonic + LOOP[triad][index % 4]
        for step in triad:
            place(track, 0.04 * note(root - 12 + step, 4.0, 3, 0.8, 8.0), start)
        for half, step in enumerate((triad[2], triad[1] + 12)):
            place(track, 0.03 * note(root + step, 2.0, 2, 0.3, 3.0), start + 2 * half)
    return track


def band(seconds: float, triad: tuple[int, ...] = MAJOR, tonic: int = 57, tempo: float = 160.0) -> np.ndarray:
    """Loud and fast: drums, eighths in the bass, chords off the beat."""
    rng, beat = np.random.default_rng(0), 60 / tempo
    track = np.zeros(round(seconds * RATE))
    hat = rng.standard_normal(1500) * np.exp(-np.arange(1500) / 300)
    snare = rng.standard_normal(4000) * np.exp(-np.arange(4000) / 900)
    times = np.arange(4000) / RATE
    kick = np.sin(2 * np.pi * (50 * times + 8 * (1 - np.exp(-times * 40)))) * np.exp(-times * 12)
    for index, start in enumerate(np.arange(0, seconds, beat / 2)):  # eighths
        root = tonic + LOOP[triad][index // 8 % 4]
        place(track, 0.25 * note(root - 24, 0.45 * beat, 10, 0.003, 0.3), start)
        place(track, 0.12 * hat, start)
        if index % 2 == 0:
            place(track, 0.6 * (kick if index % 4 == 0 else 0.6 * snare), start)
        else:
            for step in triad:
                place(track, 0.12 * note(root + step, 0.4 * beat, 12, 0.003, 0.2), start)
    return np.tanh(1.5 * track) * 0.6
