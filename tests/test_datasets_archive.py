"""Looking through the user's copy of a data set."""

import logging

import pytest
from miniatures import sound

from m2e.datasets.archive import find, need, read_table, verify
from m2e.datasets.schema import Track
from m2e.errors import DataError


def tracks(folder, *names):
    return [Track(name, folder / f"{name}.wav", "train") for name in names]


def test_the_nearest_file_is_found(tmp_path):
    for place in ("__MACOSX", "a/b", "c"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "labels.csv").touch()
    assert find(tmp_path, "absent.csv", "labels.csv") == tmp_path / "c" / "labels.csv"
    assert find(tmp_path, "b/labels.csv") == tmp_path / "a" / "b" / "labels.csv"
    assert find(tmp_path, "absent") is None
    with pytest.raises(DataError, match="holds no x.csv or y.csv"):
        need(tmp_path, "x.csv", "y.csv")


def test_tables_lose_blanks_and_surplus_cells(tmp_path):
    (tmp_path / "t.csv").write_bytes(b'\xef\xbb\xbf"id", valence_mean\n2,\t3.1 ,more,cells\n"3"\n\xff,5\n')
    rows = read_table(tmp_path / "t.csv")
    assert rows[:2] == [{"id": "2", "valence_mean": "3.1"}, {"id": "3", "valence_mean": ""}] and len(rows) == 3


def test_a_complete_copy_passes_and_gains_durations(tmp_path):
    sound(tmp_path / "a.wav", seconds=0.6)
    (track,) = verify("Set", tmp_path, tracks(tmp_path, "a"), 1, "strict")
    assert track.duration == pytest.approx(0.6)


def test_all_missing_and_unreadable_files_are_listed_in_one_error(tmp_path, caplog):
    sound(tmp_path / "good.wav")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "page.wav").write_text("<html>404</html>")
    missing = [f"gone{i:02d}" for i in range(25)]
    wanted = tracks(tmp_path, "good", "empty", "page", *missing)
    with pytest.raises(DataError) as error:
        verify("Set", tmp_path, wanted, 30, "strict")
    message = str(error.value)
    assert "labels of 28 tracks, not 30" in message
    assert "25 missing audio files (gone00.wav, " in message and "gone19.wav and 5 more)" in message
    assert "gone20" not in message and "2 unreadable audio files (empty.wav, page.wav)" in message
    with caplog.at_level(logging.WARNING):
        assert [track.id for track in verify("Set", tmp_path, wanted, 30, "partial")] == ["good"]
    assert "1 tracks are used" in caplog.text and "gone00.wav" in caplog.text
    assert len(verify("Set", tmp_path, wanted, 30, "off")) == 28


def test_a_partial_copy_must_hold_something(tmp_path):
    with pytest.raises(DataError, match="1 missing"):
        verify("Set", tmp_path, tracks(tmp_path, "gone"), None, "partial")
    with pytest.raises(DataError, match="no check .perhaps.: choose strict"):
        verify("Set", tmp_path, [], None, "perhaps")


def test_containers_of_ffmpeg_count_as_readable(tmp_path, fixtures):
    pytest.importorskip("shutil").which("ffmpeg") or pytest.skip("ffmpeg is not installed")
    track = Track("tone", fixtures / "tone.m4a", "train")
    assert verify("Set", tmp_path, [track], 1, "strict") == [track]
