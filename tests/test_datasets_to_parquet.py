"""Data sets as Parquet."""

import sys
from pathlib import Path

import miniatures
import pytest
from datasets import Audio, load_dataset

from m2e.datasets import read_dataset, to_parquet
from m2e.datasets.schema import FEATURES
from m2e.errors import DataError


@pytest.fixture
def dataset(tmp_path):
    return read_dataset("deam", miniatures.deam(tmp_path / "deam"), check="partial")


@pytest.fixture
def load(tmp_path, monkeypatch):
    return lambda out: load_dataset(str(out), cache_dir=str(tmp_path / "cache"))


def rows(parts):
    return {row["id"]: row for part in parts.values() for row in part}


def test_paths(dataset, tmp_path, load):
    written = to_parquet.write_parquet(dataset, tmp_path / "out")
    assert {path.name.split("-")[0] for path in written} == set(dataset["split"])
    loaded = load(tmp_path / "out")
    assert loaded["train"].features == FEATURES and set(loaded["train"]["split"]) == {"train"}
    assert rows(loaded) == {row["id"]: row for row in dataset}
    with pytest.raises(DataError, match="holds Parquet files already"):
        to_parquet.write_parquet(dataset, tmp_path / "out")


def test_embedded_audio_survives_without_the_archive(dataset, tmp_path, load, monkeypatch):
    monkeypatch.setattr(to_parquet, "SHARD_BYTES", 10_000)
    written = to_parquet.write_parquet(dataset, tmp_path / "out", "embed")
    assert len(written) > len(set(dataset["split"])) and not list((tmp_path / "out").glob("*.partial"))
    content = {row["id"]: Path(row["audio"]).read_bytes() for row in dataset}
    (tmp_path / "deam").rename(tmp_path / "gone")
    loaded = load(tmp_path / "out")
    assert loaded["train"].features["audio"] == Audio(decode=False)
    assert {song: row["audio"]["bytes"] for song, row in rows(loaded).items()} == content
    again = read_dataset("hub", tmp_path / "out", cache_dir=tmp_path / "cache")
    assert again.column_names == list(FEATURES) and again.features["audio"] == Audio(decode=False)
    assert rows({"all": again}) == rows(loaded)
    assert next(iter(again))["audio"]["path"].endswith(".mp3")
    assert to_parquet.write_parquet(again, tmp_path / "copy", "embed")


def test_the_command(tmp_path, capsys, monkeypatch):
    folder = str(miniatures.deam(tmp_path / "deam"))
    command = ["to_parquet", "deam", folder, str(tmp_path / "out"), "--option", "labels=published"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match="labels of 13 tracks, not 1802"):
        to_parquet.main()
    monkeypatch.setattr(sys, "argv", [*command, "--option", "check=partial"])
    to_parquet.main()
    assert "train-00000-of-00001.parquet" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*command, "--option", "check"])
    with pytest.raises(SystemExit, match="check is not NAME=VALUE"):
        to_parquet.main()
