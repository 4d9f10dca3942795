"""A table that grows by its last rows, held in a few arrays in pages of their own.

Many small arrays that stay, between large ones that pass, would scatter the memory of a long track.
"""

import mmap
from collections.abc import Iterator

import numpy as np

ROWS = 4096  # of an array


class Rows:
    """Rows (n, width) of numbers that arrive in pieces.  width is that of the first piece."""

    def __init__(self, dtype: type = np.float32, rows: int = ROWS):
        self._dtype, self._rows = dtype, rows
        self._arrays: list[np.ndarray] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, rows: np.ndarray) -> None:
        """Takes the next rows (n, width)."""
        while len(rows):
            free = len(self._arrays) * self._rows - self._count
            if not free:
                self._arrays.append(_paged(self._rows, rows.shape[1], np.dtype(self._dtype)))
                free = self._rows
            place = self._rows - free
            some, rows = rows[:free], rows[free:]
            self._arrays[-1][place : place + len(some)] = some
            self._count += len(some)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, as views of at most `ROWS` each."""
        for number, array in enumerate(self._arrays):
            yield array[: self._count - number * self._rows]

    def joined(self) -> np.ndarray:
        """All rows (n, width) in one array. Raises ValueError where none came."""
        return np.concatenate(list(self.blocks()))


def _paged(rows: int, width: int, dtype: np.dtype) -> np.ndarray:
    """An array in pages of its own."""
    return np.frombuffer(mmap.mmap(-1, rows * width * dtype.itemsize), dtype).reshape(rows, width)
