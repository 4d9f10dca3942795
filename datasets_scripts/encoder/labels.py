"""The labels of the pool's clips by their teachers, as `label`, `emotions` and `attributes` have cached them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from m2e.datasets.encoder.pool import Clip, by_shard
from m2e.errors import DataError


@dataclass(frozen=True)
class TeacherLabels:
    """Labels of one teacher for all clips: embeddings (n, cells, width), tags (n, cells, tags), float16, NaN = none."""

    embeddings: np.ndarray
    tags: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """(n,) bool."""
        return ~np.isnan(self.embeddings[:, 0, 0])

    def of_crops(self, rows: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(k, width) and (k, tags): means of the cells of clips `rows` with weights (k, cells)."""
        return (
            np.einsum("kcw,kc->kw", self.embeddings[rows].astype(np.float32), weights),
            np.einsum("kcw,kc->kw", self.tags[rows].astype(np.float32), weights),
        )


def load_labels(pool: Path, clips: Sequence[Clip], teacher: str) -> TeacherLabels:
    """The labels of a teacher in the order of `clips`. Raises DataError where it labelled none of them."""
    row_of = {(clip.shard, clip.row): row for row, clip in enumerate(clips)}
    parts: list[tuple[list[int], np.ndarray, np.ndarray]] = []
    for shard, members in by_shard(clips).items():
        path = pool / "labels" / teacher / f"{shard}.npz"
        if path.exists():
            inside = [clip.row for clip in members]
            with np.load(path) as arrays:
                rows = [row_of[shard, row] for row in inside]
                parts.append((rows, arrays["embeddings"][inside], arrays["tags"][inside]))
    if not parts:
        raise DataError(f"{pool} has no labels of {teacher}: run datasets_scripts.encoder.label first.")
    _, embeddings, tags = parts[0]
    labels = TeacherLabels(*(np.full((len(clips), *part.shape[1:]), np.nan, np.float16) for part in (embeddings, tags)))
    for rows, embeddings, tags in parts:
        labels.embeddings[rows], labels.tags[rows] = embeddings, tags
    return labels
