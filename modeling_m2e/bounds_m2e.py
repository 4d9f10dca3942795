"""Bounds of the numbers in configuration files, checked before memory or time is spent on them."""

import math
from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import Any

from transformers import PreTrainedConfig

from .errors_m2e import ModelError

Bounds = Mapping[str, tuple[float, float]]  # names of settings, and the ends of their ranges
MAX_PARAMETERS = 1 << 30
MAX_LABELS = 10_000
RATE = (1_000, 192_000)  # Hz
DTYPES = ("float32", "float16", "bfloat16", "float64")


def check_number(owner: str, name: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    """Raises ModelError unless the value is a number (`whole`: a whole one) from `low` to `high`; NaN is not."""
    number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if not number or not low <= float(value) <= high:
        kind = "a whole number" if whole else "a number"
        raise ModelError(f"{owner}: {name} is {str(value)[:40]}; give {kind} from {low:g} to {high:g}.")


def check_numbers(config: object, whole: Bounds, real: Bounds, optional: Collection[str] = ()) -> None:
    """Raises ModelError unless the attributes of these names are numbers in their ranges, or `optional` and None."""
    for bounds in (whole, real):
        for name, (low, high) in bounds.items():
            value = getattr(config, name)
            if value is not None or name not in optional:
                check_number(type(config).__name__, name, value, low, high, bounds is whole)


def check_finite(owner: str, name: str, values: list[float]) -> None:
    """Raises ModelError for NaN and infinity."""
    if not all(map(math.isfinite, values)):
        raise ModelError(f"{owner}: {name} has numbers that are not finite: save or download the model again.")


def check_names(owner: str, name: str, values: Any, most: int = 64) -> None:
    """Raises ModelError unless the value is a list of at most `most` different words."""
    words = isinstance(values, list) and all(isinstance(value, str) and 0 < len(value) <= 64 for value in values)
    if not words or len(set(values)) < len(values) or len(values) > most:
        raise ModelError(f"{owner}: {name} is {str(values)[:60]}; give at most {most} different words.")


def check_common(config: PreTrainedConfig, settings: Mapping[str, Any]) -> None:
    """Raises ModelError for settings of every configuration that cost memory or name code.

    Called before the base class reads them.  settings: those that are no fields of the class.
    """
    owner = type(config).__name__
    if settings.get("num_labels") is not None:
        check_number(owner, "num_labels", settings["num_labels"], 0, MAX_LABELS, whole=True)
    if config.dtype is not None and str(config.dtype).removeprefix("torch.") not in DTYPES:
        raise ModelError(f"{owner}: dtype is {str(config.dtype)[:40]!r}; use {', '.join(DTYPES)}.")
    for name in ("attn_implementation", "_attn_implementation"):
        if "/" in str(settings.get(name)):  # a repo with compiled code
            raise ModelError(f"{owner}: {name} is {str(settings[name])[:40]!r}; use 'eager' or 'sdpa'.")


def check_parameters(owner: str, parameters: float) -> None:
    """Raises ModelError for a network of more than MAX_PARAMETERS weights."""
    if parameters > MAX_PARAMETERS:
        raise ModelError(f"{owner}: its sizes make {parameters:.1e} weights; at most {MAX_PARAMETERS:.1e} can be used.")
