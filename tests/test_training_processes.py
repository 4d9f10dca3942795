"""Two processes learn what one does."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("accelerate")

import training_child  # noqa: E402
from safetensors.torch import load_file  # noqa: E402


def test_torchrun_with_two_processes_gives_the_same_model(tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    training_child.main(str(alone))
    paths = os.pathsep.join(sys.path)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths, "ACCELERATE_USE_CPU": "true"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, training_child.__file__, str(together)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (json.loads((folder / "final.json").read_text()) for folder in (alone, together))
    assert one["processes"] == 1 and two["processes"] == 2
    for name, scores in one["scores"].items():
        assert two["scores"][name] == pytest.approx(scores, abs=0.002, nan_ok=True)
    weights = [load_file(folder / "final.safetensors") for folder in (alone, together)]
    assert training_child.differences(*weights) < 1e-3
