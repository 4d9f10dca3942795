"""MTG-Jamendo's mood and theme subset."""

from collections import Counter

import miniatures
import numpy as np
import pytest

from m2e.datasets import jamendo
from m2e.errors import DataError
from modeling_m2e.configuration_m2e import JAMENDO_MOODS


@pytest.mark.parametrize("low", [False, True])
def test_a_miniature_archive(tmp_path, monkeypatch, low):
    monkeypatch.setattr(jamendo, "TRACKS", 3)
    monkeypatch.setattr(jamendo, "JAMENDO_MOODS", ("calm", "fun", "happy", "melodic"))
    dataset = jamendo.read(miniatures.jamendo(tmp_path, low))
    suffix = ".low.mp3" if low else ".mp3"
    assert dataset["audio"][:] == [
        str(tmp_path / "raw_30s" / "audio" / name) + suffix for name in ("48/948", "46/3346", "24/3524")
    ]
    assert dataset["split"][:] == ["train", "validation", "test"]
    assert dataset["moods"][:] == [["happy", "fun"], ["calm"], ["melodic"]]
    assert dataset["artist"][:] == ["Both", "artist_000517", "artist_000530"]
    assert dataset["duration"][0] == pytest.approx(212.7) and dataset["valence"][0] is None


def test_audio_may_lie_elsewhere(tmp_path):
    miniatures.jamendo(tmp_path / "all")
    (tmp_path / "all" / "raw_30s").rename(tmp_path / "disk")
    assert len(jamendo.read(tmp_path / "all", audio=tmp_path / "disk", check="partial")) == 3
    with pytest.raises(DataError, match=r"\[0-9\]\[0-9\]"):
        jamendo.read(tmp_path / "all", check="partial")


def test_an_incomplete_copy_is_refused(tmp_path):
    with pytest.raises(DataError, match="4 tags, not the 56 of split 0"):
        jamendo.read(miniatures.jamendo(tmp_path))
    (tmp_path / "raw_30s" / "audio" / "48" / "948.mp3").unlink()
    assert jamendo.read(tmp_path, check="partial")["split"][:] == ["validation", "test"]
    with pytest.raises(DataError, match="autotagging_moodtheme-train.tsv"):
        jamendo.read(tmp_path / "raw_30s")


def test_the_official_split(shared):
    folder = shared / "data" / "annotations" / "mtg_jamendo"
    dataset = jamendo.read(folder, check="off")
    splits = np.array(dataset["split"])
    assert Counter(splits.tolist()) == {"train": 9949, "validation": 3802, "test": 4231}
    assert len(dataset) == jamendo.TRACKS
    moods = dataset["moods"][:]
    assert sorted({mood for track in moods for mood in track}) == list(JAMENDO_MOODS)
    labels = np.array([[tag in track for tag in JAMENDO_MOODS] for track in moods])
    truth = np.load(folder / "mediaeval" / "groundtruth.npy", allow_pickle=False)
    np.testing.assert_array_equal(labels[splits == "test"], truth.astype(bool))
    artists = {
        split: {a for a, s in zip(dataset["artist"], splits, strict=True) if s == split} for split in set(splits)
    }
    assert not artists["train"] & (artists["validation"] | artists["test"])
