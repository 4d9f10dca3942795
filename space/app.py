"""The entry point for Hugging Face Spaces. The page itself is m2e.space, which `m2e demo` serves, too."""

import os

from m2e.space.app import launch, open_page

# A variable of the Space: hub ids to choose from; the first is the default.
MODELS = [name.strip() for name in os.environ.get("M2E_MODELS", "m2e-small").split(",")]

if __name__ == "__main__":
    launch(open_page(MODELS, any_model=False), prevent_thread_lock=False)
