"""Emotify: both layouts, shares of answers as moods, valence and arousal by a table."""

import miniatures
import pytest

from m2e.datasets import read_dataset
from m2e.datasets.emotify import EMOTIONS
from m2e.errors import DataError

HEADER = f"track_id,genre,artist,title,answers,duration,{','.join(EMOTIONS)}"


def shares(**named):
    return [named.get(emotion, 0.0) for emotion in EMOTIONS]


@pytest.fixture
def table(tmp_path):
    rows = [
        ("1", "classical", "Ann", "T", 40, 0.6, *shares(sadness=0.5, calmness=0.3)),
        ("101", "rock", "Ben", "T", 40, 0.6, *shares(power=0.6, joyful_activation=0.8, tension=0.2)),
        ("301", "pop", "Ann", "T", 40, 0.6, *shares(tenderness=0.25, nostalgia=0.2)),
    ]
    miniatures.table(tmp_path / "labels.csv", HEADER, rows)
    (tmp_path / "audio").mkdir()
    for song, *_ in rows:
        miniatures.sound(tmp_path / "audio" / f"{int(song):03d}.wav").rename(
            tmp_path / "audio" / f"{int(song):03d}.opus"
        )
    return tmp_path


def test_a_table_of_shares(table):
    tracks = {track["id"]: track for track in read_dataset("emotify", table).to_list()}
    assert tracks["1"]["moods"] == ["calmness", "sadness"] and tracks["301"]["moods"] == ["tenderness"]
    assert tracks["1"]["valence"] == pytest.approx(5 - 4 * 0.2) and tracks["1"]["arousal"] == pytest.approx(5 - 4 * 0.8)
    assert tracks["101"]["arousal"] == 9 and tracks["101"]["quadrant"] is None
    assert tracks["1"]["split"] == tracks["301"]["split"]  # of one artist


def test_the_recipe_decides_what_labels_mean(table):
    options = {"moods": {"sadness": "sad", "power": "powerful"}, "share": 0.5, "quadrants": True}
    tracks = read_dataset("emotify", table, **options, arousal={"power": 0.5}).to_list()
    assert [track["moods"] for track in tracks] == [["sad"], ["powerful"], []]
    assert [track["arousal"] for track in tracks] == pytest.approx([5, 5 + 4 * 0.3, 5])
    assert [track["quadrant"] for track in tracks] == ["Q2", "Q1", "Q1"]
    with pytest.raises(DataError, match="no emotion joy: there are amazement"):
        read_dataset("emotify", table, valence={"joy": 1.0})


def test_the_archive_has_a_row_per_answer(tmp_path):
    rows = [("1", "classical", *shares(sadness=1), 1), ("1", "classical", *shares(sadness=1, calmness=1), 0)]
    rows += [("102", "rock", *shares(power=1), 0)]
    miniatures.table(tmp_path / "data.csv", f"track id, genre, {', '.join(EMOTIONS)}, liked", rows)
    for name in ("classical/1.mp3", "rock/2.mp3"):
        miniatures.sound(tmp_path / "emotifymusic" / name)
    tracks = read_dataset("emotify", tmp_path, check="partial").to_list()
    assert [track["moods"] for track in tracks] == [["calmness", "sadness"], ["power"]]
    assert tracks[0]["valence"] == pytest.approx(5 - 4 * 0.5) and tracks[1]["audio"].endswith("rock/2.mp3")
    with pytest.raises(DataError, match="labels of 2 tracks, not 400"):
        read_dataset("emotify", tmp_path)


def test_faults(tmp_path, table):
    with pytest.raises(DataError, match="neither data.csv nor labels.csv"):
        read_dataset("emotify", tmp_path / "audio")
    (table / "audio" / "001.opus").unlink()
    with pytest.raises(DataError, match=r"1 missing audio files \(audio/001.opus\)"):
        read_dataset("emotify", table)
