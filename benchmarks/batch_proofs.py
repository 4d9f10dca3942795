"""Of batch.py, `kills` and `equal`: whatever happens, and whichever way, each track has one row, the same."""

import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tests"), str(ROOT / "benchmarks" / "reliability")]
MARK = "M2E_BENCHMARK"  # in the environment of a command and of all that it starts
M2E = [sys.executable, "-c", "from m2e.cli import main; main()"]
FAILED = 1  # exit status of a command some of whose tracks failed


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    fixed = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    return {**os.environ, **fixed, **more}


def write_clips(folder: Path, clips: int, seconds: float) -> None:
    """Parts of the examples with noise, so that no two are alike."""
    folder.mkdir()
    examples = [sf.read(path, dtype="float32") for path in sorted((ROOT / "examples").glob("*.ogg"))]
    rng = np.random.default_rng(0)
    for number in range(clips):
        source, rate = examples[number % len(examples)]
        start = rng.integers(max(1, len(source) - round(seconds * rate)))
        clip = source[start : start + round(seconds * rate)]
        sf.write(folder / f"{number:04d}.wav", clip + rng.normal(0, 0.002, clip.shape).astype(np.float32), rate)


# --- kills ---

# `m2e` with a model that answers after 0.1 s and cannot read names with "bad" in them
STAND_IN = """
import sys
from m2e.cli import main
from ray_standin import slowly
sys.modules["m2e.cli.predict"].load_model = slowly
main()
"""


class Command:
    """`m2e predict --engine ray` in a process that is killed with all that it has started.

    It is what `kill` of reliability/kills.py kills, as a `multiprocessing.Process`.
    """

    def __init__(self, names: Path, out: Path):
        self._mark = uuid.uuid4().hex
        arguments = ["predict", str(names), "-o", str(out), "--format", "parquet", "--engine", "ray", "--resume"]
        with open(out.with_suffix(".log"), "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", STAND_IN, *arguments, "--workers", "2", "--rows", "5"],
                env=environment(**{MARK: self._mark}),
                stdout=log,
                stderr=log,
            )

    def join(self, timeout: float | None = None) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def exitcode(self) -> int:
        return 0 if self._process.returncode == FAILED else self._process.returncode or FAILED

    def kill(self) -> None:
        """SIGKILL for the command and the processes of Ray, until none is left."""
        while alive := self._processes():
            for process in alive:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self._process.poll()

    def _processes(self) -> list[int]:
        wanted = f"{MARK}={self._mark}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # it has ended meanwhile
                if wanted in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found


def whole_rows(one: Path, other: Path) -> bool:
    """Whether the second folder has only rows of the first, and none twice."""
    rows = {row["path"]: row for row in pq.read_table(one).to_pylist()}
    found = [row for file in other.glob("part-*") for row in pq.read_table(file).to_pylist()]
    return len({row["path"] for row in found}) == len(found) and all(rows[row["path"]] == row for row in found)


def same_rows(one: Path, other: Path) -> bool:
    """Whether the second folder is complete, has the rows of the first, each once, and nothing that is unfinished."""
    others = [path.name for path in other.iterdir() if not path.name.startswith("part-")]
    return whole_rows(one, other) and len(pq.read_table(one)) == len(pq.read_table(other)) and others == ["_SUCCESS"]


def kills(count: int, tracks: int = 400, bad: int = 3) -> dict[str, Any]:
    """The command and its Ray are killed `count` times at random moments, and each time go on with --resume."""
    from kills import kill

    with tempfile.TemporaryDirectory(prefix="m2e-kills-") as name:
        folder = Path(name)
        (folder / "names").mkdir()
        for number in range(tracks):
            (folder / "names" / f"{number}{'-bad' if number < bad else ''}.wav").touch()
        (folder / "out").mkdir()
        start = partial(Command, folder / "names")
        outcome = kill(start, same_rows, folder / "out", count, random.Random(0), whole_rows)
        rows = pq.read_table(folder / "out" / "whole")
    assert len(rows) == tracks and len(rows) - rows.column("error").null_count == bad
    if outcome.equal < outcome.runs or outcome.broken:
        sys.exit(f"A track is lost, doubled or different: {outcome}")
    return {"tracks": tracks, "failed": bad, **vars(outcome)}


# --- equal ---


def run(folder: Path, *arguments: str) -> None:
    """`m2e` in a folder. Exits if it fails, not if tracks do."""
    done = subprocess.run([*M2E, *arguments], cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode not in (0, FAILED):
        sys.exit(f"m2e {' '.join(arguments)}: status {done.returncode}\n{done.stderr[-3000:]}")


def plain(folder: Path) -> None:
    run(folder, "predict", "music", "-o", "plain.parquet", *EMBEDDING)


def ray(folder: Path) -> None:
    """A cluster of two nodes with an actor each. One is killed when half of the files are there, another is added."""
    from ray_nodes import nodes, settings

    with nodes(1, 1) as cluster:
        arguments = ["predict", "music", "-o", "ray", "--format", "parquet", *EMBEDDING, "--engine", "ray"]
        arguments += ["--ray-address", cluster.address, "--workers", "2", "--rows", "10"]
        with open(folder / "ray.log", "wb") as log:
            command = subprocess.Popen([*M2E, *arguments], cwd=folder, env=environment(), stdout=log, stderr=log)
        half = len(list((folder / "music").iterdir())) / 10 / 2
        while command.poll() is None and len(list((folder / "ray").glob("part-*"))) < half:
            time.sleep(0.1)
        assert command.poll() is None, (folder / "ray.log").read_text()[-3000:]
        cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
        cluster.add_node(num_cpus=1, **settings())
        assert command.wait() == FAILED, (folder / "ray.log").read_text()[-3000:]


def shards(folder: Path) -> None:
    for index in range(1, 5):
        run(folder, "predict", "music", "-o", "shards", "--format", "parquet", "--shard", f"{index}/4", *EMBEDDING)
    run(folder, "merge", "shards")


def datasets(folder: Path) -> None:
    """As examples/batch/with_datasets.py does it."""
    paths = [f"music/{path.name}" for path in (folder / "music").iterdir()]
    pq.write_table(pa.table({"path": paths}), folder / "list.parquet")
    script = [sys.executable, str(ROOT / "examples" / "batch" / "with_datasets.py"), "list.parquet", "datasets.parquet"]
    cache = environment(HF_DATASETS_CACHE=str(folder / "cache"), CUDA_VISIBLE_DEVICES="")
    subprocess.run(script, cwd=folder, env=cache, check=True)


def stored(folder: Path) -> None:
    """From a server of S3 on this machine."""
    import fsspec
    from stores import s3

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it names every request
    with s3() as bucket:
        fsspec.filesystem("s3").put(str(folder / "music"), f"{bucket}/music", recursive=True)
        run(folder, "predict", f"{bucket}/music", "-o", "stored.parquet", *EMBEDDING)


EMBEDDING = ("--embedding", "--device", "cpu")
# the table of each way, and how paths begin there
WAYS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "one process": (plain, "plain.parquet", ""),
    "--shard I/4 and m2e merge": (shards, "shards.parquet", ""),
    "datasets.map": (datasets, "datasets.parquet", ""),
    "a server of S3": (stored, "stored.parquet", "s3://music/"),
    "Ray with two nodes, one of which is killed": (ray, "ray", ""),
}
BAD = {"empty": b"", "words": b"no audio", "cut": b"RIFF\x24\x00\x00\x00WAVEfmt "}


def table_of(path: Path, start: str) -> pa.Table:
    """The rows, sorted by path, which has lost its start."""
    rows = pq.read_table(path)
    for name in ("path", "error"):
        texts = [text and text.replace(start, "") for text in rows.column(name).to_pylist()]
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(texts, pa.string()))
    return rows.sort_by("path")


def equal(clips: int, seconds: float) -> dict[str, Any]:
    """Predicts the same clips in all ways; the last three cannot be read. Exits if a row differs."""
    tables = {}

    def predict(way: str) -> None:
        call, output, start = WAYS[way]
        began = time.perf_counter()
        call(folder)
        tables[way] = table_of(folder / output, start)
        print(f"{way}: {len(tables[way])} rows, {time.perf_counter() - began:.0f} s", flush=True)

    with tempfile.TemporaryDirectory(prefix="m2e-equal-") as name:
        folder = Path(name)
        write_clips(folder / "music", clips - len(BAD), seconds)
        for kind, content in BAD.items():
            (folder / "music" / f"{kind}.wav").write_bytes(content)
        *others, last = WAYS  # a cluster changes the environment
        with ThreadPoolExecutor(len(others)) as pool:
            list(pool.map(predict, others))
        predict(last)
    first = tables["one process"]
    assert len(set(first.column("path").to_pylist())) == clips
    assert clips - first.column("error").null_count == len(BAD)
    same = {way: sum(map(eq, tables[way].to_pylist(), first.to_pylist())) for way in WAYS}
    if any(len(tables[way]) != clips or rows != clips for way, rows in same.items()):
        sys.exit(f"The tables differ: {same}")
    return {"clips": clips, "clip_seconds": seconds, "failed": len(BAD), "equal_rows": same}
