"""EmoMusic."""

import miniatures
import pytest

from m2e.datasets import emomusic
from m2e.datasets.archive import read_table
from m2e.errors import DataError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(emomusic, "SONGS", 3)
    return miniatures.emomusic(tmp_path)


def test_a_miniature_archive(folder):
    rows = {row["id"]: row for row in emomusic.read(folder)}
    assert {song: (row["valence"], row["arousal"]) for song, row in rows.items()} == {
        song: pytest.approx((v, a)) for song, (v, a, _) in miniatures.EMOMUSIC.items()
    }
    assert rows["3"]["split"] == "test" and rows["2"]["split"] != "test"
    assert rows["2"]["artist"] == "Artist 2" and rows["2"]["duration"] == pytest.approx(0.6, abs=0.1)
    assert rows["4"]["audio"] == str(folder / "clips_45seconds" / "4.mp3")


def test_another_evaluation_set_is_refused(folder):
    path = folder / "annotations" / "songs_info.csv"
    path.write_text(path.read_text().replace("evaluation", "development"))
    with pytest.raises(DataError, match="other songs in MediaEval 2013's evaluation set: 3"):
        emomusic.read(folder)


def test_incomplete_copies(folder):
    (folder / "clips_45seconds" / "2.mp3").unlink()
    with pytest.raises(DataError, match="1 missing audio files .*2.mp3"):
        emomusic.read(folder)
    (folder / "annotations" / "songs_info.csv").unlink()
    with pytest.raises(DataError, match="songs_info.csv"):
        emomusic.read(folder)


def test_the_real_labels(shared):
    folder = shared / "data" / "annotations" / "emomusic"
    dataset = emomusic.read(folder, check="off")
    assert len(dataset) == emomusic.SONGS
    table = {row["song_id"]: row for row in read_table(folder / "static_annotations.csv")}
    for row in dataset:
        assert row["valence"] == pytest.approx(float(table[row["id"]]["valence_mean"]))
        assert row["arousal"] == pytest.approx(float(table[row["id"]]["arousal_mean"]))
    assert sum(split == "test" for split in dataset["split"]) == 125 and None not in dataset["artist"]
