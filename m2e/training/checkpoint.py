"""The state of a training on disk: one file, replaced as a whole after every epoch, so that a kill finds the old or the
new one. What is in it are tensors, numbers, words, lists and dicts; nothing else would be loaded.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from m2e.errors import TrainingError

FILE = "checkpoint.pt"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Replaces the checkpoint in a folder."""
    replace_file(folder / FILE, lambda partial: torch.save(state, partial))


def load(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state that `save` wrote, on the CPU; None where there is none.

    Raises TrainingError where it is damaged, or its "fingerprint" is another one.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["fingerprint"]
    except Exception as error:  # a damaged file fails in many ways
        raise TrainingError(f"{path} is damaged: delete it, and train again.") from error
    if found != fingerprint:
        raise TrainingError(
            f"{path} belongs to another training (its recipe, data or start differ): give another --out, or delete it."
        )
    return state


def replace_file(path: Path, write: Callable[[Path], Any]) -> None:
    """Lets `write` make a file beside `path`, which then takes its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    write(partial)
    os.replace(partial, path)


def write_text(path: Path, text: str) -> None:
    replace_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def fingerprint(settings: Any, arrays: Iterable[Any]) -> str:
    """16 hex digits that change with JSON-able settings and with arrays or tensors."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for array in arrays:
        array = array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:16]
