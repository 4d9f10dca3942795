"""Data sets under names of their own: folders with a table, and the hub's."""

import json
from pathlib import Path

import pytest
from datasets import Audio, ClassLabel, Dataset, DatasetDict, Features, List, Value
from datasets.table import embed_table_storage
from miniatures import sound, table

from m2e.datasets.generic import read_folder, read_hub
from m2e.datasets.schema import FEATURES
from m2e.errors import DataError
from m2e.features.cache import audio_files


@pytest.fixture
def folder(tmp_path):
    for name in ("a/one", "a/two", "three"):
        sound(tmp_path / "audio" / f"{name}.wav")
    return tmp_path


def test_names_of_its_own(folder):
    rows = [("audio/a/one.wav", "happy| warm", 0, 1, "Ann", "dev"), ("audio/a/two.wav", "", "", "", "Ben", "Train")]
    table(folder / "clips.csv", "clip,tags,v,a,who,part", rows)
    dataset = read_folder(
        folder, "clips.csv", audio="clip", moods="tags", valence="v", arousal="a", artist="who", split="part",
        va_range=(-1, 1), mood_separator="|",
    )  # fmt: skip
    assert dataset.features == FEATURES
    first, second = dataset
    assert first["id"] == "audio_a_one" and first["audio"] == str(folder / "audio/a/one.wav")
    assert first["moods"] == ["happy", "warm"] and (first["valence"], first["arousal"]) == (5, 9)
    assert first["split"] == "validation" and second["split"] == "train"
    assert second["moods"] is None and second["valence"] is None and second["artist"] == "Ben"


def test_json_lines_with_the_schemas_names(folder):
    rows = [
        {"id": "x", "path": "audio/three.wav", "moods": ["calm"], "quadrant": "Q4", "duration": 31},
        {"id": "y", "path": "audio/a/one.wav", "moods": [], "quadrant": None},
    ]
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    first, second = read_folder(folder)
    assert first["moods"] == ["calm"] and first["quadrant"] == "Q4" and first["duration"] == 31
    assert second["moods"] == [] and second["quadrant"] is None


def test_moods_with_and_without_blanks_empty_and_doubled(folder):
    for separator, cells in ((";", ("happy;sad", " happy ; sad;;", "happy; sad; happy")), ("; ", ("happy;sad",))):
        for cell in cells:
            table(folder / "labels.csv", "audio,moods", [("audio/three.wav", cell)])
            assert read_folder(folder, mood_separator=separator)["moods"][0] == ["happy", "sad"]
    table(folder / "labels.csv", "audio,moods", [("audio/three.wav", "happy  sad")])
    assert read_folder(folder, mood_separator=" ")["moods"][0] == ["happy", "sad"]
    (folder / "labels.csv").unlink()
    (folder / "labels.jsonl").write_text('{"audio": "audio/three.wav", "moods": [" happy", "", "sad", "happy"]}')
    assert read_folder(folder)["moods"][0] == ["happy", "sad"]


def test_without_splits_no_artist_is_in_two(folder):
    rows = [("audio/three.wav", i, f"artist {i % 7}", "happy") for i in range(60)]
    table(folder / "labels.csv", "audio,id,artist,moods", rows)
    dataset = read_folder(folder)
    assert set(dataset["split"]) == {"train", "validation", "test"}
    assert len(set(zip(dataset["artist"], dataset["split"], strict=True))) == 7


def test_all_bad_rows_are_told_at_once(folder):
    rows = [("audio/three.wav", 5, 11, "train"), ("audio/a/one.wav", "loud", 5, "train"), ("x.wav", 5, 5, "later")]
    table(folder / "labels.csv", "audio,valence,arousal,split", rows)
    with pytest.raises(DataError) as told:
        read_folder(folder)
    assert "3 rows that cannot be read (row 1: 11 is not between 1.0 and 9.0, see va_range, row 2: " in str(told.value)
    assert "row 3: 'later' is no split" in str(told.value)


def test_tables_that_cannot_be_meant(folder):
    with pytest.raises(DataError, match="holds no labels.csv or metadata.csv"):
        read_folder(folder)
    table(folder / "labels.csv", "audio,genre", [("audio/three.wav", "pop")])
    with pytest.raises(DataError, match="no column moods, valence, arousal, quadrant"):
        read_folder(folder)
    with pytest.raises(DataError, match="no column tags, but audio, genre"):
        read_folder(folder, moods="tags")
    with pytest.raises(DataError, match="no columns mood in the schema"):
        read_folder(folder, mood="genre")
    table(folder / "labels.csv", "song,moods", [("audio/three.wav", "pop")])
    with pytest.raises(DataError, match="no column audio or path"):
        read_folder(folder)
    table(folder / "labels.csv", "audio,moods", [("audio/gone.wav", "pop"), ("", "pop")])
    with pytest.raises(DataError, match="row 2: no audio"):
        read_folder(folder)
    table(folder / "labels.csv", "audio,moods", [("audio/gone.wav", "pop"), ("audio/lost.wav", "pop")])
    with pytest.raises(DataError, match="2 missing audio files .audio/gone.wav, audio/lost.wav"):
        read_folder(folder)


def test_broken_tables(folder):
    for content in (b'{"audio": "a.wav", ', b"[1, 2]", b"\xff\xfe"):
        (folder / "labels.jsonl").write_bytes(content)
        with pytest.raises(DataError, match="labels.jsonl is no .jsonl table"):
            read_folder(folder)
    table(folder / "labels.csv", "audio,moods", [])
    with pytest.raises(DataError, match="labels.csv has no column audio"):
        (folder / "labels.csv").write_bytes(b"")
        read_folder(folder)


def test_one_of_two_dimensions_is_not_enough(folder):
    table(folder / "labels.csv", "audio,valence", [("audio/three.wav", 5)])
    with pytest.raises(DataError, match="one without the other"):
        read_folder(folder)


def test_class_labels_of_the_hub_become_names(folder):
    features = Features(
        file=Value("string"),
        mood=List(ClassLabel(names=["calm", "happy"])),
        q=ClassLabel(names=["Q1", "Q2", "Q3", "Q4"]),
    )
    columns = {"file": [str(folder / "audio/three.wav")] * 2, "mood": [[1], [0, 1]], "q": [0, 3]}
    part = Dataset.from_dict(columns, features=features)
    dataset = read_hub(DatasetDict(train=part, validation=part), moods="mood", quadrant="q")
    assert dataset.features == FEATURES
    assert dataset["moods"][:2] == [["happy"], ["calm", "happy"]] and dataset["quadrant"][:2] == ["Q1", "Q4"]
    assert dataset["split"][:] == ["train", "train", "validation", "validation"]
    assert dataset["id"][:] == ["000000", "000001", "000002", "000003"]


@pytest.mark.parametrize("name", ["parquet", "csv"])
def test_a_folder_of_embedded_audio_may_have_any_name(folder, monkeypatch, name):
    monkeypatch.chdir(folder)  # where a loader called "csv" would find this table
    table(folder / "labels.csv", "audio,moods", [("audio/three.wav", "other")])
    clips = [folder / "audio" / f"{clip}.wav" for clip in ("three", "a/one")]
    columns = {"clip": [str(clip) for clip in clips], "valence": [2.0, 3.0], "arousal": [4.0, 5.0]}
    embedded = embed_audio(Dataset.from_dict(columns).cast_column("clip", Audio()))
    (folder / name).mkdir()
    embedded.to_parquet(folder / name / "train.parquet")
    dataset = read_hub(name, audio="clip", cache_dir=str(folder / "cache"))
    assert dataset["valence"][:] == [2.0, 3.0] and dataset["moods"][:] == [None, None]
    audio = dataset["audio"][:]
    assert [each["bytes"] for each in audio] == [clip.read_bytes() for clip in clips]
    assert [each["path"] for each in audio] == ["three.wav", "one.wav"]
    files = audio_files(dataset["id"][:], audio, folder / "features" / "audio")
    assert [Path(file).read_bytes() for file in files] == [clip.read_bytes() for clip in clips]
    assert {Path(file).suffix for file in files} == {".wav"}


def test_a_folder_that_is_no_data_set_is_named(folder):
    (folder / "data").mkdir()
    (folder / "data" / "train.parquet").write_bytes(b"words")
    with pytest.raises(DataError, match="data cannot be read as a data set .*Parquet"):
        read_hub(folder / "data", cache_dir=str(folder / "cache"))


def embed_audio(dataset):
    """The dataset with its audio inside, as it is pushed to the hub."""
    return dataset.with_format("arrow").map(embed_table_storage, batched=True).with_format(None)


@pytest.mark.parametrize(
    "cells",
    [
        ("happy, sad", "sad"),
        ("happy|sad", "sad"),
        ("happy; sad", "sad"),
        ("['happy', 'sad']", "['sad']"),
        ("['happy' 'sad']", "[]"),
        ('["happy", "sad"]', "[sad]"),
        ("[happy, sad]", "sad"),
    ],
)
def test_moods_are_separated_as_tables_do(folder, cells):
    rows = [(f"audio/{name}.wav", cell) for name, cell in zip(("three", "a/one"), cells, strict=True)]
    table(folder / "labels.csv", "audio,moods", rows)
    assert read_folder(folder)["moods"][:] == [["happy", "sad"], [] if cells[1] == "[]" else ["sad"]]


def test_two_separators_need_a_choice(folder):
    rows = [("audio/three.wav", "happy; sad"), ("audio/a/one.wav", "warm, calm")]
    table(folder / "labels.csv", "audio,moods", rows)
    with pytest.raises(
        DataError, match="labels.csv has moods with ; and with ,: name the separator by mood_separator="
    ):
        read_folder(folder)
    assert read_folder(folder, mood_separator=";")["moods"][:] == [["happy", "sad"], ["warm, calm"]]


def test_spellings_that_differ_in_case_are_one_mood(folder):
    rows = [("audio/three.wav", "Happy;HAPPY;sad"), ("audio/a/one.wav", "happy"), ("audio/a/two.wav", "happy;Sad;sad")]
    table(folder / "labels.csv", "audio,moods", rows)
    assert read_folder(folder)["moods"][:] == [["happy", "sad"], ["happy"], ["happy", "sad"]]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_tables_of_other_delimiters_are_read(folder, delimiter):
    text = "audio,moods,valence,arousal\naudio/three.wav,happy|sad,5,6\n".replace(",", delimiter)
    (folder / "labels.csv").write_text(text)
    assert read_folder(folder)["moods"][:] == [["happy", "sad"]]
    (folder / "labels.csv").write_text(text.replace("audio" + delimiter, "song" + delimiter))
    with pytest.raises(DataError, match="no column audio or .* but song, moods, valence, arousal: name that of"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("audio,moods\na.wav,happy,sad\n", "row 1: 3 cells for 2 columns"),
        ("audio,moods,artist\na.wav,happy\n", "row 1: 2 cells for 3 columns"),
        ("audio,moods,moods\na.wav,happy,sad\n", "has the column moods twice"),
        ('audio,moods\na.wav,"happy\nb.wav,sad\n', "is no .csv table .unexpected end of data"),
        (
            'audio,moods\na.wav,"happy\nb.wav,sad\nc.wav,calm"\n',
            "row 1: a cell with other rows in it, look for a quote",
        ),
        ("audio,moods\n", "has a header but no rows: add the tracks"),
        ("song,tags\n", "no column audio or .* but song, tags: "),
        ("audio,tags\na.wav,happy\n", "no column moods, .* but audio, tags: "),
    ],
)
def test_no_row_is_lost_without_a_word(folder, text, sentence):
    (folder / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_folder(folder)
