"""Leaves silence out of a stream of samples, and says where in the track the remaining samples lie."""

from bisect import bisect_right

import numpy as np

BLOCK_SECONDS = 0.1  # a block sounds or is silent as a whole
SILENCE_LEVEL = -90.0  # dB of full scale, without a constant: the noise of a 16-bit converter is softer
SOFTEST = -60.0  # dB below the loudest block so far; a block below that is silence at any volume
MAX_PAUSE_SECONDS = 1.0  # of a silence inside the track; the rest of it is left out


class SilenceCutter:
    """Silence at the beginning and at the end is left out whole, inside the track from `max_pause` seconds on.

    Holds a block and a pause, whatever the length of the track.
    """

    def __init__(self, sampling_rate: int, max_pause: float = MAX_PAUSE_SECONDS):
        self._block = round(BLOCK_SECONDS * sampling_rate)
        self._max_pause = round(max_pause / BLOCK_SECONDS)  # blocks
        self._rest = np.zeros(0, np.float32)  # not yet a block
        self._pause: list[np.ndarray] = []  # silent blocks that belong to the track if it goes on
        self._loudest = 0.0  # power
        self._received = self._kept = 0  # samples that are decided on
        # From the sample _starts[i] of what is kept on, _shifts[i] samples were left out before.
        self._starts, self._shifts = [0], [0]

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The samples (n,) that are certain to be kept."""
        data = np.concatenate([self._rest, samples])
        whole = len(data) // self._block * self._block
        self._rest = data[whole:].copy()
        kept: list[np.ndarray] = []
        blocks = data[:whole].reshape(-1, self._block)
        for block, sounds in zip(blocks, self._sounds(blocks), strict=True):
            self._take(block, bool(sounds), kept)
        return np.concatenate([data[:0], *kept])

    def finish(self) -> np.ndarray:
        """The last samples of the track; a pause at its end is left out."""
        kept: list[np.ndarray] = []
        if len(self._rest):
            self._take(self._rest, bool(self._sounds(self._rest[None])[0]), kept)
        return np.concatenate([self._rest[:0], *kept])

    def place(self, sample: int) -> int:
        """Where a kept sample is in the track."""
        return sample + self._shifts[bisect_right(self._starts, sample) - 1]

    def kept_parts(self) -> list[tuple[int, int]]:
        """(sample of what is kept, its place in the track) at which each part begins that nothing is left out of."""
        return [(start, start + shift) for start, shift in zip(self._starts, self._shifts, strict=True)]

    def _sounds(self, blocks: np.ndarray) -> np.ndarray:
        """(n,) whether the next blocks (n, samples) sound."""
        powers = blocks.var(axis=1, dtype=np.float64)
        loudest = np.maximum.accumulate(np.append(self._loudest, powers))
        self._loudest = loudest[-1]
        return np.asarray(powers >= np.maximum(_power(SILENCE_LEVEL), loudest[1:] * _power(SOFTEST)))

    def _take(self, block: np.ndarray, sounds: bool, kept: list[np.ndarray]) -> None:
        if sounds:
            for part in [*self._pause, block]:
                kept.append(part)
                self._kept += len(part)
            self._pause = []
            shift = self._received + len(block) - self._kept
            if shift != self._shifts[-1]:
                self._starts.append(self._kept - len(block))
                self._shifts.append(shift)
        elif self._kept and len(self._pause) < self._max_pause:
            self._pause.append(block.copy())
        self._received += len(block)


def _power(decibels: float) -> float:
    return 10 ** (decibels / 10)
