"""Folds: every track is held out once, and no artist is on both sides."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from m2e.errors import TrainingError  # noqa: E402
from m2e.training.folds import grouped_folds  # noqa: E402


def test_no_artist_is_on_both_sides_whichever_data_set_has_them():
    rng = np.random.default_rng(0)
    rows = {"a": np.arange(0, 60, 2), "b": np.arange(5, 40)}
    groups = {name: [f"artist {artist}" for artist in rng.integers(0, 20, 60)] for name in rows}
    held_out = {name: [] for name in rows}
    folds = grouped_folds(rows, groups, 4)
    assert len(folds) == 4
    for learnt, held in folds:
        sides = [{groups[name][row] for name in rows for row in part[name]} for part in (learnt, held)]
        assert all(sides) and not sides[0] & sides[1]
        for name in rows:
            assert sorted([*learnt[name], *held[name]]) == rows[name].tolist()
            held_out[name] += held[name].tolist()
    assert all(sorted(held_out[name]) == rows[name].tolist() for name in rows)


def test_more_folds_than_artists():
    with pytest.raises(TrainingError, match="There are 2 artists in train and validation, but folds is 3"):
        grouped_folds({"a": np.arange(3)}, {"a": ["x", "y", "x"]}, 3)
