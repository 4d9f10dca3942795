"""MERGE: both archives, the official splits, the range of its values."""

import miniatures
import pytest

from m2e.datasets import merge, read_dataset
from m2e.errors import DataError
from m2e.evaluation.data import labels_of


@pytest.mark.parametrize(("kind", "inside"), [("balanced", "."), ("complete", "audio")])
def test_a_miniature_archive(tmp_path, monkeypatch, kind, inside):
    monkeypatch.setitem(merge.CLIPS, kind, 4)
    dataset = read_dataset("merge", miniatures.merge(tmp_path / "MERGE", kind, inside).parent)
    assert dataset["quadrant"][:] == ["Q1", "Q2", "Q3", "Q4"] and dataset["artist"][2] == "Ben"
    assert dataset["moods"][:] == [["Happy", "Fun"], ["Harsh"], ["Sad", "Calm/Peaceful"], None]
    assert dataset["valence"][:] == [8, 1, 2, 5] and dataset["arousal"][:] == [7, 9, 3, 3]
    assert dataset["split"][:] == ["train", "train", "validation", "test"]
    assert dataset["audio"][1] == str(tmp_path / "MERGE" / inside / "Q2" / "A2.mp3")
    assert dataset["duration"][0] < 1  # of the clip; the table has that of the song


def test_the_other_split_and_another_range(tmp_path):
    miniatures.merge(tmp_path)
    dataset = read_dataset("merge", tmp_path, check="off", split="40_30_30", va_range=[-1, 1])
    assert dataset["split"][:] == ["train", "validation", "test", "test"]
    assert dataset["valence"][0] == 5 + 4 * 0.875
    with pytest.raises(DataError, match="no split '80_10_10': choose 70_15_15 or 40_30_30"):
        read_dataset("merge", tmp_path, split="80_10_10")
    with pytest.raises(DataError, match=r"beyond 1 to 9.*MT1"):
        read_dataset("merge", tmp_path, check="off", va_range=[0, 0.5])


def test_moods_are_those_of_4q(tmp_path):
    dataset = read_dataset("merge", miniatures.merge(tmp_path), check="off")
    labels, ignored = labels_of(dataset, ["calm", "fun", "happy", "heavy", "relaxing", "sad"])
    assert labels.moods[:3].tolist() == [[0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 1, 1]]
    assert not ignored


def test_faults(tmp_path):
    with pytest.raises(DataError, match="no merge_audio_balanced_metadata.csv or merge_audio_complete_metadata.csv"):
        read_dataset("merge", tmp_path)
    folder = miniatures.merge(tmp_path / "one")
    with pytest.raises(DataError, match="labels of 4 tracks, not 3232"):
        read_dataset("merge", folder)
    (folder / "Q3" / "MT3.mp3").unlink()
    assert len(read_dataset("merge", folder, check="partial")) == 3
    miniatures.merge(tmp_path / "two", "complete")
    with pytest.raises(DataError, match="both archives: give the folder"):
        read_dataset("merge", tmp_path)
    values = folder / "merge_audio_balanced_av_values.csv"
    values.write_text(values.read_text().replace("A4,0.25,0.5", "A5,0.25,0.5"))
    with pytest.raises(DataError, match="songs that are not in merge_audio_balanced_av_values.csv: A4"):
        read_dataset("merge", folder)
    values.write_text(values.read_text().replace("A5,0.25,0.5", "A4,0.25,high"))
    with pytest.raises(DataError, match="'high' as Valence"):
        read_dataset("merge", folder)
    (folder / "tvt_dataframes" / "tvt_70_15_15" / "tvt_70_15_15_test_audio_balanced.csv").unlink()
    with pytest.raises(DataError, match="no tvt_70_15_15_test_audio_balanced.csv"):
        read_dataset("merge", folder)
