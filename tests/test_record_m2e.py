"""Records as rows and tables. As JSON and CSV: see test_views_records."""

import builtins
from dataclasses import replace

import pytest

from modeling_m2e.chord_labels_m2e import ChordSegment
from modeling_m2e.key_m2e import Key, KeySegment
from modeling_m2e.record_m2e import CurvePoint, FailedTrack, Mood, MusicEmotion, TrackHarmony, record_of

RECORD = MusicEmotion(
    path="song.mp3",
    duration=60.0,
    valence=6.12345,
    arousal=5.4,
    quadrant="Q1",
    moods=[Mood("happy", 0.83), Mood("calm", 0.1)],
    selected_moods=["happy"],
    key=Key("C", "major", 0.81),
    chords=[ChordSegment(0.0, 30.0, "C:maj"), ChordSegment(30.0, 60.0, "N")],
    curve=[CurvePoint(0.0, 30.0, 5.9, 5.1), CurvePoint(30.0, 60.0, 6.3, 5.7)],
    model="m2e-small",
)


def test_a_row_is_flat():
    row = RECORD.to_row()
    assert row["valence"] == 6.1235 and row["mood_calm"] == 0.1 and row["key_mode"] == "major"
    assert row["selected_moods"] == "happy" and row["chords"] == "C:maj N" and "curve" not in row
    assert all(value is None or isinstance(value, str | float) for value in row.values())
    keys = TrackHarmony("song.mp3", 60.0, None, [], [KeySegment(0.0, 60.0, "C major", 0.8)]).to_row()
    assert keys["key_segments"] == "0.0 60.0 C major" and "key_tonic" not in keys and keys["chords"] == ""


def test_the_tempo_is_a_field_only_where_it_is_known():
    assert "tempo" not in RECORD and "tempo" not in RECORD.to_json() and "tempo" not in RECORD.to_row()
    known = replace(RECORD, tempo=123.456)
    assert known.to_json() == RECORD.to_json()[:-1] + ', "tempo": 123.5}' and known.to_row()["tempo"] == 123.5
    assert record_of(known.to_dict()).tempo == 123.5 and record_of(RECORD.to_dict()).tempo is None


def test_tables():
    pandas = pytest.importorskip("pandas")
    records = [RECORD, FailedTrack("bad.wav", "bad.wav: is silent.")]
    table = pandas.concat([record.to_pandas() for record in records], ignore_index=True)
    assert list(table["path"]) == ["song.mp3", "bad.wav"] and table["mood_happy"][0] == 0.83
    assert table["error"][1] == "bad.wav: is silent." and pandas.isna(table["valence"][1])
    curve = RECORD.to_pandas("curve")
    assert list(curve.columns) == ["start", "end", "valence", "arousal"] and list(curve["arousal"]) == [5.1, 5.7]
    assert list(RECORD.to_pandas("chords")["label"]) == ["C:maj", "N"]
    assert len(RECORD.to_pandas("moods")) == 2
    assert RECORD.to_pandas("key_segments").empty and records[1].to_pandas("curve").empty
    with pytest.raises(ValueError, match="no table 'key': choose moods, chords, key_segments, curve"):
        RECORD.to_pandas("key")


def test_without_pandas(monkeypatch):
    real = builtins.__import__

    def absent(name, *arguments, **options):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match="^Tables need pandas: install it with pip install pandas.$"):
        RECORD.to_pandas()
