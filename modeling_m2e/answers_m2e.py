"""`Answers`: the few numbers of a model, fitted after training, that make its outputs answers. Pure; no torch.

They are the setting `answers` of the configuration, an object whose parts are all optional. A model without a part does
not give the fields of a record that need it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .bounds_m2e import check_number
from .errors_m2e import ModelError

OWNER = "M2EConfig: answers"
DIMENSIONS = ("valence", "arousal")
MAX_KNOTS = 1001  # of a map, or quantiles of a collection
MAX_NAME = 200  # characters
_LIMIT = 1e3  # of points on the scale


@dataclass(frozen=True)
class MonotoneMap:
    """A piecewise linear map from increasing numbers to numbers that do not decrease; constant beyond its ends."""

    source: tuple[float, ...]
    target: tuple[float, ...]

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """The values, mapped; float64."""
        return np.interp(values, self.source, self.target)


@dataclass(frozen=True)
class Answers:
    """mood_base_rates: share of music with the tag, per tag; moods are then selected by their lift over it.

    quadrant_temperature: by which the quadrant's logits are divided, so that their softmax is a probability.
    calibration: from the outputs for valence and arousal to the scale on which 5 is neutral.
    """

    mood_base_rates: tuple[float, ...] | None = None
    quadrant_temperature: float = 1.0
    calibration: tuple[MonotoneMap, MonotoneMap] | None = None

    @classmethod
    def read(cls, content: Any, moods: int) -> "Answers":
        """The setting of a configuration with so many moods. Raises ModelError for anything but these parts."""
        if content is None:
            return cls()
        given = _object("", content, set(cls.__dataclass_fields__))
        rates = given.get("mood_base_rates")
        if rates is not None:
            rates = _numbers("mood_base_rates", rates, 1e-6, 1.0)
            if len(rates) != moods:
                raise ModelError(f"{OWNER}.mood_base_rates has {len(rates)} numbers for {moods} moods.")
        temperature = given.get("quadrant_temperature", 1.0)
        check_number(OWNER, "quadrant_temperature", temperature, 0.01, 100.0)
        return cls(rates, float(temperature), _per_dimension("calibration", given.get("calibration"), _map))

    def to_dict(self) -> dict[str, Any]:
        """What `read` reads; without the parts that are unknown."""
        found: dict[str, Any] = {"quadrant_temperature": self.quadrant_temperature}
        if self.mood_base_rates is not None:
            found["mood_base_rates"] = list(self.mood_base_rates)
        if self.calibration is not None:
            found["calibration"] = {
                name: {end: list(numbers) for end, numbers in asdict(line).items()}
                for name, line in zip(DIMENSIONS, self.calibration, strict=True)
            }
        return found

    def calibrated(self, va: np.ndarray) -> np.ndarray:
        """(..., 2) valence and arousal on the calibrated scale, of outputs of the network; float64."""
        if self.calibration is None:
            return va
        return np.stack([line(va[..., axis]) for axis, line in enumerate(self.calibration)], axis=-1)


# --- reading what a stranger's file says ---


def _object(name: str, content: Any, known: set[str]) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise ModelError(f"{OWNER}{name} is no object: save or download the model again.")
    if unknown := [str(key)[:40] for key in content if key not in known]:
        raise ModelError(f"{OWNER}{name} has the unknown part {unknown[0]!r}; it takes {', '.join(sorted(known))}.")
    return content


def _numbers(name: str, values: Any, low: float, high: float) -> tuple[float, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ModelError(f"{OWNER}.{name} is not a list of numbers: save or download the model again.")
    for value in values:
        check_number(OWNER, name, value, low, high)
    return tuple(map(float, values))


def _per_dimension(name: str, content: Any, read: Any) -> Any:
    """(of valence, of arousal), or None where nothing is given."""
    if content is None:
        return None
    parts = _object(f".{name}", content, set(DIMENSIONS))
    if missing := [each for each in DIMENSIONS if each not in parts]:
        raise ModelError(f"{OWNER}.{name} lacks {missing[0]}: save or download the model again.")
    return tuple(read(f"{name}.{each}", parts[each]) for each in DIMENSIONS)


def _map(name: str, content: Any) -> MonotoneMap:
    ends = _object(f".{name}", content, {"source", "target"})
    source, target = (_numbers(f"{name}.{end}", ends.get(end), -_LIMIT, _LIMIT) for end in ("source", "target"))
    if not 2 <= len(source) == len(target) <= MAX_KNOTS:
        raise ModelError(f"{OWNER}.{name} needs as many targets as sources, 2 to {MAX_KNOTS}.")
    if any(np.diff(source) <= 0) or any(np.diff(target) < 0):
        raise ModelError(f"{OWNER}.{name} does not increase: save or download the model again.")
    return MonotoneMap(source, target)
