"""The benchmark of the tempo tells right from half and double."""

import sys

import pytest
import tiny

pytest.importorskip("pretty_midi")
pytest.importorskip("sklearn")

sys.path.insert(0, str(tiny.ROOT / "benchmarks"))
import tempo  # noqa: E402


@pytest.mark.parametrize(
    ("found", "said"),
    [(100.0, "right"), (104.0, "right"), (96.1, "right"), (48.5, "half"), (207.0, "double"), (150.0, "other")]
    + [(104.5, "other"), (None, "none")],
)
def test_an_estimate_has_a_name(found, said):
    assert tempo.kind(found, 100.0) == said


def test_shares_are_of_all_tracks():
    assert tempo.shares(["right", "right", "half", "none"]) == {
        "tracks": 4,
        "right": 0.5,
        "half": 0.25,
        "double": 0.0,
        "other": 0.0,
        "none": 0.25,
    }
