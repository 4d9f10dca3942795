"""`Answers`: the few numbers of a model, fitted after training, that make its outputs answers. Pure; no torch.

They are the setting `answers` of the configuration, an object whose parts are all optional. A model without a part does
not give the fields of a record that need it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .bounds_m2e import Bounds, check_number
from .errors_m2e import ModelError

OWNER = "M2EConfig: answers"
DIMENSIONS = ("valence", "arousal")
MAX_KNOTS = 1001  # of a map, or quantiles of a collection
MAX_NAME = 200  # characters
FULL_SECONDS = 30.0  # of audio, beyond which a prediction gets no surer: the length of a training clip
MIN_SHARE = 0.01  # of FULL_SECONDS
SPREAD_FLOOR = 0.05  # points of the scale
_LIMIT = 1e3  # of points on the scale
# Ranges of the numbers of `Width`.
_WIDTH: Bounds = {"constant": (-10, 10), "spread": (0, 2), "seconds": (-2, 0), "below": (0, 100), "above": (0, 100)}


@dataclass(frozen=True)
class MonotoneMap:
    """A piecewise linear map from increasing numbers to numbers that do not decrease; constant beyond its ends."""

    source: tuple[float, ...]
    target: tuple[float, ...]

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        """The values, mapped; float64."""
        return np.asarray(np.interp(values, self.source, self.target))


@dataclass(frozen=True)
class Width:
    """The width of an interval around a value: below * scale and above * scale, where

    scale = exp(constant + spread * log(deviation of the members + SPREAD_FLOOR)
                + seconds * log(share of FULL_SECONDS that is used, at most 1)).

    Of a single network spread is 0.  seconds: at most 0, as less audio makes a prediction less certain.
    """

    constant: float
    spread: float
    seconds: float
    below: float
    above: float

    def scale(self, spread: np.ndarray | float, seconds: np.ndarray | float) -> np.ndarray:
        """The scale of an error, in points; float64."""
        share = np.clip(np.asarray(seconds, dtype=np.float64) / FULL_SECONDS, MIN_SHARE, 1.0)
        moved = np.log(np.asarray(spread, dtype=np.float64) + SPREAD_FLOOR)
        return np.exp(self.constant + self.spread * moved + self.seconds * np.log(share))

    def around(self, value: float, spread: float, seconds: float) -> tuple[float, float]:
        """The ends of the interval of a value."""
        scale = float(self.scale(spread, seconds))
        return value - self.below * scale, value + self.above * scale


@dataclass(frozen=True)
class Intervals:
    """level: share of labels that lie in the intervals of similar music."""

    level: float
    valence: Width
    arousal: Width

    def certainty(self, seconds: float) -> float | None:
        """0-1: the width of a whole track's intervals, as a share of the width after `seconds` of it; None where length
        was not learnt."""
        slope = (self.valence.seconds + self.arousal.seconds) / 2
        return float(np.clip(seconds / FULL_SECONDS, MIN_SHARE, 1.0) ** -slope) if slope else None


@dataclass(frozen=True)
class Percentiles:
    """reference: name of a collection.  valence, arousal: equally spaced quantiles of its values, 0 to 100 %."""

    reference: str
    valence: tuple[float, ...]
    arousal: tuple[float, ...]

    def of(self, name: str, value: float) -> float:
        """The share of the collection below the value, in percent."""
        quantiles = getattr(self, name)
        return float(np.interp(value, quantiles, np.linspace(0.0, 100.0, len(quantiles))))


@dataclass(frozen=True)
class Answers:
    """mood_base_rates: share of music with the tag, per tag; moods are then selected by their lift over it.

    quadrant_temperature: by which the quadrant's logits are divided, so that their softmax is a probability.
    calibration: from the outputs for valence and arousal to the scale on which 5 is neutral.
    intervals, percentiles: of the calibrated values.
    """

    mood_base_rates: tuple[float, ...] | None = None
    quadrant_temperature: float = 1.0
    calibration: tuple[MonotoneMap, MonotoneMap] | None = None
    intervals: Intervals | None = None
    percentiles: Percentiles | None = None

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
        return cls(
            rates,
            float(temperature),
            None if given.get("calibration") is None else _calibration(given["calibration"]),
            None if given.get("intervals") is None else _intervals(given["intervals"]),
            None if given.get("percentiles") is None else _percentiles(given["percentiles"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """What `read` reads; without the parts that are unknown."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        if self.calibration is not None:
            found["calibration"] = dict(zip(DIMENSIONS, found["calibration"], strict=True))
        return _lists(found)

    def calibrated(self, va: np.ndarray) -> np.ndarray:
        """(..., 2) valence and arousal on the calibrated scale, of outputs of the network."""
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


def _calibration(content: Any) -> tuple[MonotoneMap, MonotoneMap]:
    parts = _complete(".calibration", content, DIMENSIONS)
    valence, arousal = (_map(f"calibration.{each}", parts[each]) for each in DIMENSIONS)
    return valence, arousal


def _complete(name: str, content: Any, parts: Sequence[str]) -> Mapping[str, Any]:
    found = _object(name, content, set(parts))
    if missing := [each for each in parts if each not in found]:
        raise ModelError(f"{OWNER}{name} lacks {missing[0]}: save or download the model again.")
    return found


def _map(name: str, content: Any) -> MonotoneMap:
    ends = _complete(f".{name}", content, ("source", "target"))
    source, target = (_increasing(f"{name}.{end}", ends[end]) for end in ("source", "target"))
    if len(source) != len(target) or any(np.diff(source) <= 0):
        raise ModelError(f"{OWNER}.{name} is no map: give as many targets as sources, and sources that increase.")
    return MonotoneMap(source, target)


def _increasing(name: str, content: Any) -> tuple[float, ...]:
    numbers = _numbers(name, content, -_LIMIT, _LIMIT)
    if not 2 <= len(numbers) <= MAX_KNOTS or any(np.diff(numbers) < 0):
        raise ModelError(f"{OWNER}.{name} needs 2 to {MAX_KNOTS} numbers that do not decrease.")
    return numbers


def _intervals(content: Any) -> Intervals:
    parts = _complete(".intervals", content, ("level", *DIMENSIONS))
    check_number(OWNER, "intervals.level", parts["level"], 0.01, 0.999)
    return Intervals(float(parts["level"]), *(_width(f"intervals.{each}", parts[each]) for each in DIMENSIONS))


def _width(name: str, content: Any) -> Width:
    numbers = _complete(f".{name}", content, tuple(_WIDTH))
    for each, (low, high) in _WIDTH.items():
        check_number(OWNER, f"{name}.{each}", numbers[each], low, high)
    return Width(**{each: float(numbers[each]) for each in _WIDTH})


def _percentiles(content: Any) -> Percentiles:
    parts = _complete(".percentiles", content, ("reference", *DIMENSIONS))
    name = parts["reference"]
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ModelError(f"{OWNER}.percentiles.reference is no name: give up to {MAX_NAME} printable characters.")
    return Percentiles(name, *(_increasing(f"percentiles.{each}", parts[each]) for each in DIMENSIONS))


def _lists(value: Any) -> Any:
    """The value with lists for tuples, as JSON has it."""
    if isinstance(value, dict):
        return {name: _lists(item) for name, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple) else value
