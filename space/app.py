"""What Hugging Face Spaces starts. The page itself is m2e.space, which `m2e demo` starts as well."""

import os
from pathlib import Path

from m2e.space.app import build, launch
from m2e.space.tracks import pipeline

HERE = Path(__file__).resolve().parent
EXAMPLES = sorted([*HERE.glob("examples/*.ogg"), *HERE.parent.glob("examples/*.ogg")])
# A variable of the Space: hub ids that visitors can choose from, the first at the start.
MODELS = os.environ.get("M2E_MODELS", "m2e-small").split(",")

if __name__ == "__main__":
    pipeline(MODELS[0])  # before the first visitor comes
    launch(build(MODELS, EXAMPLES, any_model=False), max_file_size="200mb", prevent_thread_lock=False)
