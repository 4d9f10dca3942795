"""The example of fine-tuning runs from start to end, with fewer epochs."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_finetune_goes_from_clips_to_moods_of_ones_own(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "finetune.py", "training.epochs=5"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    guesses = [line for line in done.stdout.splitlines() if "valence" in line and ".wav " in line]
    assert len(guesses) >= 6 and any("nocturnal" in line for line in guesses)
    assert (tmp_path / "runs" / "finetuned" / "model.safetensors").is_file()
    assert not list(ROOT.glob("examples/runs"))
