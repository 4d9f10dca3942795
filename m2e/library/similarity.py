"""The nearest tracks by their embeddings: exact search with NumPy.

A search reads the whole matrix: 200,000 tracks of 584 numbers are 234 MB. For a million or more, and many searches, an
index (FAISS, HNSW) is the better tool.
"""

from collections.abc import Sequence

import numpy as np

from m2e.errors import UsageError

BLOCK = 512  # rows that are widened to float32 at once, and stay in the cache of the processor
SAMPLE = 8192  # tracks that give the mean


def similarities(matrix: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(n,) the cosine similarity of each row to the mean direction of the queries, -1 to 1.

    matrix: (n, width) of any float type.  queries: (q, width); each counts the same, whatever its length.
    The mean of the tracks (of SAMPLE tracks of a large library) is subtracted first: embeddings point much the same
    way, and differ around it.
    """
    if not len(matrix):
        return np.zeros(0, np.float32)
    center = matrix[:: -(-len(matrix) // SAMPLE)].mean(axis=0, dtype=np.float32)
    target = _unit(_unit(queries.astype(np.float32) - center).mean(axis=0, keepdims=True))[0]
    found = np.empty(len(matrix), np.float32)
    for start in range(0, len(matrix), BLOCK):
        rows = matrix[start : start + BLOCK].astype(np.float32)
        rows -= center
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        found[start : start + BLOCK] = rows @ target / np.maximum(lengths, 1e-12)
    return found


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def embeddings_of(ids: np.ndarray, matrix: np.ndarray, tracks: Sequence[int]) -> np.ndarray:
    """(t, width) the rows of some tracks.  ids, matrix: as `Library.embeddings` gives them.

    Raises: UsageError for a track without an embedding that can be compared.
    """
    places = []
    for each in tracks:
        place = np.flatnonzero(ids == each)
        if not len(place):
            raise UsageError(f"track {each} has no embedding of the library's model: scan its folder again.")
        places.append(place[0])
    return matrix[places]


def nearest(
    ids: np.ndarray, matrix: np.ndarray, queries: np.ndarray, without: Sequence[int] = (), count: int | None = None
) -> list[tuple[int, float]]:
    """(id, similarity) of the tracks nearest to the queries, best first.

    without: ids that are left out.  count: how many; None = all.
    """
    found = similarities(matrix, queries)
    rest = np.flatnonzero(~np.isin(ids, np.asarray(without, np.int64)))
    if count is not None and count < len(rest):
        rest = rest[np.argpartition(-found[rest], count)[:count]]
    best = rest[np.lexsort((ids[rest], -found[rest]))]
    return [(int(ids[at]), float(found[at])) for at in best]
