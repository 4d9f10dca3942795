"""benchmarks/probes.py: probes read what is there, and nothing else."""

import sys

import numpy as np
import pytest
import tiny

pytest.importorskip("sklearn")

sys.path.insert(0, str(tiny.ROOT / "benchmarks"))
import probes  # noqa: E402


@pytest.mark.parametrize(("informative", "below", "above"), [(True, 1.0, 0.8), (False, 0.5, -1.0)])
def test_probes_score_what_embeddings_tell(informative, below, above):
    rng = np.random.default_rng(0)
    n = 160
    va = rng.uniform(2, 8, (n, 2))
    quadrant = np.where(va[:, 0] > 5, np.where(va[:, 1] > 5, "Q1", "Q4"), np.where(va[:, 1] > 5, "Q2", "Q3"))
    tracks = {
        "va": va,
        "quadrant": quadrant,
        "split": np.repeat(["train", "validation"], [120, 40]),
        "artist": rng.integers(0, 60, n).astype(str),
    }
    embeddings = np.concatenate([va, rng.normal(0, 0.1, (n, 2))], axis=1) if informative else rng.normal(size=(n, 4))
    for row in probes.scores(embeddings, tracks):
        values = [float(value) for value in row.split(" / ")]
        assert len(values) == 3 and all(above < value <= below for value in values)
