"""Constant-Q transform, octave by octave from the top.

Schörkhuber & Klapuri, "Constant-Q transform toolbox for music processing", SMC 2010: the signal is halved in rate from
octave to octave, so that the filters of each are equally short. The numbers are those of librosa's `cqt`, on which the
chord networks were trained.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import soxr
import torch

C1 = 440 * 2 ** (-45 / 12)  # Hz
HANN_BANDWIDTH = 1.50018310546875  # of a periodic Hann window, in bins of its spectrum
DISCARDED = 0.01  # share of a filter's spectrum, of its smallest values, that is set to zero


@dataclass(frozen=True)
class Octave:
    """The filters of one octave.

    halvings: how often the rate of the signal is halved before.  hop: samples between frames, at that rate.
    kernels: (samples, 2 * bins) float32, real parts of all bins, then imaginary parts.
    """

    halvings: int
    hop: int
    kernels: torch.Tensor


def cqt_magnitude(
    waveforms: np.ndarray,
    sampling_rate: int,
    hop: int,
    bins: int = 144,
    bins_per_octave: int = 24,
    lowest: float = C1,
) -> np.ndarray:
    """(n, frames, bins) float32, magnitudes of the constant-Q transform of waveforms (n, samples).

    A frame is centred on every `hop`-th sample, from the first on; zeros are assumed outside.
    hop: a multiple of 2 ** number of octaves.  lowest: frequency of the first bin in Hz.
    """
    octaves = octave_filters(sampling_rate, hop, bins, bins_per_octave, lowest)
    signals = _halved(np.asarray(waveforms, np.float32), octaves[0].halvings)
    magnitudes = []
    for index, octave in enumerate(octaves):
        if index:
            signals = _halved(signals, 1)
        size = len(octave.kernels)
        padded = torch.from_numpy(np.pad(signals, ((0, 0), (size // 2, size // 2))))
        real, imaginary = (padded.unfold(1, size, octave.hop) @ octave.kernels).chunk(2, dim=2)
        magnitudes.append(torch.hypot(real, imaginary))
    frames = min(part.shape[1] for part in magnitudes)
    return torch.cat([part[:, :frames] for part in reversed(magnitudes)], dim=2).numpy()


def _halved(waveforms: np.ndarray, times: int) -> np.ndarray:
    """(n, ceil(samples / 2 ** times)): waveforms of 1 / 2 ** times of the rate and the same energy."""
    if not times:
        return waveforms
    factor = 2**times
    halved = np.zeros((len(waveforms), -(-waveforms.shape[1] // factor)), np.float32)
    for target, waveform in zip(halved, waveforms, strict=True):
        samples = soxr.resample(waveform, factor, 1, quality="HQ")[: len(target)]
        target[: len(samples)] = samples
    halved *= math.sqrt(factor)
    return halved


@cache
def octave_filters(sampling_rate: int, hop: int, bins: int, bins_per_octave: int, lowest: float) -> tuple[Octave, ...]:
    """The filters of each octave, the highest first."""
    quality = 1 / math.tanh(math.log(2) / bins_per_octave)  # frequency / bandwidth: neighbours of a bin touch
    frequencies = lowest * 2 ** (np.arange(bins) / bins_per_octave)
    count = math.ceil(bins / bins_per_octave)
    highest = frequencies[-1] * (1 + HANN_BANDWIDTH / 2 / quality)
    spare = math.ceil(math.log2(sampling_rate / 2 / highest)) - 2  # halvings that leave an octave above the filters
    spare = max(0, min(spare, _factors_of_two(hop) - count + 1))
    octaves = []
    for index in range(count):
        end = bins - index * bins_per_octave
        chosen = frequencies[max(0, end - bins_per_octave) : end]
        kernels = _filters(chosen, sampling_rate / 2 ** (spare + index), quality)
        kernels *= np.sqrt(2**index / (quality * sampling_rate / 2**spare / chosen))[:, None]
        both = np.concatenate([kernels.real, kernels.imag]).T
        octaves.append(
            Octave(spare + index, hop // 2 ** (spare + index), torch.from_numpy(both.astype(np.float32).copy()))
        )
    return tuple(octaves)


def _factors_of_two(number: int) -> int:
    return (number & -number).bit_length() - 1


def _filters(frequencies: np.ndarray, rate: float, quality: float) -> np.ndarray:
    """(bins, samples) complex filters: Hann-windowed oscillations, centred, without the least of their spectrum."""
    lengths = quality * rate / frequencies
    size = 2 ** math.ceil(math.log2(lengths.max()))
    filters = np.zeros((len(frequencies), size), complex)
    for row, frequency, length in zip(filters, frequencies, lengths, strict=True):
        times = np.arange(math.floor(-length / 2), math.floor(length / 2))
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(times)) / len(times))
        start = (size - len(times)) // 2
        row[start : start + len(times)] = window / window.sum() * np.exp(2j * np.pi * frequency / rate * times)
    spectra = np.fft.fft(filters * lengths[:, None] / size)[:, : size // 2 + 1]
    values = np.sort(np.abs(spectra))
    first_kept = (np.cumsum(values, axis=1) < DISCARDED * values.sum(axis=1, keepdims=True)).argmin(axis=1)
    spectra[np.abs(spectra) < np.take_along_axis(values, first_kept[:, None], axis=1)] = 0
    return np.fft.fft(np.pad(spectra, ((0, 0), (0, size // 2 - 1))))
