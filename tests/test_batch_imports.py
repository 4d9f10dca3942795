"""What is rare is imported where it is used: not with the package, and not to predict a file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import tiny

ROOT = Path(__file__).resolve().parent.parent
RARE = ("ray", "pyarrow", "s3fs", "gcsfs", "adlfs", "aiobotocore", "datasets", "pandas")
SCRIPT = f"""
import json, sys
rare = lambda: sorted({set(RARE)!r} & set(sys.modules))
import m2e
import m2e.cli
found = [rare()]
from typer.testing import CliRunner
done = CliRunner().invoke(m2e.cli.app, ["predict", "clip.wav", "--model", "tiny", "--format", "json"])
assert done.exit_code == 0, done.output
found.append(rare())
print(json.dumps(found))
"""


@pytest.fixture
def clip(tmp_path):
    soundfile.write(tmp_path / "clip.wav", tiny.waveform(3.5), tiny.SAMPLING_RATE)
    tiny.pipeline().save_pretrained(tmp_path / "tiny")
    return tmp_path


def test_neither_the_package_nor_a_prediction_imports_what_is_rare(clip):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=clip, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == [[], []]
