"""Ray Data as the engine, on a cluster of two nodes on this machine. One of them is killed in the middle."""

import logging
import os
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import ray_nodes
import soundfile
import tiny
from ray_standin import StandIn
from typer.testing import CliRunner

pyarrow = pytest.importorskip("pyarrow")
ray = pytest.importorskip("ray")
import pyarrow.parquet as pq  # noqa: E402

from m2e import cli  # noqa: E402
from m2e.batch.ray_engine import Cluster, Writer, add, listed, predict  # noqa: E402
from m2e.batch.run import Tally  # noqa: E402
from m2e.batch.schema import RECORD_SCHEMA  # noqa: E402
from m2e.batch.shards import SUCCESS, Folder, Known, with_settings  # noqa: E402
from m2e.errors import ModelError, UsageError  # noqa: E402
from m2e.features.store import read_features  # noqa: E402
from m2e.inputs import stream  # noqa: E402

SCHEMA = with_settings(RECORD_SCHEMA, {"model": "stand-in"})
TRACKS, BAD = 300, 3


@pytest.fixture(scope="module")
def nodes():
    """A cluster whose second node can be killed."""
    with ray_nodes.nodes(2, 1) as cluster:
        ray.init(address=cluster.address, logging_level=logging.ERROR, log_to_driver=False)
        yield cluster
        ray.shutdown()


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    for number in range(TRACKS):
        (folder / f"{number:03d}{'-bad' if number % 100 == 50 else ''}.wav").touch()
    return folder


def run(names, output, rows=10, actors=2, seconds=0.05, watch=lambda tally: None):
    tally = Tally()
    cluster = Cluster(actors=actors, num_cpus=1, rows=rows)
    load = partial(StandIn, seconds)
    for _ in predict(partial(stream, [str(names)]), load, Folder(str(output)), SCHEMA, cluster, tally):
        watch(tally)
    return tally


def rows(folder):
    table = pq.read_table(folder)
    found = {os.path.basename(row["path"]): row for row in table.to_pylist()}
    assert len(found) == len(table), "a track is there twice"
    return found


@pytest.mark.cluster
def test_a_node_dies_and_every_track_is_there_once(nodes, names, tmp_path):
    killed = threading.Event()

    def kill(tally):
        if tally.done >= 60 and not killed.is_set():
            killed.set()
            nodes.remove_node(nodes.worker_nodes.copy().pop(), allow_graceful=False)

    tally = run(names, tmp_path / "out", watch=kill)
    assert killed.is_set()
    found = rows(tmp_path / "out")
    assert len(found) == TRACKS and (tmp_path / "out" / SUCCESS).exists()
    failed = {name: row["error"] for name, row in found.items() if row["error"] is not None}
    assert len(failed) == BAD and all("is empty (0 bytes)" in error for error in failed.values())
    assert tally.found == TRACKS and len(tally.sentences) == BAD

    # what is there is skipped; failed tracks are tried again, and new ones are added
    for name in failed:
        os.rename(names / name, names / name.replace("bad", "good"))
    (names / "new.wav").touch()
    tally = run(names, tmp_path / "out", actors=1)
    assert (tally.done, tally.skipped, tally.failed) == (BAD + 1, TRACKS - BAD, 0)
    assert len(rows(tmp_path / "out")) == TRACKS + 1


def no_model():
    raise ModelError("gone: there is no such model.")


def test_a_list_of_names_gives_one_file_and_says_what_failed(names, tmp_path):
    sources = partial(stream, [str(names), "gone.wav"])
    lists = list(listed(sources, Known(np.zeros(0)), 200, "/nowhere", {}))
    assert [len(row["path"][0]) for row in lists] == [200, len(os.listdir(names)) - 199]
    assert lists[-1]["found"] == [len(os.listdir(names)) + 1]
    lists = [pyarrow.Table.from_pydict(row) for row in lists]
    writer = Writer(partial(StandIn, 0), str(tmp_path / "out"), SCHEMA, "/nowhere")
    for _ in range(2):  # a list that is repeated replaces its file
        reports = [writer(table).to_pylist()[0] for table in lists]
    assert len(rows(tmp_path / "out")) == len(os.listdir(names)) + 1
    assert "gone.wav: there is no such file or folder." in reports[1]["errors"]
    (said,) = Writer(no_model, str(tmp_path / "other"), SCHEMA, "/nowhere")(lists[0]).to_pylist()
    assert said["fatal"] == "gone: there is no such model." and not os.path.exists(tmp_path / "other")
    with pytest.raises(UsageError, match="gone: there is no such model."):
        add(said, Tally())


# --- the command, with a small model ---


@pytest.fixture
def music(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.pipeline().save_pretrained("tiny")
    os.mkdir("music")
    for seed in range(5):
        soundfile.write(f"music/{seed}.wav", tiny.waveform(3.5, seed), tiny.SAMPLING_RATE)
    Path("music/bad.wav").write_bytes(b"no audio")
    return tmp_path


def command(*arguments, status=1):
    result = CliRunner().invoke(cli.app, ["predict", *arguments])
    assert result.exit_code == status, (result.output, result.exception)
    return result.stderr


@pytest.mark.cluster
def test_the_cluster_predicts_what_this_machine_predicts(nodes, music):
    model = ["--model", "tiny", "--embedding", "--device", "cpu"]
    said = command("music", "-o", "cluster", "--format", "parquet", "--engine", "ray", "--rows", "2", *model)
    assert "6 tracks were predicted into" in said and "bad.wav: " in said
    command("music", "-o", "here.parquet", *model)
    assert rows("cluster") == rows("here.parquet")
    assert CliRunner().invoke(cli.app, ["merge", "cluster"]).exit_code == 0
    assert rows("cluster.parquet") == rows("here.parquet")

    ray_again = ["music", "-o", "cluster", "--format", "parquet", "--engine", "ray", *model]
    assert "holds records: add --resume" in command(*ray_again, status=2)


@pytest.mark.cluster
def test_the_cluster_computes_the_features_that_this_machine_computes(nodes, music, monkeypatch):
    monkeypatch.setattr("m2e.cli.features.RAY_TRACKS", 2)  # so that both actors get some
    tracks = [*(f"{seed}.wav" for seed in range(5)), "bad.wav", "gone.wav"]
    Path("music/labels.csv").write_text("\n".join(["file,moods", *(f"{name},calm" for name in tracks)]))
    arguments = ["features", "--data", "folder", "--folder", "music", "--model", "tiny", "--device", "cpu"]
    said = {}
    for out, engine in (("here", []), ("cluster", ["--engine", "ray", "--workers", "2"])):
        result = CliRunner().invoke(cli.app, [*arguments, "--out", out, *engine])
        assert result.exit_code == 1, (result.output, result.exception)
        said[out] = result.stderr.splitlines()[-3:]
    assert said["cluster"] == said["here"] and "2 of 7 tracks failed" in said["here"][0]
    files = [sorted(path.relative_to(out) for path in Path(out).rglob("*")) for out in said]
    assert files[0] == files[1]
    here, cluster = map(read_features, said)
    assert sorted(cluster) == sorted(here) and len(here) == 5
    for track in here:
        np.testing.assert_array_equal(cluster[track].embeddings, here[track].embeddings)
        assert (cluster[track].chords, cluster[track].key) == (here[track].chords, here[track].key)
    again = CliRunner().invoke(cli.app, [*arguments, "--out", "cluster"])
    assert "5 of 7 tracks are already in" in again.stderr and again.exit_code == 1
