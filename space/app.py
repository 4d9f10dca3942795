"""The entry point for Hugging Face Spaces. The page itself is m2e.space, which `m2e demo` serves, too."""

import os
from pathlib import Path

from m2e.space.app import build, launch
from m2e.space.tracks import pipeline

HERE = Path(__file__).resolve().parent
EXAMPLES = sorted([*HERE.glob("examples/*.ogg"), *HERE.parent.glob("examples/*.ogg")])
# A variable of the Space: hub ids to choose from; the first is the default.
MODELS = [name.strip() for name in os.environ.get("M2E_MODELS", "m2e-small").split(",")]

if __name__ == "__main__":
    pipeline(MODELS[0])  # so that the first visitor need not wait
    launch(build(MODELS, EXAMPLES, any_model=False), prevent_thread_lock=False)
