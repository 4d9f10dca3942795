"""Statistics of a track's chord probabilities: kinds of chords, their certainty, how fast they change, and how their
roots relate to each other. They do not change when a track is transposed, and hold what decoded chords lack: noise, for
example, has no certain chord.
"""

import numpy as np

from .chord_labels_m2e import VOCABULARY

_ROOTED = len(VOCABULARY) - 2  # the last two are X and N
_KINDS = _ROOTED // 12
STATISTICS = _KINDS + 2 + 6 + 1 + 6  # numbers of a track
_SMALL = 1e-9


class HarmonyStatistics:
    """Collects statistics of one track whose frames arrive in blocks; holds sums only."""

    def __init__(self) -> None:
        self._frames = self._changes = 0
        self._classes = np.zeros(len(VOCABULARY))  # sums over frames: probabilities
        self._sums = np.zeros(5)  # entropy, its square, the best probability, its logarithm, half the way to the next
        self._last: np.ndarray | None = None

    def push(self, logits: np.ndarray) -> None:
        """Takes the logits (frames, 170) of the next frames."""
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = shifted / shifted.sum(axis=1, keepdims=True)
        best = probabilities.max(axis=1)
        entropy = -(probabilities * np.log(probabilities + _SMALL)).sum(axis=1)
        chained = probabilities if self._last is None else np.concatenate([self._last[None], probabilities])
        self._changes += int((np.diff(chained.argmax(axis=1)) != 0).sum())
        moved = np.abs(np.diff(chained, axis=0)).sum()
        self._sums += [entropy.sum(), (entropy**2).sum(), best.sum(), np.log(best + _SMALL).sum(), moved]
        self._classes += probabilities.sum(axis=0)
        self._frames += len(probabilities)
        self._last = probabilities[-1]

    def finish(self) -> np.ndarray | None:
        """(STATISTICS,) float32; None where nothing was pushed.

        Logarithms of the mean probability of every kind of chord, X and N; entropy of a frame, mean and deviation; its
        best probability, mean and mean logarithm; share of changes; distance to the next frame; entropy of the roots;
        six magnitudes of the Fourier transform of the roots.
        """
        if not self._frames:
            return None
        classes, (entropy, squared, best, surprise, moved) = self._classes / self._frames, self._sums / self._frames
        rooted = classes[:_ROOTED].reshape(12, _KINDS)
        kinds = np.log(np.concatenate([rooted.sum(axis=0), classes[_ROOTED:]]) + 1e-3)
        roots = rooted.sum(axis=1) / max(rooted.sum(), _SMALL)
        deviation = np.sqrt(max(squared - entropy**2, 0.0))
        frames = [entropy, deviation, best, surprise, self._changes / self._frames, moved]
        spread = -(roots * np.log(roots + _SMALL)).sum()
        return np.concatenate([kinds, frames, [spread], np.abs(np.fft.fft(roots))[1:7]]).astype(np.float32)
