"""The filters of mel spectrograms."""

import math

import numpy as np
import torch

LINEAR_TO = 1000.0  # Hz, of the scale "slaney"
LINEAR_STEP = 200 / 3  # Hz per mel below
LOG_STEP = math.log(6.4) / 27  # logarithm of the ratio of frequencies per mel above


def mel_filters(
    sampling_rate: int,
    n_fft: int,
    bands: int,
    low: float = 0.0,
    high: float | None = None,
    scale: str = "slaney",
    equal_area: bool = False,
) -> torch.Tensor:
    """(n_fft / 2 + 1, bands) float32: triangles from `low` to `high` Hz (None: half of the rate), peaks of one.

    scale: "slaney" is linear up to 1000 Hz and logarithmic above, "htk" logarithmic everywhere.
    equal_area: triangles of area one over Hz instead.
    """
    high = sampling_rate / 2 if high is None else high
    first, last = _hz_to_mel(np.array([low, high]), scale)
    corners = _mel_to_hz(np.linspace(first, last, bands + 2), scale)
    widths = np.diff(corners)
    distances = np.fft.rfftfreq(n_fft, 1 / sampling_rate)[:, None] - corners
    filters = np.minimum(distances[:, :-2] / widths[:-1], -distances[:, 2:] / widths[1:]).clip(min=0)
    if equal_area:
        filters *= 2 / (corners[2:] - corners[:-2])
    return torch.from_numpy(filters.astype(np.float32))


def _hz_to_mel(frequencies: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return 2595 * np.log10(1 + frequencies / 700)
    above = np.log(np.maximum(frequencies, LINEAR_TO) / LINEAR_TO) / LOG_STEP
    return np.minimum(frequencies, LINEAR_TO) / LINEAR_STEP + above


def _mel_to_hz(mels: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return 700 * (10 ** (mels / 2595) - 1)
    border = LINEAR_TO / LINEAR_STEP
    return np.minimum(mels, border) * LINEAR_STEP * np.exp(np.maximum(mels - border, 0) * LOG_STEP)
