"""The walk-through runs as it stands."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_finetune_goes_from_clips_to_moods_of_ones_own(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    told = subprocess.run(
        [sys.executable, ROOT / "examples" / "finetune.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr[-2000:]
    guesses = [line for line in told.stdout.splitlines() if "valence" in line and ".wav " in line]
    assert len(guesses) >= 6 and any("nocturnal" in line for line in guesses)
    assert (tmp_path / "runs" / "finetuned" / "model.safetensors").is_file()
    assert not list(ROOT.glob("examples/runs"))
