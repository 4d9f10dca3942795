"""Ray Data as the engine, on a cluster of two nodes on this machine. One of them is killed in the middle."""

import logging
import os
import socket
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny
from ray_standin import StandIn
from typer.testing import CliRunner

os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # read at import
pyarrow = pytest.importorskip("pyarrow")
ray = pytest.importorskip("ray")
import pyarrow.parquet as pq  # noqa: E402

from m2e import cli  # noqa: E402
from m2e.batch.ray_engine import Cluster, Writer, add, listed, predict  # noqa: E402
from m2e.batch.run import Tally  # noqa: E402
from m2e.batch.schema import RECORD_SCHEMA  # noqa: E402
from m2e.batch.shards import SUCCESS, Folder, Known, with_settings  # noqa: E402
from m2e.errors import ModelError, UsageError  # noqa: E402
from m2e.inputs import stream  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = with_settings(RECORD_SCHEMA, {"model": "stand-in"})
TRACKS, BAD = 300, 3


def node_settings():
    """With known ports a node does not wait some seconds for its helpers to say theirs, too few on a loaded machine."""
    agents = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in agents]
        ports = [each.getsockname()[1] for each in sockets]
    return {"object_store_memory": 100 << 20} | dict(zip(agents, ports, strict=True))


@pytest.fixture(scope="module")
def nodes():
    """A cluster whose second node can be killed."""
    from ray.cluster_utils import Cluster as Nodes

    before = dict(os.environ)
    os.environ |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        "RAY_DATA_DOWNSTREAM_CAPACITY_OBJECT_STORE_BUDGET_UTIL_THRESHOLD": "0",
    }
    head = {"num_cpus": 2, "include_dashboard": False} | node_settings()
    nodes = Nodes(initialize_head=True, head_node_args=head)
    nodes.add_node(num_cpus=1, **node_settings())
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, logging_level=logging.ERROR, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()
    os.environ.clear()
    os.environ.update(before)


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
    tally = run(names, tmp_path / "out")
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
    wrong = ["music", "-o", "out", "--format", "parquet", "--engine", "ray", "--model", "music", "--device", "cpu"]
    assert "music holds no model" in command(*wrong, status=2)
