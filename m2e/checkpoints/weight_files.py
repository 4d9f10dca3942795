"""Files of weights: whether they are whole, and how to read those of others without running code from them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from m2e.errors import ModelError, reason
from modeling_m2e.errors_m2e import UNREADABLE

Allowed = Callable[..., Any] | tuple[Callable[..., Any], str]  # a class or function, and the name that files give it


def load_safely(path: Path, allowed: Sequence[Allowed] = ()) -> object:
    """The object that torch.save wrote into `path`, with its tensors on the CPU.

    allowed: classes and functions that the file may name, in addition to those of tensors.
    Raises ModelError. Its sentence does not repeat torch's advice to read the file without protection.
    """
    import torch

    if not path.is_file():
        raise ModelError(f"{path} is not a file: give the path of a checkpoint.")
    try:
        with torch.serialization.safe_globals(list(allowed)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise ModelError(f"{path} cannot be read safely: download it again from where it was published.") from error
    except OSError as error:
        raise ModelError(
            f"{path} cannot be opened ({error.strerror or reason(error)}): check its permissions."
        ) from error


def check_weights(path: Path) -> None:
    """Raises ModelError for a .safetensors file that is cut off, damaged or empty; only its header is read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:  # the header says how long the file must be
            tensors = len(list(file.keys()))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged ({reason(error)}): save or download it again.") from error
    if not tensors:
        raise ModelError(f"{path} holds no weights: save or download it again.")
