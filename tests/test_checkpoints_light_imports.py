"""Light imports: what they leave out, and that everything works afterwards. In a process of its own."""

import subprocess
import sys

import tiny

SCRIPT = """
import gc, sys
from m2e.checkpoints.light_imports import import_lightly
package = import_lightly("modeling_m2e")
heavy = "torch._dynamo", "torch.distributed.tensor", "sympy", "librosa", "numba", "scipy", "accelerate"

import numpy as np
import torch
from m2e.checkpoints.load import load
record = load()((np.random.default_rng(0).normal(0, 0.1, 44100).astype(np.float32), 22050))
assert record.error is None and record.valence is not None
assert gc.isenabled() and torch.distributed.is_available()
from transformers.utils import import_utils, is_scipy_available
assert is_scipy_available is import_utils.is_scipy_available
print([name for name in heavy if name in sys.modules])

sys.path.insert(0, "tests")
import tiny  # needs the compiler, as MERT does
from pathlib import Path
for name, content in tiny.published_mert(width=48).items():
    Path(sys.argv[1], name).write_bytes(content)
encoder = package.MertEncoder.from_pretrained(sys.argv[1])
print("torch._dynamo.utils" in sys.modules, encoder(torch.randn(1, 24000)).shape)
"""
NEEDS_MORE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
Path(sys.argv[1], "needs_more.py").write_text("import torch._dynamo\\nprint(torch._dynamo.config.__name__)")
from m2e.checkpoints.light_imports import import_lightly
import_lightly("needs_more")
"""


def run(*arguments: str) -> str:
    command = [sys.executable, "-c", *arguments]
    done = subprocess.run(command, cwd=tiny.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_predicting_imports_no_compiler_and_mert_still_works(tmp_path):
    assert run(SCRIPT, str(tmp_path)) == "[]\nTrue torch.Size([1, 96])\n"


def test_a_module_that_needs_the_compiler_gets_it(tmp_path):
    assert run(NEEDS_MORE, str(tmp_path)) == "torch._dynamo.config\n"
