"""Rows of features in files: the same numbers back, and none lost or doubled by a kill at any file operation."""

import os

import numpy as np
import pyarrow as pa
import pytest
import torch

from m2e.errors import DataError
from m2e.features import store as feature_store
from m2e.features.store import Shards, ShardWriter, embeddings_row, harmony_row, read_features, write_track
from modeling_m2e import ChordSegment, Key
from modeling_m2e.harmony_statistics_m2e import CELL_NUMBERS
from modeling_m2e.processing_m2e import TrackFeatures
from modeling_m2e.windows_m2e import Window

TRACKS = [f"t{i}" for i in range(7)]
CHORDS = [ChordSegment(0.0, 1.5, "C:maj"), ChordSegment(1.5, 5.000045, "N")]
KEY = Key("C", "major", 0.8125)
STATISTICS = np.arange(2 * CELL_NUMBERS, dtype=np.float32).reshape(2, -1)


def track(number: int, windows: int = 2) -> TrackFeatures:
    spans = [Window(3.0 * i, 3.0 * i + 3, 1.0 / (i + 1)) for i in range(windows)]
    embeddings = torch.arange(windows * 4).reshape(windows, 4) / 8 + number
    return TrackFeatures(f"{number}.wav", 3.0 * windows, spans, embeddings, chords=None, key=None)


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(feature_store, "SHARD_TRACKS", 3)


def fill(folder, tracks=TRACKS, kind="embeddings", writer="rank00000", finish=True):
    """Goes on with a folder until it holds all tracks."""
    store = ShardWriter(Shards(folder), tracks, {"kind": kind}, writer)
    for name in [name for name in tracks if name not in store.shards]:
        number = int(name[1:])
        harmony = CHORDS[: number % 3], KEY, STATISTICS
        row = embeddings_row(track(number)) if kind == "embeddings" else harmony_row(*harmony)
        write_track(folder, name, 100 + number, row, f"{writer}-1")
        store.adopt(name)
    if finish:
        store.finish()
    store.release()


def content(folder):
    """{file: bytes} of everything but locks."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_what_is_read_is_what_was_written(tmp_path, small_shards):
    fill(tmp_path / "embeddings-0")
    fill(tmp_path / "harmony-0", kind="harmony")
    features = read_features(tmp_path)
    assert list(features) == TRACKS and len(features) == 7 and "t9" not in features
    for number, name in enumerate(TRACKS):
        read, made = features[name], track(number)
        assert (read.path, read.duration, read.windows) == (name, made.duration, made.windows)
        assert read.embeddings.dtype == torch.float32 and torch.equal(read.embeddings, made.embeddings)
        assert (read.chords, read.key) == (CHORDS[: number % 3], KEY) and np.array_equal(read.statistics, STATISTICS)
    with pytest.raises(KeyError):
        features["t9"]
    without = read_features(tmp_path, with_harmony=False)["t1"]
    assert without.chords is None and without.key is None and without.statistics is None


def test_no_key_and_numbers_beyond_half_precision():
    assert harmony_row([], None).to_pylist() == [{"chords": [], "key": None, "statistics": None}]
    loud = track(0)
    loud.embeddings[1, 2] = 1e6
    with pytest.raises(DataError, match="0.wav: .* half precision"):
        embeddings_row(loud)


def test_shards_hold_what_fits_and_nothing_else_remains(tmp_path, small_shards):
    fill(tmp_path / "embeddings-0", finish=False)
    files = content(tmp_path / "embeddings-0")
    shards = {name for name in files if name.startswith("shard-")}
    assert len(shards) == 2 and sum(name.startswith("tracks/") for name in files) == 1
    fill(tmp_path / "embeddings-0")
    done = content(tmp_path / "embeddings-0")
    assert {name: done[name] for name in shards} == {name: files[name] for name in shards}  # never changed
    assert len(done) == 4 and "settings.json" in done


class Killed(BaseException):
    """Nothing between a file operation and the end of the process is run."""


def test_a_kill_at_every_file_operation(tmp_path, small_shards, monkeypatch):
    """The folder in the end is the same, to the byte, as that of a run which nothing stopped."""
    fill(tmp_path / "whole")
    whole = content(tmp_path / "whole")
    countdown = 0

    def deadly(operation):
        def run(*args, **kwargs):
            nonlocal countdown
            countdown -= 1
            if countdown == 0:
                raise Killed
            return operation(*args, **kwargs)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", deadly(os.replace))
        patch.setattr(os, "fsync", deadly(os.fsync))
        patch.setattr(feature_store.Path, "unlink", deadly(feature_store.Path.unlink))
        kills = 0
        for moment in range(1, 1000):
            folder = tmp_path / str(moment)
            countdown = moment
            try:
                fill(folder)
                break
            except Killed:
                kills += 1
            countdown = 0
            for name in (stopped := Shards(folder)):  # what is there can be read meanwhile
                assert stopped.row(name)["audio_bytes"].as_py() == 100 + int(name[1:])
            fill(folder)
            assert content(folder) == whole
    assert kills > 25


def test_a_track_that_the_power_cut_short_is_computed_again(tmp_path, small_shards):
    folder = tmp_path / "embeddings-0"
    fill(folder)
    whole = content(folder)
    for path in folder.glob("shard-*"):
        path.unlink()
    fill(folder, finish=False)
    single = next(folder.glob("tracks/*.arrow"))
    data = single.read_bytes()
    for size in range(0, len(data) - 8, 40):  # the last 8 bytes only say that nothing follows
        single.write_bytes(data[:size])
        assert len(Shards(folder)) == 6
    fill(folder)
    assert content(folder) == whole


def test_a_damaged_shard_is_named(tmp_path, small_shards):
    folder = tmp_path / "embeddings-0"
    fill(folder)
    shard = next(folder.glob("shard-*"))
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(DataError, match=shard.name):
        read_features(tmp_path)


def test_folders_of_several_machines_merge_by_copying(tmp_path, small_shards):
    fill(tmp_path / "one" / "embeddings-0", TRACKS[0::2], writer="rank00000")
    fill(tmp_path / "two" / "embeddings-0", TRACKS[1::2], writer="rank00001")
    for name, data in content(tmp_path / "two" / "embeddings-0").items():
        (tmp_path / "one" / "embeddings-0" / name).write_bytes(data)
    features = read_features(tmp_path / "one")
    assert list(features) == TRACKS
    assert all(torch.equal(features[name].embeddings, track(i).embeddings) for i, name in enumerate(TRACKS))


def test_what_another_rank_has_begun_is_left_to_it(tmp_path, small_shards):
    folder = tmp_path / "embeddings-0"
    fill(folder, TRACKS[0::2], writer="rank00000", finish=False)
    (folder / "tracks" / "rank00000-17.partial").write_bytes(b"in work")
    fill(folder, TRACKS[1::2], writer="rank00001")
    assert (folder / "tracks" / "rank00000-17.partial").exists() and len(list(folder.glob("tracks/*.arrow"))) == 1
    fill(folder, TRACKS[0::2], writer="rank00000")
    assert not list(folder.glob("tracks/*")) and sorted(Shards(folder)) == TRACKS


def test_one_writer_at_a_time(tmp_path, small_shards):
    folder = tmp_path / "embeddings-0"
    store = ShardWriter(Shards(folder), TRACKS, {}, "rank00000")
    (folder / "tracks" / "rank00000-17.partial").write_bytes(b"in work")
    with pytest.raises(DataError, match=f"Another command is writing to {tmp_path}: wait for it"):
        ShardWriter(Shards(folder), TRACKS, {}, "rank00000")
    assert (folder / "tracks" / "rank00000-17.partial").exists()
    ShardWriter(Shards(folder), [], {}, "rank00001").release()  # ranks share a folder
    store.release()
    fill(folder)
    assert sorted(Shards(folder)) == TRACKS


def test_a_writer_sees_what_was_packed_before_it_had_the_lock(tmp_path, small_shards):
    folder = tmp_path / "embeddings-0"
    fill(folder, finish=False)
    early = Shards(folder)
    fill(folder)
    before = content(folder)
    store = ShardWriter(early, TRACKS, {"kind": "embeddings"}, "rank00000")
    store.finish()
    store.release()
    assert content(folder) == before and {path.name for path in early.files} == {p.name for p in folder.glob("shard*")}


def test_every_shard_is_mapped_once(tmp_path, small_shards, monkeypatch):
    fill(tmp_path / "embeddings-0")
    mapped, shards = [], Shards(tmp_path / "embeddings-0")
    monkeypatch.setattr(feature_store, "_mapped", lambda path: mapped.append(path) or feature_store._read(path))
    fill(tmp_path / "embeddings-0", [f"t{i}" for i in range(8)])
    mapped.clear()
    shards.refresh()
    assert len(mapped) == 1 and len(shards) == 8


def test_ids_that_no_file_name_can_hold(tmp_path):
    odd = ["../../up", "a/b", "", "x" * 500, "\N{SNOWMAN}", "a\nb"]
    folder = tmp_path / "embeddings-0"
    store = ShardWriter(Shards(folder), odd, {}, "w")
    for name in odd:
        write_track(folder, name, 1, embeddings_row(track(0)), "w-1")
        store.adopt(name)
    assert sorted(Shards(folder)) == sorted(odd) and list(tmp_path.iterdir()) == [folder]
    store.finish()
    assert sorted(read_features(tmp_path)) == sorted(odd)


def test_several_kinds_to_choose_from(tmp_path):
    with pytest.raises(DataError, match="holds no such features"):
        read_features(tmp_path)
    fill(tmp_path / "embeddings-aa")
    assert read_features(tmp_path)["t0"].chords is None
    fill(tmp_path / "embeddings-bb", TRACKS[:2])
    with pytest.raises(DataError, match="several embeddings: choose one of aa, bb"):
        read_features(tmp_path)
    assert len(read_features(tmp_path, embeddings="bb")) == 2
    with pytest.raises(DataError, match="no harmony cc"):
        read_features(tmp_path, embeddings="bb", harmony="cc")


def test_as_a_dataset(tmp_path, small_shards):
    fill(tmp_path / "embeddings-0")
    view = read_features(tmp_path).dataset()
    assert view.column_names == ["id", "audio_bytes", "duration", "windows", "embeddings"]
    assert len(view.cache_files) == 3  # mapped into memory, not read
    fill(tmp_path / "harmony-0", TRACKS[1:], kind="harmony", finish=False)
    view = read_features(tmp_path).dataset()
    assert sorted(view["id"]) == TRACKS[1:]
    row = view[view["id"].index("t2")]
    np.testing.assert_array_equal(row["embeddings"], track(2).embeddings)
    assert [ChordSegment(**chord) for chord in row["chords"]] == CHORDS and Key(**row["key"]) == KEY
    assert view.with_format("torch")[0]["embeddings"].shape == (2, 4)
    fill(tmp_path / "none" / "embeddings-0", [])
    with pytest.raises(DataError, match="no track with all"):
        read_features(tmp_path / "none").dataset()


def test_a_track_is_held_once_though_two_files_have_it(tmp_path, small_shards):
    folder = tmp_path / "embeddings-0"
    fill(folder)
    write_track(folder, "t1", 101, embeddings_row(track(1)), "other")
    assert len(Shards(folder)) == 7 and len(read_features(tmp_path).dataset()) == 7
    assert isinstance(Shards(folder).row("t1")["embeddings"], pa.ListScalar)
    fill(folder)
    assert not list(folder.glob("tracks/*"))
