"""DEAM, whose first songs have valence and arousal swapped."""

import logging

import miniatures
import pytest

from m2e.datasets import deam
from m2e.datasets.archive import read_table
from m2e.errors import DataError


@pytest.fixture(autouse=True)
def thirteen_songs(monkeypatch):
    monkeypatch.setattr(deam, "SONGS", 13)


def ratings(dataset):
    return {row["id"]: (row["valence"], row["arousal"]) for row in dataset}


def test_the_swap_is_undone_and_logged(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        dataset = deam.read(miniatures.deam(tmp_path))
    assert ratings(dataset)["12"] == pytest.approx((3.0, 5.5))  # published 5.5, 3.0
    assert ratings(dataset)["1001"] == pytest.approx((4.8, 6.1)) and ratings(dataset)["2058"][0] == pytest.approx(3.8)
    assert "11 songs (ids up to 1000) swapped back" in caplog.text and "r = 1.000 swapped" in caplog.text
    assert dataset["audio"][0] == str(tmp_path / "MEMD_audio" / "2.mp3")
    assert dict(zip(dataset["id"], dataset["artist"], strict=True)) == {
        song: {"2": "The New Mystikal Troubadours", "1001": "Jahzzar"}.get(song) for song in miniatures.DEAM
    }


def test_the_archives_columns_on_request(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = deam.read(miniatures.deam(tmp_path), labels="published")
    assert ratings(dataset) == {song: pytest.approx(pair) for song, pair in miniatures.DEAM.items()}
    assert "as published" in caplog.text
    with pytest.raises(ValueError, match="corrected or published"):
        deam.read(tmp_path, labels="right")


def test_a_copy_that_is_corrected_already_is_not_swapped_unasked(tmp_path):
    miniatures.deam(tmp_path, dynamic="as published")
    with pytest.raises(DataError, match="seems to be corrected already .* give labels='published'"):
        deam.read(tmp_path)
    assert ratings(deam.read(tmp_path, verify_labels=False))["12"] == pytest.approx((3.0, 5.5))


def test_without_dynamic_annotations_that_is_told(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        deam.read(miniatures.deam(tmp_path, dynamic=None))
    assert "no dynamic annotations" in caplog.text


def test_incomplete_copies(tmp_path, monkeypatch):
    miniatures.deam(tmp_path, audio=False)
    with pytest.raises(DataError, match="MEMD_audio"):
        deam.read(tmp_path)
    (tmp_path / "MEMD_audio").mkdir()
    with pytest.raises(DataError, match="13 missing audio files"):
        deam.read(tmp_path)
    monkeypatch.setattr(deam, "SONGS", 1802)
    with pytest.raises(DataError, match="labels of 13 tracks, not 1802"):
        deam.read(tmp_path)
    with pytest.raises(DataError, match="static_annotations_averaged_songs_1_2000.csv"):
        deam.read(tmp_path / "MEMD_audio")


def test_the_published_labels(shared):
    folder = shared / "data" / "annotations" / "deam"
    published, corrected = (deam.read(folder, labels=which, check="off") for which in ("published", "corrected"))
    table = {r["song_id"]: (float(r["valence_mean"]), float(r["arousal_mean"])) for r in _rows(folder)}
    assert len(published) == 1802 and ratings(published) == {song: pytest.approx(v) for song, v in table.items()}
    exchanged = {song for song, pair in ratings(corrected).items() if pair != pytest.approx(table[song])}
    same = {song for song, pair in table.items() if pair[0] == pair[1]}
    assert exchanged | same >= {song for song in table if int(song) <= 1000} and max(map(int, exchanged)) == 1000
    emomusic = shared / "data" / "annotations" / "emomusic"
    theirs = {r["song_id"]: (float(r["valence_mean"]), float(r["arousal_mean"])) for r in _rows(emomusic)}
    assert deam.agreement(ratings(corrected), theirs) > 0.999 and deam.agreement(table, theirs) < 0.6


def _rows(folder):
    return read_table(folder / "static_annotations.csv")
