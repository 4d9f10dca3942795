"""Where sounds begin: chords change with them, and far more exactly than a recogniser's frame of 93 ms can tell."""

import numpy as np
import torch

SAMPLING_RATE = 22050  # Hz
HOP = 245  # samples: 90 values a second
WINDOW = 2 * HOP
REACH = 0.15  # seconds that a border is moved at most
SPREAD = 0.06  # seconds by which a border is wrong as a rule


def onset_strength(waveform: np.ndarray) -> np.ndarray:
    """(samples // 245,) float32 of a mono waveform (samples,) at 22,050 Hz: how much the logarithmic magnitudes,
    log(1 + |STFT|), of all frequencies together rise. Value i is the rise around (i - 0.5) * 245 samples."""
    if len(waveform) < WINDOW:
        return np.zeros(len(waveform) // HOP, np.float32)
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(torch.from_numpy(waveform), WINDOW, HOP, window=window, return_complex=True)
    magnitudes = spectrum.abs().log1p()
    rises = magnitudes.diff(dim=1).clamp(min=0).sum(0)
    return np.pad(rises.numpy(), (1, 0))[: len(waveform) // HOP]


def at_onsets(borders: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """`borders` (n,) in ascending seconds, each at the strongest rise nearby, the nearer the likelier; they keep their
    order. strength: as `onset_strength` gives it."""
    seconds = HOP / SAMPLING_RATE
    moved = np.array(borders, dtype=np.float64)
    for index, border in enumerate(borders):
        before = moved[index - 1] if index else 0.0
        after = borders[index + 1] if index + 1 < len(borders) else np.inf
        first = int(max(border - REACH, before) / seconds) + 2  # value i stands between frames i - 1 and i
        nearby = strength[first : max(first, int(min(border + REACH, after) / seconds))]
        if nearby.any():
            times = (first + np.arange(len(nearby)) - 0.5) * seconds
            likely = np.exp(-0.5 * ((times - border) / SPREAD) ** 2)
            moved[index] = times[((nearby + nearby.mean()) * likely).argmax()]
    return moved
