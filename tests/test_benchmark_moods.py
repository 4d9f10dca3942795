"""benchmarks/moods.py: shares of tracks without a mood, and of moods that are right."""

import sys
from types import SimpleNamespace

import pytest
import tiny

pytest.importorskip("sklearn")

sys.path.insert(0, str(tiny.ROOT / "benchmarks"))
import moods  # noqa: E402


def test_shares_count_tracks_and_moods_that_some_track_has():
    selected, truth = [["sad", "epic"], [], ["sad"]], [["sad"], ["dark"], ["dark"]]
    found = moods.shares(selected, truth)
    assert found["without"] == pytest.approx(1 / 3) and found["moods"] == 1
    assert found["precision"] == 0.5  # of "sad" twice; no track has "epic"
    assert "precision" not in moods.shares(selected)


def test_moods_by_threshold_are_those_above_their_own():
    record = SimpleNamespace(moods=[SimpleNamespace(label="sad", score=0.4), SimpleNamespace(label="happy", score=0.3)])
    assert moods.by_threshold(record, {"sad": 0.5, "happy": 0.2}) == ["happy"]
