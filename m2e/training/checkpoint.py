"""The state of a training on disk: one file, replaced as a whole after every epoch.

It holds tensors, numbers, strings, lists and dicts; nothing else would be loaded.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from m2e.errors import TrainingError
from m2e.storage import write_whole

FILE = "checkpoint.pt"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Replaces the checkpoint in a folder."""
    write_whole(folder / FILE, lambda partial: torch.save(state, partial))


def load(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state that `save` wrote, on the CPU; None without one.

    Raises TrainingError where it is damaged, or its "fingerprint" is another one.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        of_file = state["fingerprint"]
    except Exception as error:  # a damaged file makes the unpickler raise anything
        raise TrainingError(f"{path} is damaged: delete it, and train again.") from error
    if of_file != fingerprint:
        raise TrainingError(
            f"{path} belongs to another training (its recipe, data or start differ): give another --out, or delete it."
        )
    return state


def fingerprint(settings: Any, arrays: Iterable[Any]) -> str:
    """16 hex digits that change with JSON-able settings and with arrays or tensors."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for array in arrays:
        array = array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:16]


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of the random numbers of this process."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states["device"] = torch.get_device_module(device).get_rng_state(device)
    return states


def set_random_state(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restores what `random_state` gave."""
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu" and "device" in states:
        torch.get_device_module(device).set_rng_state(states["device"], device)
