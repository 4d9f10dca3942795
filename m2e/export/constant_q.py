"""The constant-Q transform of `cqt_m2e` as convolutions."""

import math

import numpy as np
import soxr
import torch
from torch import nn
from torch.nn import functional as F

from modeling_m2e.cqt_m2e import C1, octave_filters

REACH = 192  # samples before and after, that the filter of a halving takes in
AT_ONCE = 32  # samples that one product gives


def halving_filter() -> np.ndarray:
    """(2 * REACH + 1,) float32: what the resampler of `cqt_m2e` makes of impulses at even and at odd samples."""
    response = np.zeros(2 * REACH + 1, np.float32)
    for odd in (0, 1):
        place = 4 * REACH + odd
        impulse = np.zeros(8 * REACH, np.float32)
        impulse[place] = 1
        halved = soxr.resample(impulse, 2, 1, quality="HQ")
        lags = 2 * np.arange(len(halved)) - place
        near = np.abs(lags) <= REACH
        response[lags[near] + REACH] = halved[near]
    return response


class Halving(nn.Module):
    """Signals at half of their rate, and of the same energy; many samples at once, as a product of matrices."""

    kernels: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        kernels = np.zeros((AT_ONCE, 1, 2 * (AT_ONCE - 1) + 2 * REACH + 1), np.float32)
        for sample in range(AT_ONCE):
            kernels[sample, 0, 2 * sample : 2 * sample + 2 * REACH + 1] = math.sqrt(2) * halving_filter()[::-1]
        self.register_buffer("kernels", torch.from_numpy(kernels))

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """(n, ceil(samples / 2)) of (n, samples)."""
        samples = (signals.shape[1] + 1) // 2
        padded = F.pad(signals, (REACH, self.kernels.shape[2]))
        halved = F.conv1d(padded[:, None], self.kernels, stride=2 * AT_ONCE)
        return halved.transpose(1, 2).flatten(1)[:, :samples]


class ConstantQ(nn.Module):
    """Magnitudes of the constant-Q transform of signals, as `cqt_magnitude` gives them."""

    def __init__(self, sampling_rate: int, hop: int, bins: int, bins_per_octave: int, lowest: float = C1):
        super().__init__()
        octaves = octave_filters(sampling_rate, hop, bins, bins_per_octave, lowest)
        self.halvings = [octaves[0].halvings, *(1 for _ in octaves[1:])]
        self.hops = [octave.hop for octave in octaves]
        self.halve = Halving()
        for index, octave in enumerate(octaves):
            self.register_buffer(f"octave_{index}", octave.kernels.T[:, None].contiguous())

    def forward(self, signals: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(n, frames, bins) of signals (n, samples), of which (n,) samples are their own and zeros follow."""
        magnitudes = []
        for index, (halvings, hop) in enumerate(zip(self.halvings, self.hops, strict=True)):
            for _ in range(halvings):
                signals, lengths = self.halve(signals), (lengths + 1) // 2
                signals = signals * _own(signals, lengths)  # what the filter leaves behind the end is cut off
            kernels = self.get_buffer(f"octave_{index}")
            around = kernels.shape[2] // 2
            both = F.conv1d(F.pad(signals, (around, around))[:, None], kernels, stride=hop)
            real, imaginary = both.chunk(2, dim=1)
            magnitudes.append((real.square() + imaginary.square()).sqrt())
        frames = min(part.shape[2] for part in magnitudes)
        return torch.cat([part[:, :, :frames] for part in reversed(magnitudes)], dim=1).transpose(1, 2)


def _own(signals: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """(n, samples), true for the first (n,) samples. Compared in blocks: a graph would keep a count of all samples."""
    starts = AT_ONCE * torch.arange(-(-signals.shape[1] // AT_ONCE))
    left = lengths[:, None] - starts
    return (torch.arange(AT_ONCE) < left[:, :, None]).flatten(1)[:, : signals.shape[1]]
