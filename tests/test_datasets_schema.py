"""The common schema and what breaks it."""

import math

import pytest

from m2e.datasets.schema import FEATURES, Track, listed, rescale, to_dataset
from m2e.errors import DataError


def test_what_is_unknown_is_null():
    full = Track("a", "a.wav", "train", ["happy"], 6.5, 5.25, "Q1", "Ann", 30.0)
    dataset = to_dataset("x", [full, Track("b", "b.wav", "test")])
    assert dataset.features == FEATURES
    assert dataset[0] == vars(full)
    assert {name for name, value in dataset[1].items() if value is not None} == {"id", "audio", "split"}


def test_all_faults_are_told_in_one_error():
    tracks = [
        Track("a", "", "train"),
        Track("a", "", "train"),
        Track("b", "", "dev"),
        Track("c", "", "test", valence=0.5, arousal=5),
        Track("d", "", "test", valence=5),
        Track("e", "", "test", valence=math.nan, arousal=5),
        Track("f", "", "test", quadrant="Q5"),
    ]
    with pytest.raises(DataError) as told:
        to_dataset("Some set", tracks)
    message = str(told.value)
    assert message.startswith("Some set has ids that occur more than once (a); splits other than")
    assert "(b)" in message and "(c, d, e)" in message and "quadrants other than Q1 to Q4 (f)" in message


def test_ratings_reach_both_ends_of_the_scale():
    assert [rescale(x, -1, 1) for x in (-1, 0, 1)] == [1, 5, 9]
    ends = Track("a", "", "train", valence=rescale(0.3, 0.3, 0.7), arousal=rescale(0.7, 0.3, 0.7))
    assert len(to_dataset("x", [ends])) == 1


def test_long_lists_are_cut():
    assert listed(["a", "b"]) == "a, b"
    assert listed(map(str, range(25))).endswith("18, 19 and 5 more")
