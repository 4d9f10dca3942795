"""The examples of examples/batch run as they are printed, and give the rows of the predictor."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import tiny

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402

from m2e.batch import Predictor  # noqa: E402
from m2e.batch.shards import Folder  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "batch"


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """A folder with clips, the table tracks.parquet of their paths, and what the predictor says about them."""
    folder = tmp_path_factory.mktemp("examples")
    names = [str(folder / f"{seed}.wav") for seed in range(3)] + [str(folder / "bad.wav")]
    for seed, name in enumerate(names[:3]):
        soundfile.write(name, tiny.waveform(3.5, seed), tiny.SAMPLING_RATE)
    Path(names[3]).write_bytes(b"no audio")
    pq.write_table(pa.table({"path": names}), folder / "tracks.parquet")
    predictor = Predictor(embedding=True, device="cpu")
    Folder(str(folder)).write("expected.parquet", [predictor({"path": names})], predictor.schema)
    return folder


def python(*command, **environment):
    variables = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", **environment}
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=os.environ | variables, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr[-3000:]


def rows(path):
    return {row["path"]: row for row in pq.read_table(path).to_pylist()}


def same(path, expected, without=()):
    """Whether two tables hold the same rows; arrays of another engine may be None where ours are absent."""
    found, wanted = rows(path), rows(expected)
    assert found.keys() == wanted.keys()
    for name, row in wanted.items():
        row = {column: value for column, value in row.items() if column not in without}
        assert {column: found[name][column] for column in row} == row


def test_datasets(music, tmp_path):
    pytest.importorskip("datasets")
    cache = {"HF_DATASETS_CACHE": str(tmp_path / "cache")}
    python(EXAMPLES / "with_datasets.py", music / "tracks.parquet", tmp_path / "out.parquet", **cache)
    same(tmp_path / "out.parquet", music / "expected.parquet")


@pytest.mark.cluster
def test_ray(music, tmp_path):
    pytest.importorskip("ray")
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
    python(EXAMPLES / "with_ray.py", music / "tracks.parquet", tmp_path / "out", **settings)
    same(tmp_path / "out", music / "expected.parquet")


@pytest.mark.cluster
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_spark(music, tmp_path):
    pytest.importorskip("pyspark")
    python(EXAMPLES / "with_spark.py", music / "tracks.parquet", tmp_path / "out", PYSPARK_PYTHON=sys.executable)
    same(tmp_path / "out", music / "expected.parquet")


def test_daft(music, tmp_path):
    pytest.importorskip("daft")
    python(EXAMPLES / "with_daft.py", music / "tracks.parquet", tmp_path / "out", DAFT_ANALYTICS_ENABLED="0")
    same(tmp_path / "out", music / "expected.parquet", without=("embedding",))


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_array_jobs(music, tmp_path):
    """The scripts of SLURM and of Hugging Face jobs, with `m2e` as a program."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "m2e"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from m2e.cli import main; main()" "$@"\n')
    program.chmod(0o755)
    path = {"PATH": os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]), "PYTHONPATH": str(ROOT)}
    slurm = {"SLURM_ARRAY_TASK_COUNT": "1", "SLURM_ARRAY_TASK_ID": "1", "SLURM_CPUS_PER_TASK": "1"}
    script = ["bash", EXAMPLES / "slurm_array.sh", music, tmp_path / "slurm"]
    done = subprocess.run(list(map(str, script)), env=os.environ | path | slurm, capture_output=True, text=True)
    assert done.returncode == 1 and "1 of them failed" in done.stderr, done.stderr
    job = [sys.executable, EXAMPLES / "hf_job.py", music, tmp_path / "job", "1/1"]
    done = subprocess.run(list(map(str, job)), env=os.environ | path | {"WORKERS": "1"}, capture_output=True, text=True)
    assert done.returncode == 1 and "1 of them failed" in done.stderr, done.stderr
    for folder in ("slurm", "job"):
        same(tmp_path / folder, music / "expected.parquet")
