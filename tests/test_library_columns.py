"""Columns of a library: the values of all tracks by name, whatever model made them."""

import library_tools as tools
import numpy as np
import pytest

from m2e.library.columns import numbers_of
from m2e.library.database import Library
from m2e.library.schema import BLOCK_ROWS


@pytest.fixture
def library(tmp_path):
    with tools.small(tmp_path) as opened:
        yield opened


def test_numbers_moods_and_selected_follow_the_ids(library):
    columns = library.columns()
    assert len(columns) == 5 and columns.moods == ["calm", "dark", "happy"]
    for at, track in enumerate(library.tracks(columns.ids)):
        values = track.values
        assert columns.number("valence")[at] == pytest.approx(values["valence"])
        assert columns.number("quadrant")[at] == int(values["quadrant"][1])
        for mood in values["moods"]:
            assert columns.mood(mood["label"])[at] == pytest.approx(mood["score"])
            assert columns.selected(mood["label"])[at] == (mood["label"] in values["selected_moods"])
    assert np.isnan(columns.number("key")).tolist() == [False] * 4 + [True]
    assert np.isnan(columns.number("energy")).all() and not columns.selected("epic").any()


def test_more_tracks_than_a_block_holds(tmp_path):
    count = BLOCK_ROWS + 3
    with Library.open(tmp_path / "library.db", create=True) as library:
        with library.transaction():
            for number in range(count):
                made = tools.record(1 + number / count, embedding=np.full(8, number))
                tools.add(library, f"{number}.mp3", made)
        ids, matrix = library.embeddings()
        assert matrix.dtype == np.float16 and matrix[:, 0].tolist() == list(range(count))
        assert library.columns().number("valence")[-1] == pytest.approx(1 + (count - 1) / count, abs=1e-4)
        library.mark_missing([library.track(int(ids[5])).path])
        assert library.embeddings()[1][:, 0].tolist() == [*range(5), *range(6, count)]


def test_models_with_other_columns_stand_side_by_side(library):
    made = tools.record(6.0, 6.0, epic=0.9, embedding=np.ones(8))
    key = tools.add(library, "f.mp3", made, settings={"model": "other"})
    columns = library.columns()
    at = columns.ids.tolist().index(key)
    assert columns.moods == ["calm", "dark", "epic", "happy"]
    assert columns.mood("epic")[at] == pytest.approx(0.9) and np.isnan(columns.mood("calm")[at])
    ids, matrix = columns.embeddings()
    assert key not in ids and len(ids) == 5  # of another model, although of the same width


def test_attributes_and_tempo_are_numbers():
    values = tools.record().to_dict() | {"attributes": {"energy": 0.7, "liveness": None}, "tempo": 120.5}
    found = numbers_of(values)
    assert found["energy"] == 0.7 and found["tempo"] == 120.5 and np.isnan(found["liveness"])


def test_large_embeddings_stay_finite(library):
    tools.add(library, "g.mp3", tools.record(calm=0.1, dark=0.1, happy=0.1, embedding=np.full(8, 1e9)))
    assert np.isfinite(library.embeddings()[1]).all()


def test_an_empty_library(tmp_path):
    with Library.open(tmp_path / "library.db", create=True) as library:
        assert len(library.columns()) == 0 and library.columns().moods == []
        assert library.embeddings()[1].shape == (0, 0)
