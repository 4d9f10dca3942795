"""The paper's lists, and splits of our own."""

from collections import Counter

import pytest

from m2e.datasets.splits import grouped_split, paper_split
from m2e.errors import DataError


@pytest.mark.parametrize("name", ["deam", "emomusic", "pmemo"])
def test_the_papers_lists_are_those_that_were_published(name, shared):
    folder = shared / "data" / "annotations" / name
    published = {
        song: split
        for split in ("train", "validation", "test")
        for song in (folder / f"paper_split_{split}.txt").read_text().split()
    }
    assert paper_split(name, published) == published


def test_unknown_songs_are_named():
    with pytest.raises(DataError, match="not in the lists of deam: 1, 9999"):
        paper_split("deam", ["2", "1", "9999"])


def test_no_group_is_in_two_splits():
    groups = [f"artist {i % 37}" for i in range(300)] + ["prolific"] * 60
    splits = grouped_split(groups)
    assert all(len(set(s for g, s in zip(groups, splits, strict=True) if g == group)) == 1 for group in set(groups))
    assert Counter(splits) == pytest.approx({"train": 252, "validation": 54, "test": 54}, abs=9)
    assert grouped_split(groups) == splits
    assert dict(zip(reversed(groups), grouped_split(groups[::-1]), strict=True)) == dict(
        zip(groups, splits, strict=True)
    )


def test_few_tracks_still_leave_some_to_hold_out():
    assert set(grouped_split([str(i) for i in range(8)])) == {"train", "validation", "test"}
