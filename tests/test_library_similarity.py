"""The nearest tracks: equal to a plain computation, for one track and for several."""

import numpy as np
import pytest

from m2e.errors import UsageError
from m2e.library import similarity
from m2e.library.similarity import embeddings_of, nearest, similarities

random = np.random.default_rng(0)
MATRIX = (3 + random.standard_normal((50, 6))).astype(np.float16)
IDS = np.arange(100, 150)


@pytest.mark.parametrize("block", [7, 50, 512])
def test_it_is_the_cosine_around_the_mean(monkeypatch, block):
    monkeypatch.setattr(similarity, "BLOCK", block)
    centred = MATRIX.astype(np.float64) - MATRIX.astype(np.float64).mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(similarities(MATRIX, MATRIX[4:5]), unit @ unit[4], atol=1e-4)
    target = unit[4] + unit[9]
    np.testing.assert_allclose(similarities(MATRIX, MATRIX[[4, 9]]), unit @ target / np.linalg.norm(target), atol=1e-4)


def test_the_best_come_first_without_the_track_itself():
    query = embeddings_of(IDS, MATRIX, [104])
    everything = nearest(IDS, MATRIX, query, [104])
    values = similarities(MATRIX, query)
    assert [key for key, _ in everything] == [100 + at for at in np.argsort(-values, kind="stable") if at != 4]
    assert nearest(IDS, MATRIX, query, [104], 5) == everything[:5] and nearest(IDS, MATRIX, query)[0][0] == 104
    assert nearest(IDS, MATRIX, query, [104], 500) == everything


def test_tracks_without_neighbours():
    with pytest.raises(UsageError, match="track 7 has no embedding"):
        embeddings_of(IDS, MATRIX, [104, 7])
    assert nearest(IDS[:1], MATRIX[:1], MATRIX[:1], [100], 3) == []
    assert len(similarities(MATRIX[:0], MATRIX[:1])) == 0
    same = np.ones((3, 4), np.float16)
    assert np.isfinite(similarities(same, same[:1])).all()
