"""Predictions for held-out tracks with their labels, in one file that what is fitted after training reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from m2e.errors import TrainingError
from m2e.evaluation.data import Emotions
from m2e.storage import write_whole

FILE = "held_out.npz"


@dataclass(frozen=True)
class HeldOut:
    """n tracks of one data set that the network has not learnt.

    mood_logits: (n, M).  va: (n, 2), not calibrated.  labels: (n, 2) valence and arousal, NaN where unknown.
    quadrants: (n,) labels 0..3, below 0 where unknown.  quadrant_logits: (n, 4), or (n, 0) without that head.
    seconds: (n,) of audio.  spread: (n, 2) deviation over the members; 0 for a single network.
    excerpt_va, excerpt_spread: (n, K, 2) of parts of the track, NaN where it is no longer; excerpt_seconds: (K,).
    """

    mood_logits: np.ndarray
    va: np.ndarray
    labels: np.ndarray
    quadrants: np.ndarray
    quadrant_logits: np.ndarray
    seconds: np.ndarray
    spread: np.ndarray
    excerpt_va: np.ndarray
    excerpt_spread: np.ndarray
    excerpt_seconds: np.ndarray

    @classmethod
    def of(
        cls,
        outputs: Mapping[str, np.ndarray],
        labels: Emotions,
        seconds: np.ndarray,
        excerpt_seconds: Sequence[float] | np.ndarray = (),
    ) -> "HeldOut":
        """The arrays of a data set. outputs: of `predict` and, for excerpts, "excerpt_va"; of an ensemble also
        "va_spread" and "excerpt_va_spread"."""
        n = len(outputs["va"])
        parts = outputs.get("excerpt_va", np.zeros((n, 0, 2)))
        return cls(
            mood_logits=outputs["mood_logits"],
            va=outputs["va"],
            labels=labels.va,
            quadrants=labels.quadrants,
            quadrant_logits=outputs.get("quadrant_logits", np.zeros((n, 0))),
            seconds=np.asarray(seconds, dtype=np.float64),
            spread=outputs.get("va_spread", np.zeros((n, 2))),
            excerpt_va=parts,
            excerpt_spread=outputs.get("excerpt_va_spread", np.zeros_like(parts)),
            excerpt_seconds=np.asarray(excerpt_seconds, dtype=np.float64)[: parts.shape[1]],
        )

    def __len__(self) -> int:
        return len(self.va)


def save(folder: Path, tracks: Mapping[str, HeldOut]) -> None:
    """Replaces the file in a folder by these tracks of data sets."""
    arrays = {f"{name}/{part}": array for name, each in tracks.items() for part, array in vars(each).items()}
    write_whole(folder / FILE, lambda partial: _write(partial, arrays))


def _write(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with open(path, "wb") as file:  # savez would add a suffix to a path
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stub takes them for allow_pickle


def load(folder: Path) -> dict[str, HeldOut]:
    """What `save` wrote, by data set. Raises TrainingError."""
    path = folder / FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = dict.fromkeys(key.rpartition("/")[0] for key in arrays)
            wanted = [field.name for field in fields(HeldOut)]
            return {name: HeldOut(**{part: arrays[f"{name}/{part}"] for part in wanted}) for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{path} cannot be read ({error}): train with folds again, the run is resumed.") from error
