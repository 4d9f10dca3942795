"""The paper's protocol leaks, the clean one does not."""

import sys

import pytest

from m2e.datasets import protocols, read_dataset
from m2e.datasets.protocols import Leak, apply_protocol, artist_names, leaks, shared_with
from m2e.datasets.schema import FEATURES, Track, to_dataset


def dataset(*rows):
    return to_dataset("set", [Track(id, "", split, artist=artist) for id, split, artist in rows])


@pytest.fixture
def sets():
    return {
        "deam": dataset(
            ("2", "train", None),  # EmoMusic's test
            ("3", "test", None),  # EmoMusic's training
            ("4", "train", None),  # its artist is held out, as EmoMusic knows
            ("1001", "train", None),
            ("1002", "test", "Held"),
        ),
        "emomusic": dataset(("2", "test", "Ann"), ("3", "train", "Ben"), ("4", "validation", "Cyd feat. HELD")),
        "pmemo": dataset(
            ("1", "train", "ann"), ("5", "train", "Dee"), ("6", "validation", "Dee"), ("7", "train", "Eve"),
            ("8", "train", "Various Artists"), ("9", "test", "Various Artists"), ("2", "train", None),
        ),
    }  # fmt: skip


def splits(datasets):
    return {name: dict(zip(part["id"], part["split"], strict=True)) for name, part in datasets.items()}


def test_the_papers_protocol_is_what_was_read(sets):
    assert splits(apply_protocol(sets, "paper")) == splits(sets)
    assert Leak(("emomusic", "test"), ("deam", "train"), 1, 1) in leaks(sets)
    with pytest.raises(ValueError, match="paper or clean"):
        apply_protocol(sets, "cleaner")


def test_the_clean_protocol_is_disjoint(sets):
    clean = apply_protocol(sets, "clean")
    assert leaks(clean) == []
    assert splits(clean) == {
        "deam": {"2": "test", "3": "train", "1001": "train", "1002": "test"},
        "emomusic": {"2": "test", "3": "train"},
        "pmemo": {"6": "validation", "7": "train", "8": "train", "9": "test", "2": "train"},
    }
    assert all(part.features == FEATURES for part in clean.values())


def test_what_a_held_out_set_shares(sets):
    assert shared_with("emomusic", sets) == {"deam": [0, 1, 2, 4], "pmemo": [0]}
    assert shared_with("pmemo", sets) == {"deam": [0], "emomusic": [0]}


def test_merge_and_4q_share_the_songs_of_allmusic():
    sets = {
        "4q": dataset(("MT1", "test", None), ("MT2", "train", None)),
        "merge": dataset(("MT1", "train", None), ("A1", "train", None)),
    }
    assert leaks(sets) == [Leak(("4q", "test"), ("merge", "train"), 1, 0)]
    assert splits(apply_protocol(sets, "clean"))["merge"] == {"A1": "train"}


def test_one_data_set_alone_keeps_its_lists(sets):
    alone = apply_protocol({"deam": sets["deam"]}, "clean")
    assert splits(alone)["deam"] == splits(sets)["deam"]


def test_credits_are_compared_by_name():
    assert artist_names(" Drake  feat. Future ") == {"drake", "future"}
    assert artist_names("Feather ft X") == {"feather", "x"} and artist_names("Leftfield") == {"leftfield"}
    assert artist_names(None) == artist_names("Various Artists") == artist_names("") == frozenset()


def test_the_real_lists(shared):
    folders = {"mtg-jamendo": "mtg_jamendo", "deam": "deam", "emomusic": "emomusic", "pmemo": "pmemo"}
    root = shared / "data" / "annotations"
    real = {name: read_dataset(name, root / folder, check="off") for name, folder in folders.items()}
    paper = {(leak.part, leak.known_from): (leak.songs, leak.artists) for leak in leaks(real)}
    assert paper[("emomusic", "test"), ("deam", "train")][0] == 82
    assert paper[("emomusic", "test"), ("deam", "validation")][0] == 16
    assert paper[("deam", "test"), ("emomusic", "train")][0] == 66
    assert paper[("emomusic", "test"), ("emomusic", "train")] == (0, 59)
    clean = apply_protocol(real, "clean")
    assert leaks(clean) == []
    held = {name: [split for split in part["split"] if split == "test"] for name, part in clean.items()}
    assert [len(held[name]) for name in ("mtg-jamendo", "emomusic", "pmemo")] == [4231, 125, 115]  # as published
    assert splits(clean)["mtg-jamendo"] == splits(real)["mtg-jamendo"]


def test_the_table_of_the_command(tmp_path, capsys, monkeypatch):
    import miniatures

    miniatures.deam(tmp_path / "d"), miniatures.emomusic(tmp_path / "e")
    monkeypatch.setattr(sys, "argv", ["protocols", f"deam={tmp_path / 'd'}", f"emomusic={tmp_path / 'e'}"])
    protocols.main()
    printed = capsys.readouterr().out
    assert "| data set | paper | clean |" in printed and "| emomusic test | deam " in printed
