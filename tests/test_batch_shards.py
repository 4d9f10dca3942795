"""Shards: the split of the work, files that appear whole, and runs that are killed at any moment."""

import os
import random
import signal
import time

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402

from m2e.batch import run  # noqa: E402
from m2e.batch.run import Tally, remaining, write  # noqa: E402
from m2e.batch.schema import RECORD_SCHEMA, record_schema, to_table  # noqa: E402
from m2e.batch.shards import Folder, Known, Shard, digest, in_shard, once, with_settings  # noqa: E402
from m2e.inputs import Source  # noqa: E402
from m2e.workers import failed_track  # noqa: E402
from modeling_m2e.record_m2e import FailedTrack, MusicEmotion  # noqa: E402

SCHEMA = with_settings(RECORD_SCHEMA, {"model": "none"})


def good(path, valence=5.0):
    return MusicEmotion(path, 1.0, valence, 5.0, "Q1", [], [])


def bad(path):
    return FailedTrack(path, f"{path}: is empty.")


def test_the_split_depends_on_the_name_only_and_is_even():
    names = [f"s3://bucket/{number}.mp3" for number in range(4000)]
    sizes = [sum(in_shard(name, index, 4) for name in names) for index in (1, 2, 3, 4)]
    assert sum(sizes) == 4000 and min(sizes) > 900
    assert digest("caf\udce9.mp3") == digest("caf\\udce9.mp3")  # as a row names it


def test_known_names():
    known = Known(np.array([digest(name) for name in "abca"], np.uint64))
    assert len(known) == 3 and "b" in known and "d" not in known
    assert "a" not in Known(np.zeros(0))


def test_of_several_rows_of_a_track_the_first_good_one_counts(tmp_path):
    folder = Folder(str(tmp_path))
    parts = [[bad("a"), good("b", 1.0), bad("c")], [good("a", 2.0), good("b", 3.0)], [], [bad("c"), bad("a")]]
    for number, records in enumerate(parts):
        folder.write(f"{number}.parquet", [to_table(records)], SCHEMA)
    rows = pa.concat_tables(once(folder, folder.names())).to_pylist()
    assert [(row["path"], row["valence"]) for row in rows] == [("b", 1.0), ("a", 2.0), ("c", None)]
    assert list(once(folder, [])) == []


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    def broken():
        yield to_table([good("a")])
        raise OSError(28, "No space left on device")

    folder = Folder(str(tmp_path / "out"))
    with pytest.raises(ValueError, match=r"out/x.parquet cannot be written: No space left on device\."):
        folder.write("x.parquet", broken(), SCHEMA)
    assert os.listdir(tmp_path / "out") == []


def test_files_hold_embeddings_that_every_reader_reads(tmp_path):
    """pyarrow before 26 cannot read a file with a list of fixed size that is missing; Spark reads none."""
    folder, schema = Folder(str(tmp_path)), with_settings(record_schema(2), {})
    record = good("a")
    record.embedding = [0.5, 1.0]
    folder.write("x.parquet", [to_table([record, bad("b")], schema)], schema)
    assert folder.schema("x.parquet").field("embedding").type == pa.list_(pa.float32())
    folder.write("y.parquet", folder.rows("x.parquet"), schema)  # as a run that is resumed does it
    assert pq.read_table(tmp_path / "y.parquet").column("embedding").to_pylist() == [[0.5, 1.0], None]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a fork")
def test_a_run_that_is_killed_ten_times_holds_every_track_once(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "BLOCK_ROWS", 5)
    names, random_times = [f"{number}.mp3" for number in range(300)], random.Random(0)

    def go_on():
        shard, tally = Shard(Folder(str(tmp_path)), "all.parquet", SCHEMA), Tally()
        todo = remaining(map(Source, names), shard.known(), tally)
        write((predicted(source) for source in todo), shard, tally)
        shard.finish()

    def predicted(source):
        time.sleep(0.002)
        return failed_track(source, "is empty.") if source.path.startswith("7") else good(source.path)

    for _ in range(10):
        child = os.fork()
        if child == 0:
            try:
                go_on()
            finally:
                os._exit(0)
        time.sleep(random_times.uniform(0.02, 0.3))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    go_on()
    assert os.listdir(tmp_path) == ["all.parquet"]
    rows = pq.read_table(tmp_path / "all.parquet").to_pylist()
    assert sorted(row["path"] for row in rows) == sorted(names)
