"""`m2e predict --format parquet` and `m2e merge`: shards that appear whole, resumed, merged, the same as JSON."""

import json
import os
from pathlib import Path

import pytest
from fakemodel import FakeModel, lines, run, tone
from stores import memory, s3_server  # noqa: F401
from typer.testing import CliRunner

from m2e import cli

pyarrow = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402

from m2e.batch.schema import RECORD_SCHEMA, to_table  # noqa: E402
from modeling_m2e.chord_labels_m2e import ChordSegment  # noqa: E402
from modeling_m2e.record_m2e import Highlight, Mood, MusicEmotion  # noqa: E402

TRACKS, BAD = 30, ("05.wav", "11.wav", "23.wav")


@pytest.fixture
def models(monkeypatch):
    loaded = []

    def load_model(model, device, window, batch_size, harmony, key_segments, *limits, embedding=False, tempo, **_):
        loaded.append(FakeModel(harmony=harmony, key_segments=key_segments, limits=limits, tempo=tempo))
        return loaded[-1]

    monkeypatch.setattr(cli.predict, "load_model", load_model)
    return loaded


@pytest.fixture
def music(tmp_path, monkeypatch):
    """The current folder: many clips of different lengths, three of them damaged."""
    monkeypatch.chdir(tmp_path)
    for number in range(TRACKS):
        tone(f"music/{number:02d}.wav", 0.5 + number / 100)
    for name in BAD:
        Path("music", name).write_bytes(b"no audio")
    return tmp_path


def merge(*arguments, status=0):
    result = CliRunner().invoke(cli.app, ["merge", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.stderr


def rows(path):
    """{path: row} of a file or folder; every track once."""
    table = pq.read_table(path)
    found = {row["path"]: row for row in table.to_pylist()}
    assert len(found) == len(table)
    return found


def as_json(row):
    return json.loads(json.dumps(cli.merge.record(row)))


def seen(models):
    return [path for model in models for path in model.seen]


def test_shards_together_hold_every_track_once_and_equal_the_json(models, music):
    run("music", "-o", "all.jsonl", status=1)
    for index in (1, 2, 3, 4):
        arguments = ["predict", "music", "--format", "parquet", "-o", "out", "--shard", f"{index}/4"]
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exit_code == (0 if " 0 of them failed." in result.stderr else 1)
        assert f"tracks were predicted into out/shard-0000{index}-of-00004.parquet" in result.stderr
    assert sorted(os.listdir("out")) == [f"shard-0000{index}-of-00004.parquet" for index in (1, 2, 3, 4)]
    expected = {line["path"]: line for line in lines("all.jsonl")}
    assert len(expected) == TRACKS and sum(line["error"] is not None for line in expected.values()) == len(BAD)
    assert {path: as_json(row) for path, row in rows("out").items()} == expected
    assert "30 tracks of 4 files are in out.parquet, 3 of them failed." in merge("out")
    assert rows("out.parquet") == rows("out") and pq.read_schema("out.parquet") == RECORD_SCHEMA
    merge("out", "-o", "again.jsonl")
    assert {line["path"]: line for line in lines("again.jsonl")} == expected
    merge("out", "-o", "out.csv")
    assert Path("out.csv").read_text().count("\n") == 1 + TRACKS


def test_one_file_and_workers_give_the_same(models, music, monkeypatch):
    run("music", "-o", "one.parquet", status=1)
    assert sorted(os.listdir()) == ["music", "one.parquet"]
    run("music", "--format", "parquet", "-o", "whole", status=1)
    assert os.listdir("whole") == ["shard-00001-of-00001.parquet"]
    assert rows("whole") == rows("one.parquet") and len(rows("whole")) == TRACKS


def test_a_shard_is_resumed_and_failed_tracks_are_tried_again(models, music):
    stop = {"at": 12}

    class Stopping(FakeModel):
        def __call__(self, path):
            if len(self.seen) == stop["at"]:
                raise KeyboardInterrupt
            return super().__call__(path)

    models_before = cli.predict.load_model
    cli.predict.load_model = lambda *_, **__: models.append(Stopping(harmony=True, key_segments=False)) or models[-1]
    try:
        result = run("music", "-o", "out.parquet", status=130)
    finally:
        cli.predict.load_model = models_before
    assert "interrupted. Run the same command with --resume to go on." in result.stderr
    assert not os.path.exists("out.parquet") and os.path.isdir(".out.parquet.blocks")
    assert "holds records of out.parquet: add --resume" in run("music", "-o", "out.parquet", status=2).stderr
    done = len(seen(models))
    result = run("music", "-o", "out.parquet", "--resume", status=1)
    assert "10 tracks are already in ./out.parquet." in result.stderr  # of 12, two had failed
    assert len(seen(models)) == done + TRACKS - 10 and sorted(os.listdir()) == ["music", "out.parquet"]
    everything = rows("out.parquet")
    assert len(everything) == TRACKS
    tone("music/05.wav", 0.7)
    tone("music/new.wav", 0.7)
    run("music", "-o", "out.parquet", "--resume", status=1)
    assert seen(models)[-4:] == ["music/05.wav", "music/11.wav", "music/23.wav", "music/new.wav"]
    again = rows("out.parquet")
    assert len(again) == TRACKS + 1 and again["music/05.wav"]["error"] is None
    assert again["music/00.wav"] == everything["music/00.wav"]


def test_nothing_to_do_loads_no_model_and_an_empty_shard_is_a_file(models, music):
    run("music/00.wav", "-o", "out.parquet")
    run("music/00.wav", "-o", "out.parquet", "--resume")
    assert len(models) == 1
    empty = [index for index in (1, 2) if not rows_of_shard("music/00.wav", index)]
    assert len(empty) == 1 and len(models) == 2
    assert "1 tracks of 2 files are in split.parquet." in merge("split")


def rows_of_shard(track, index):
    run(track, "--format", "parquet", "-o", "split", "--shard", f"{index}/2")
    return rows(f"split/shard-0000{index}-of-00002.parquet")


def test_the_tempo_is_a_column_of_csv_if_it_was_asked_for(models, music):
    tone("music/30.wav", 1.5)
    names = ["music/00.wav", "music/30.wav"]
    for index, arguments in enumerate((["--tempo"], [])):
        run(*names, "--format", "parquet", "-o", f"out{index}", *arguments)
        merge(f"out{index}", "-o", f"{index}.csv")
    assert [rows("out0")[name]["tempo"] for name in names] == [None, 150.0]
    header, first, second = Path("0.csv").read_text().splitlines()
    assert header.endswith(",tempo") and first.endswith(",") and second.endswith(",150.0")
    assert "tempo" not in Path("1.csv").read_text()


def test_wrong_requests_are_sentences(models, music):
    run("music/00.wav", "--format", "parquet", "-o", "out", "--shard", "1/2")
    Path("list.csv").write_text("id,file\n1,music/00.wav\n")
    wrong = [
        (["--format", "parquet"], "Parquet needs a place: add -o DIR or -o FILE.parquet."),
        (["-o", "x.parquet", "--shard", "1/2"], "x.parquet is a file, and --shard writes several: give -o DIR."),
        (["--format", "parquet", "-o", "x", "--shard", "0/4"], "--shard 0/4 cannot be read: give I/N, such as 1/4"),
        (["--format", "parquet", "-o", "x", "--shard", "half"], "--shard half cannot be read"),
        (["-o", "x.jsonl", "--shard", "1/2"], "--shard, --column, --embedding and --engine ray need --format parquet."),
        (["--format", "parquet", "-o", "out", "--shard", "1/3"], "which is of another run: give another -o DIR."),
        (["--format", "parquet", "-o", "out", "--shard", "1/2"], "add --resume, or give another -o DIR."),
        (
            ["--format", "parquet", "-o", "out", "--shard", "1/2", "--resume", "--no-harmony"],
            "holds records of another model or other options: give another -o DIR.",
        ),
        (["-o", "x.parquet", "--column", "file"], "--column needs a table"),
        (["-o", "x.parquet", "list.csv"], "list.csv is a table: name the column with the tracks by --column NAME."),
        (["-o", "x.parquet", "list.csv", "--column", "path"], "list.csv has no column path: choose one of id, file"),
        (["-o", "music/00.wav/x.parquet"], "cannot be written"),
    ]
    for arguments, sentence in wrong:
        assert sentence in run("music/00.wav", *arguments, status=2).stderr
    assert "out lacks 1 of 2 shards (2): run them, or add --partial." in merge("out", status=2)
    assert "1 tracks of 1 files" in merge("out", "--partial") or not rows("out")
    assert "holds no Parquet files" in merge("music", status=2)
    Path("out/shard-00001-of-00002.parquet").write_bytes(b"PAR1 cut off")
    assert "is damaged" in merge("out", "--partial", status=2)


def test_names_from_a_column(models, music):
    names = [f"music/{number:02d}.wav" for number in range(4)]
    Path("list.csv").write_text("id,file\n" + "".join(f"{i},{name}\n" for i, name in enumerate(names)) + "4,\n")
    pq.write_table(pyarrow.table({"file": names}), "list.parquet")
    run("list.csv", "--column", "file", "-o", "csv.parquet")
    run("list.parquet", "--column", "file", "-o", "parquet.parquet")
    assert sorted(rows("csv.parquet")) == sorted(rows("parquet.parquet")) == names


def test_skipped_names_are_counted_and_undecodable_ones_are_escaped(models, music):
    Path("music/cover.jpg").touch()
    if os.name != "nt":
        tone("music/caf\udce9.wav")
    result = run("music", "-o", "out.parquet", status=1)
    assert "1 files or folders were skipped: 1 without the suffix of audio." in result.stderr
    if os.name != "nt":
        assert "music/caf\\udce9.wav" in rows("out.parquet")
        run("music", "-o", "out.parquet", "--resume", status=1)
        assert len(rows("out.parquet")) == TRACKS + 1


def test_from_a_store_into_a_store(models, music, s3_server):  # noqa: F811
    import fsspec

    store = fsspec.filesystem("s3", use_listings_cache=False)
    for path in sorted(Path("music").iterdir()):
        store.put_file(str(path), f"music/batch/{path.name}")
    for index in (1, 2):
        run("s3://music/batch", "--format", "parquet", "-o", "s3://music/out", "--shard", f"{index}/2", status=1)
    assert [os.path.basename(path) for path in sorted(store.ls("music/out"))] == [
        "shard-00001-of-00002.parquet",
        "shard-00002-of-00002.parquet",
    ]
    merge("s3://music/out", "-o", "out.parquet")
    run("music", "-o", "local.parquet", status=1)
    remote = {path.replace("s3://music/batch", "music"): row for path, row in rows("out.parquet").items()}
    local = rows("local.parquet")
    assert remote.keys() == local.keys() and len(local) == TRACKS
    for path, row in local.items():
        different = {name for name in row if remote[path][name] != row[name]}
        assert different <= {"path", "error"} and (remote[path]["error"] is None) == (row["error"] is None)


def test_a_row_with_answers_becomes_the_record_that_it_was():
    whole = MusicEmotion(
        *("a.wav", 30.0, 5.0, 4.5, "Q3", [Mood("sad", 0.5)], ["sad"]),
        chords=[ChordSegment(0.0, 1.0, "C:maj", 0.5), ChordSegment(1.0, 2.0, "N")],
        summary="Sad, C major",
        quadrant_scores={"Q1": 0.25, "Q2": 0.0, "Q3": 0.5, "Q4": 0.25},
        highlight=Highlight(0.0, 30.0),
        valence_interval=(4.0, 6.0),
        music=0.75,
        attributes={"energy": 0.25},
        tempo=120.5,
    )
    (row,) = to_table([whole]).to_pylist()
    assert json.loads(json.dumps(cli.merge.record(row))) == json.loads(whole.to_json())
