"""Worker processes leave nothing behind, however the work ends. What they answer is tested with the commands."""

import subprocess
import sys
from pathlib import Path

import pytest

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
