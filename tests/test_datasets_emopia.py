"""EMOPIA: MIDI that is rendered, quadrants, one performance in one split."""

import csv
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from m2e.errors import DataError

pytest.importorskip("pretty_midi")

import miniatures

from m2e.datasets import emopia, midi_audio  # noqa: E402


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(emopia, "CLIPS", 4)
    return miniatures.emopia(tmp_path / "emopia")


@pytest.fixture
def font(tmp_path, monkeypatch):
    """A sound font that plays everything as one tone, and counts."""
    played = []

    def render(midi, sound):
        played.append(midi.get_end_time())
        return 2 * np.sin(np.arange(midi_audio.RATE) * 0.1).astype(np.float32)

    monkeypatch.setattr(midi_audio, "render", render)
    (tmp_path / "tone.sf2").touch()
    return tmp_path / "tone.sf2", played


def test_a_miniature_archive(folder, font):
    sound, played = font
    dataset = emopia.read(folder, sound=sound)
    assert dataset["quadrant"][:] == ["Q1", "Q1", "Q3", "Q4"]
    assert dataset["artist"][:] == ["youtube:0vLPYiPN7qY"] * 2 + ["youtube:_BK2o77sTc0", "youtube:new"]
    assert dataset["split"][:3] == ["train", "train", "test"] and dataset["split"][3] in ("train", "validation", "test")
    assert dataset["audio"][0] == str(folder / "rendered-tone" / "Q1_0vLPYiPN7qY_0.flac")
    assert dataset["duration"][:] == pytest.approx([1.0] * 4) and len(played) == 4


def test_what_is_rendered_is_not_rendered_again(folder, font):
    sound, played = font
    emopia.read(folder, sound=sound)
    (folder / "rendered-tone" / "Q4_new_1.flac").unlink()
    emopia.read(folder, sound=sound)
    assert len(played) == 5 and not list((folder / "rendered-tone").glob("*.partial"))


def test_a_few_clips_of_each_quadrant(folder, font):
    sound, played = font
    dataset = emopia.read(folder, sound=sound, per_quadrant=1)
    assert dataset["quadrant"][:] == ["Q1", "Q3", "Q4"] and dataset["id"][0] == "Q1_0vLPYiPN7qY_0"
    assert len(played) == 3


def test_quadrants_can_stand_for_places(folder, font):
    places = {"Q1": [7, 6], "Q2": [3, 6], "Q3": [3, 4], "Q4": [7, 4]}
    for track in emopia.read(folder, font[0], places=places):
        assert [track["valence"], track["arousal"]] == places[track["quadrant"]]
    assert set(emopia.read(folder, font[0])["valence"]) == {None}
    with pytest.raises(DataError, match="places lack Q[1-4]: give valence and arousal of Q1 to Q4"):
        emopia.read(folder, font[0], places={})


def test_broken_files_are_named_at_once(folder, font):
    for name in ("Q1_0vLPYiPN7qY_0", "Q4_new_1"):
        (folder / "midis" / f"{name}.mid").write_bytes(b"MThd nonsense")
    with pytest.raises(DataError, match=r"2 files that cannot be rendered: Q1_0vLPYiPN7qY_0.mid \(.*Q4_new_1"):
        emopia.read(folder, sound=font[0])
    with pytest.raises(DataError, match="no sound font absent.sf2"):
        emopia.read(folder, sound="absent.sf2")


def test_labels_that_contradict_the_names(folder):
    path = folder / "label.csv"
    path.write_text(path.read_text().replace("Q4_new_1,4", "Q4_new_1,2"))
    with pytest.raises(DataError, match="differ about Q4_new_1"):
        emopia.read(folder, check="off")


def test_a_real_sound_font(folder, tmp_path):
    if not Path(emopia.SOUND_FONT).is_file():
        pytest.skip("the sound font FluidR3_GM.sf2 is not installed")
    dataset = emopia.read(folder, rendered=tmp_path / "audio", workers=1)
    assert all(0.7 < seconds < 10 for seconds in dataset["duration"])


def test_the_real_clips(shared, tmp_path):
    folder = shared / "data" / "emopia"
    zipfile.ZipFile(folder / "midis.zip").extractall(tmp_path)
    known = {}
    for split, short in emopia.LISTS.items():
        (tmp_path / f"split_{short}.csv").write_bytes((folder / f"split_{short}.csv").read_bytes())
        with open(folder / f"split_{short}.csv") as file:
            known |= {row["fname"]: split for row in csv.DictReader(file)}
    dataset = emopia.read(tmp_path, check="off")
    assert len(dataset) == emopia.CLIPS
    assert all(row["quadrant"] == row["id"][:2] for row in dataset)
    assert {row["id"]: row["split"] for row in dataset if row["id"] in known} == known
    splits = {(row["artist"], row["split"]) for row in dataset}
    assert max(Counter(artist for artist, _ in splits).values()) == 1
