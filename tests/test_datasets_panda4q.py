"""The 4Q data set: its words, its layout, its faults."""

from collections import Counter

import miniatures
import numpy as np
import pytest
import soundfile

from m2e.datasets import panda4q, read_dataset
from m2e.datasets.panda4q import ALLMUSIC_TO_JAMENDO
from m2e.errors import DataError
from modeling_m2e.configuration_m2e import JAMENDO_MOODS

HEADER = "song_id,artist,title,quadrant,valence,arousal,tags,genres,split\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "audio").mkdir()
    rows = ["A1,Ann,One,Q1,6.9,5.8,Happy; Fun,Pop,train", "B2,Ben,Two,Q3,3.6,4.1,Gloomy; Circular,Folk,test"]
    (tmp_path / "metadata.csv").write_text(HEADER + "\n".join(rows) + "\n")
    for name in ("A1", "B2"):
        soundfile.write(tmp_path / "audio" / f"{name}.opus", np.sin(np.arange(9600) / 9), 16000, "OPUS", format="OGG")
    return tmp_path


def test_every_word_maps_onto_known_tags():
    assert {tag for tags in ALLMUSIC_TO_JAMENDO.values() for tag in tags.split()} <= set(JAMENDO_MOODS)


def test_the_table_in_the_common_schema(folder):
    first, second = read_dataset("4q", folder, check="off")
    assert first["moods"] == ["Happy", "Fun"] and second["quadrant"] == "Q3" and second["split"] == "test"
    assert (first["valence"], first["arousal"]) == pytest.approx((6.9, 5.8)) and first["artist"] == "Ann"
    for path in (folder / "audio").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="2 unreadable audio files .*A1.opus"):
        panda4q.read(folder)
    for path in (folder / "audio").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="2 missing audio files .audio/A1.opus, audio/B2.opus"):
        panda4q.read(folder)


def test_moods_are_split_with_or_without_blanks(folder):
    for cell in ("Happy;Sad", "Happy; Sad", " Happy ;;Sad; ", "Happy; Sad; Happy"):
        (folder / "metadata.csv").write_text(HEADER + f"A1,Ann,One,Q1,6.9,5.8,{cell},Pop,train\n")
        assert panda4q.read(folder)["moods"][0] == ["Happy", "Sad"]


def test_a_table_without_split_and_ratings_is_split_by_artist(tmp_path):
    rows = [f"S{index},Artist {index // 3},Q{index % 4 + 1},Happy" for index in range(60)]
    (tmp_path / "metadata.csv").write_text("song_id,artist,quadrant,tags\n" + "\n".join(rows))
    dataset = panda4q.read(tmp_path, check="off")
    assert set(dataset["split"]) == {"train", "validation", "test"} and dataset["valence"][0] is None
    assert len(set(zip(dataset["artist"], dataset["split"], strict=True))) == 20


def test_a_table_in_a_folder_of_the_folder(folder):
    assert len(panda4q.read(folder.parent)) == 2


def test_a_broken_table(folder):
    (folder / "metadata.csv").write_text("song_id,artist\nA1,Ann\n")
    with pytest.raises(DataError, match="no column quadrant, tags"):
        panda4q.read(folder)
    rows = "A1,Ann,One,Q1,high,5.8,Happy,Pop,train\n,Ben,Two,Q3,3.6,4.1,Gloomy,Folk,test\n"
    (folder / "metadata.csv").write_text(HEADER + rows)
    with pytest.raises(DataError, match="2 rows .*row 1: valence is 'high', not a number, row 2: no song_id"):
        panda4q.read(folder)
    (folder / "metadata.csv").write_text(
        HEADER + "A1,Ann,One,Q5,6.9,5.8,Happy,Pop,\nB2,Ben,Two,Q3,,4.1,Sad,Folk,test\n"
    )
    with pytest.raises(DataError, match="splits other than .*A1.*without the other .B2.*quadrants .*A1"):
        panda4q.read(folder, check="off")


def test_a_miniature_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(panda4q, "CLIPS", 4)
    dataset = read_dataset("4q", miniatures.panda4q(tmp_path))
    assert dataset["quadrant"][:] == ["Q1", "Q2", "Q3", "Q4"] and dataset["moods"][3] == ["Calm/Peaceful"]
    assert dataset["audio"][2] == str(tmp_path / "Q3" / "MT3.mp3") and dataset["valence"][0] is None
    assert dataset["split"][1] == dataset["split"][2]  # one artist
    annotations = tmp_path / "panda_dataset_taffc_annotations.csv"
    annotations.write_text(annotations.read_text().replace("MT2,Q2", "MT2,Q1"))
    with pytest.raises(DataError, match="differ about the quadrants of MT2"):
        panda4q.read(tmp_path)
    with pytest.raises(DataError, match="neither panda_dataset_taffc_metadata.csv nor metadata.csv"):
        panda4q.read(tmp_path / "Q1")


def test_the_real_data(shared):
    dataset = read_dataset("4q", shared / "data" / "4q", check="off")
    assert len(dataset) == 748
    assert Counter(dataset["split"]) == {"train": 540, "validation": 88, "test": 120}
    assert Counter(dataset["quadrant"]) == dict.fromkeys(("Q1", "Q2", "Q3", "Q4"), 187)
    pairs = set(zip(dataset["artist"], dataset["split"], strict=True))
    assert not {a for a, split in pairs if split == "test"} & {a for a, split in pairs if split != "test"}
