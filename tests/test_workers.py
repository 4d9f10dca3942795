"""Records of many tracks: errors of one of them, worker processes and what they leave behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from m2e.errors import AudioError, ModelError
from m2e.inputs import Source
from m2e.workers import available_cores, predictions

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = """
import sys, time
sys.path.insert(0, {root!r})
from tqdm import tqdm
from m2e.inputs import Source
from m2e.workers import predictions

class Pipe:
    def __call__(self, path):
        list(tqdm([path], disable=False, file=open("bars", "a")))  # as libraries do when they load a model
        if path == "slow":
            time.sleep(60)
        return path

if __name__ == "__main__":
    with predictions(Pipe, [Source(path, None) for path in sys.argv[1:]], workers=2) as results:
        for path in results:
            print(path, flush=True)
            if path == "last":
                raise SystemExit(3)
"""


@pytest.mark.parametrize(("paths", "status"), [(["a", "b", "c"], 0), (["a", "last", "slow"], 3)])
def test_no_semaphore_is_left_behind(tmp_path, paths, status):
    script = tmp_path / "main.py"
    script.write_text(SCRIPT.format(root=str(ROOT)))
    command = [sys.executable, str(script), *paths]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.stdout.split() == paths[: 3 if status == 0 else 2]
    assert (done.returncode, done.stderr) == (status, "")


class Pipe:
    """Says how many threads its process may use."""

    name = "fake"

    def __call__(self, path):
        if path == "bad.wav":
            raise AudioError("bad.wav: is empty.")
        if path == "bug.wav":
            raise TypeError("unsupported operand\nmore")
        if path == "shape.wav":
            raise ValueError("shapes differ")
        return os.environ.get("OMP_NUM_THREADS")


@pytest.mark.parametrize("given", [None, "3"])
def test_workers_share_the_cores_and_the_parent_keeps_its_own_settings(monkeypatch, given):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    before = dict(os.environ)
    with predictions(Pipe, [Source("a.wav"), Source("b.wav")], workers=2) as results:
        assert list(results) == [given or str(max(1, available_cores() // 2))] * 2
        assert dict(os.environ) == before
    assert dict(os.environ) == before


def test_an_error_of_one_track_becomes_its_record():
    sources = [Source(f"{name}.wav") for name in ("good", "bad", "bug", "shape")] + [Source("gone.wav", "is gone.")]
    with predictions(Pipe, sources) as results:
        _, *failed = results
    assert [(record.path, record.error) for record in failed] == [
        ("bad.wav", "bad.wav: is empty."),
        ("bug.wav", "bug.wav: TypeError: unsupported operand"),
        ("shape.wav", "shape.wav: ValueError: shapes differ"),
        ("gone.wav", "gone.wav: is gone."),
    ]
    assert {record.model for record in failed} == {"fake"}


def test_no_model_is_loaded_if_nothing_can_be_read():
    def load():
        raise AssertionError

    with predictions(load, [Source("gone.wav", "gone.wav: is gone.")], workers=2) as results:
        assert [record.error for record in results] == ["gone.wav: is gone."]


def bug():
    raise KeyError("weights")


def no_model():
    raise ModelError("there is no model.")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("load", "error"), [(bug, KeyError), (no_model, ModelError)])
def test_an_error_while_the_model_is_loaded_is_raised_as_it_is(load, error, workers):
    with pytest.raises(error, match="weights|there is no model"):
        with predictions(load, [Source("a.wav"), Source("b.wav")], workers):
            raise AssertionError


class Complaining:
    """Raises an error that names the file."""

    def __call__(self, path):
        if "disk" in path:
            raise FileNotFoundError(2, "No usable temporary directory found")
        if "bug" in path:
            raise TypeError
        raise AudioError(f"{path}: is empty.\nmore")


def test_the_reason_survives_a_name_of_several_lines():
    sources = [
        Source("line\nbreak.wav"),
        Source("disk.wav"),
        Source("bug\n.wav"),
        Source("-", copy="/gone/m2e-1/audio"),
    ]
    with predictions(Complaining, sources) as results:
        assert [record.error for record in results] == [
            "line\nbreak.wav: is empty.",
            "disk.wav: No usable temporary directory found.",
            "bug\n.wav: TypeError: TypeError",
            "-: is empty.",
        ]
