"""Statistics of chord probabilities: kinds of chords, their certainty, how fast they change, and how their roots relate
to each other. They do not change when a track is transposed, and hold what decoded chords lack: noise, for example, has
no certain chord.
"""

import numpy as np

from .chord_labels_m2e import VOCABULARY

CELL_FRAMES = 108  # of 10 s
# A cell: its start in seconds; its frames and changes of chord; sums over its frames of entropy, entropy squared, the
# best probability, its logarithm, and the distance to the frame before; sums of the probabilities of all classes.
_NUMBERS = 8
CELL_NUMBERS = _NUMBERS + len(VOCABULARY)
_ROOTED = len(VOCABULARY) - 2  # the last two are X and N
_KINDS = _ROOTED // 12
STATISTICS = _KINDS + 2 + 6 + 1 + 6  # numbers of a track
_SMALL = 1e-9


class HarmonyStatistics:
    """Collects the cells of one track whose frames arrive in blocks.  seconds: of a frame."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds * CELL_FRAMES
        self._cells: list[np.ndarray] = []
        self._last: np.ndarray | None = None

    def push(self, logits: np.ndarray) -> None:
        """Takes the logits (frames, 170) of the next frames."""
        while len(logits):
            if not self._cells or self._cells[-1][1] == CELL_FRAMES:
                cell = np.zeros(CELL_NUMBERS)
                cell[0] = len(self._cells) * self._seconds
                self._cells.append(cell)
            room = CELL_FRAMES - int(self._cells[-1][1])
            self._add(logits[:room], self._cells[-1])
            logits = logits[room:]

    def _add(self, logits: np.ndarray, cell: np.ndarray) -> None:
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        best = probabilities.max(axis=1)
        entropy = -(probabilities * np.log(probabilities + _SMALL)).sum(axis=1)
        chained = probabilities if self._last is None else np.concatenate([self._last[None], probabilities])
        changes = (np.diff(chained.argmax(axis=1)) != 0).sum()
        moved = np.abs(np.diff(chained, axis=0)).sum()
        surprise = np.log(best + _SMALL).sum()
        cell[1:_NUMBERS] += [len(logits), changes, entropy.sum(), (entropy**2).sum(), best.sum(), surprise, moved]
        cell[_NUMBERS:] += probabilities.sum(axis=0)
        self._last = probabilities[-1]

    def finish(self) -> np.ndarray | None:
        """(cells, CELL_NUMBERS) float32, a cell for every 10 s; None where nothing was pushed."""
        return np.stack(self._cells).astype(np.float32) if self._cells else None


def harmony_statistics(cells: np.ndarray | None) -> np.ndarray:
    """(STATISTICS,) float32 of the cells (n, CELL_NUMBERS) of a track or of a part of it; NaN without any.

    Logarithms of the mean probability of every kind of chord, X and N; entropy of a frame, mean and deviation; its
    best probability, mean and mean logarithm; share of changes; distance to the next frame; entropy of the roots;
    six magnitudes of the Fourier transform of the roots.
    """
    if cells is None or not len(cells):
        return np.full(STATISTICS, np.nan, np.float32)
    total = cells.sum(axis=0, dtype=np.float64)
    means = total / total[1]
    (changes, entropy, squared, best, surprise, moved), classes = means[2:_NUMBERS], means[_NUMBERS:]
    rooted = classes[:_ROOTED].reshape(12, _KINDS)
    kinds = np.log(np.concatenate([rooted.sum(axis=0), classes[_ROOTED:]]) + 1e-3)
    roots = rooted.sum(axis=1) / max(rooted.sum(), _SMALL)
    deviation = np.sqrt(max(squared - entropy**2, 0.0))
    spread = -(roots * np.log(roots + _SMALL)).sum()
    frames = [entropy, deviation, best, surprise, changes, moved]
    return np.concatenate([kinds, frames, [spread], np.abs(np.fft.fft(roots))[1:7]]).astype(np.float32)
