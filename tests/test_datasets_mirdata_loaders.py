"""mirdata as a source: its own loader of MTG-Jamendo mood/theme, and loaders that name their labels differently."""

import builtins
import json
from types import SimpleNamespace

import miniatures
import pytest

from m2e.datasets import mirdata_loaders, read_dataset
from m2e.errors import DataError

RATED = {"artist": None, "moods": None, "valence": "v", "arousal": "a", "quadrant": "q", "va_range": [-1, 1]}


class Loader:
    """A data set with ratings. parts: of its tracks; None: it has no official splits."""

    def __init__(self, folder, parts):
        self.folder, self.parts = folder, parts

    def load_tracks(self):
        place = miniatures.sound(self.folder / "x.wav")
        ratings = {"1": (-1, 1, "Q2"), "2": (0, 0.5, "Q1"), "3": (None, None, None)}
        return {
            song: SimpleNamespace(audio_path=str(place), v=v, a=a, q=q, words="Calm; Warm", band="Ann")
            for song, (v, a, q) in ratings.items()
        }

    def get_track_splits(self):
        if self.parts is None:
            raise NotImplementedError
        return self.parts


@pytest.fixture
def loader(tmp_path, monkeypatch):
    made = Loader(tmp_path, {"train": ["1"], "test": ["2"]})
    monkeypatch.setattr(mirdata_loaders, "_loader", lambda dataset, folder, version: made)
    return made


def test_attributes_become_labels(tmp_path, loader):
    rows = read_dataset("mirdata", tmp_path, dataset="rated", **RATED).to_list()
    assert [(row["id"], row["split"], row["quadrant"]) for row in rows] == [("1", "train", "Q2"), ("2", "test", "Q1")]
    assert [(row["valence"], row["arousal"]) for row in rows] == [(1, 9), (5, 7)] and rows[0]["moods"] is None
    assert rows[0]["duration"] == pytest.approx(0.6, abs=0.01)


def test_without_official_splits_artists_stay_together(tmp_path, loader):
    loader.parts = None
    rows = read_dataset("mirdata", tmp_path, dataset="rated", moods="words", artist="band").to_list()
    assert len(rows) == 3 and len({row["split"] for row in rows}) == 1 and rows[2]["moods"] == ["Calm", "Warm"]


def test_faults(tmp_path, loader, monkeypatch):
    with pytest.raises(DataError, match="rated lack a label .*tags.*: name another"):
        read_dataset("mirdata", tmp_path, dataset="rated")
    loader.parts = {"train": ["1"], "dev": ["2"]}
    with pytest.raises(DataError, match="splits other than train, validation, test .2"):
        read_dataset("mirdata", tmp_path, dataset="rated", **RATED)
    monkeypatch.undo()
    real = builtins.__import__

    def without(name, *rest):
        if name == "mirdata":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r'needs mirdata: install it with pip install "m2e\[mirdata\]"'):
        read_dataset("mirdata", tmp_path)


def test_mirdatas_own_loader(tmp_path, monkeypatch):
    mirdata = pytest.importorskip("mirdata")
    with pytest.raises(DataError, match="cannot read nothing .*Invalid dataset nothing"):
        read_dataset("mirdata", tmp_path, dataset="nothing")
    with pytest.raises(DataError, match="index must be downloaded"):
        read_dataset("mirdata", tmp_path)

    header = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
    rows = {
        song: f"{song}\tartist_{number}\talbum_1\t0{number}/{number}.mp3\t212.7\tmood/theme---calm\tmood/theme---film\n"
        for number, song in enumerate(["track_1", "track_2", "track_3", "track_4"])
    }
    data = tmp_path / "data"
    for number in range(5):
        lists = data / "splits" / f"split-{number}"
        lists.mkdir(parents=True)
        turned = list(rows)[:3] if number == 0 else list(rows)[::-1][:3]
        for part, song in zip(("train", "validation", "test"), turned, strict=True):
            (lists / f"autotagging_moodtheme-{part}.tsv").write_text(header + rows[song])
    (data / "autotagging_moodtheme.tsv").write_text(header + "".join(rows.values()))
    files = {song: {"audio": [f"audios/0{number}/{number}.mp3", ""]} for number, song in enumerate(rows)}
    for entry in files.values():
        miniatures.sound(tmp_path / entry["audio"][0])
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"version": "1.0", "tracks": files}))
    monkeypatch.setattr(mirdata.core.Index, "get_path", lambda self: str(index))

    first, second, third = read_dataset("mirdata", tmp_path).to_list()
    assert first["moods"] == ["calm", "film"] and first["artist"] == "artist_0" and first["split"] == "train"
    assert second["split"] == "validation" and third["audio"].endswith("audios/02/2.mp3") and third["duration"] < 1
    other = read_dataset("mirdata", tmp_path, split=1)
    assert dict(zip(other["id"], other["split"], strict=True))["track_4"] == "train"
