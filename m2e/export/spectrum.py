"""Spectra of a signal as matrix products, which every runtime has and computes fast; few have a Fourier transform."""

import math

import torch
from torch import nn


def framed(signals: torch.Tensor, size: int, hop: int) -> torch.Tensor:
    """(n, frames, size, ...) of signals (n, samples, ...): a frame at every `hop`-th sample.

    The samples are whole pieces of `hop`; a frame needs all of the pieces that it touches.
    """
    touched = -(-size // hop)  # pieces of `hop` samples, by a frame
    pieces = signals.unflatten(1, (-1, hop))
    count = pieces.shape[1]
    return torch.cat([pieces[:, row : count - touched + 1 + row] for row in range(touched)], dim=2)[:, :, :size]


class Spectrum(nn.Module):
    """Power spectra of frames, in two products (Cooley & Tukey 1965) instead of one of ten times the operations.

    The bins of the result are in an order of their own; `weights` puts the rows of a matrix into it.
    """

    window: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor

    def __init__(self, window: torch.Tensor):
        super().__init__()
        size = self.size = len(window)
        self.columns = next(n for n in range(math.isqrt(size), 0, -1) if size % n == 0)
        self.rows = size // self.columns
        self.kept = self.rows // 2 + 1  # of the first transform, whose other half mirrors them
        sample, residue = torch.arange(self.rows), torch.arange(self.kept)
        first = _turns(torch.outer(sample, residue) / self.rows)  # (rows, kept)
        column, bin_row = torch.arange(self.columns), torch.arange(self.columns)
        bins = residue[:, None, None] + self.rows * bin_row  # (kept, 1, columns)
        second = _turns(column[None, :, None] * bins / size)  # (kept, columns, columns)
        real, imaginary = second.real, second.imag
        both = torch.cat([torch.cat([real, imaginary], 2), torch.cat([-imaginary, real], 2)], 1)
        self.register_buffer("window", window.clone())
        self.register_buffer("first", torch.cat([first.real, first.imag], 1).float())
        self.register_buffer("second", both.float())

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(kept, n, columns) power of the bins of frames (n, size)."""
        x = (frames * self.window).reshape(-1, self.rows, self.columns)
        x = x.transpose(1, 2) @ self.first  # (n, columns, 2 * kept)
        x = x.reshape(-1, self.columns, 2, self.kept).permute(3, 0, 2, 1).flatten(2)  # (kept, n, 2 * columns)
        real, imaginary = (x @ self.second).chunk(2, dim=2)
        return real.square() + imaginary.square()

    def weights(self, of_bins: torch.Tensor) -> torch.Tensor:
        """(kept, columns, m) of weights (size / 2 + 1, m) of the bins in their usual order: each bin counts once."""
        result = torch.zeros(self.kept, self.columns, of_bins.shape[1])
        for number, weights in enumerate(of_bins):
            mirrored = number if number % self.rows < self.kept else self.size - number
            result[mirrored % self.rows, mirrored // self.rows] = weights
        return result


def _turns(parts: torch.Tensor) -> torch.Tensor:
    """exp(-2 pi i parts), complex128."""
    angles = -2 * math.pi * parts.double()
    return torch.complex(angles.cos(), angles.sin())
