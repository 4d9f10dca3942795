"""PMEmo."""

import miniatures
import pytest

from m2e.datasets import pmemo
from m2e.datasets.archive import read_table
from m2e.errors import DataError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(pmemo, "SONGS", 2)
    return miniatures.pmemo(tmp_path)


def test_a_miniature_archive(folder):
    first, second = pmemo.read(folder)
    assert (first["valence"], first["arousal"]) == pytest.approx((5.6, 4.2))
    assert (second["valence"], second["arousal"]) == pytest.approx((3.3, 3.1))
    assert first["artist"] == "2 Chainz" and first["duration"] == pytest.approx(32.1)
    assert first["audio"] == str(folder / "PMEmo2019" / "chorus" / "1.mp3")


def test_faulty_copies(folder):
    (folder / "PMEmo2019" / "chorus" / "4.mp3").write_bytes(b"not audio")
    with pytest.raises(DataError, match="1 unreadable audio files .*4.mp3"):
        pmemo.read(folder)
    path = folder / "PMEmo2019" / "metadata.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("4")))
    with pytest.raises(DataError, match="not in its metadata.csv: 4"):
        pmemo.read(folder)


def test_the_real_labels(shared):
    folder = shared / "data" / "annotations" / "pmemo"
    dataset = pmemo.read(folder, check="off")
    table = {row["song_id"]: row for row in read_table(folder / "static_annotations.csv")}
    assert len(dataset) == len(table) == pmemo.SONGS
    for row in dataset:
        assert row["valence"] == pytest.approx(float(table[row["id"]]["valence_mean"]))
        assert row["arousal"] == pytest.approx(float(table[row["id"]]["arousal_mean"]))
    assert (dataset[0]["id"], dataset[0]["artist"]) == ("1", "2 Chainz")  # 0.575 of 1 is 5.6 of 9, as in the miniature
