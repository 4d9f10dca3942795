"""`interpret`: predictions from the outputs of the network; `compose`: the record of a track. Pure; no torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from .chord_labels_m2e import ChordSegment
from .errors_m2e import ModelError
from .key_m2e import Key
from .record_m2e import CurvePoint, Mood, MusicEmotion
from .scale_m2e import QUADRANTS, quadrant

if TYPE_CHECKING:
    import torch

    from .configuration_m2e import M2EConfig

    Numbers = np.ndarray | torch.Tensor | Sequence


class Span(Protocol):
    """Anything with a start and an end, such as a `Window`; seconds."""

    @property
    def start(self) -> float: ...

    @property
    def end(self) -> float: ...


def calibrate(
    logits: "Numbers", scale: Sequence[float] | None = None, offset: Sequence[float] | None = None
) -> np.ndarray:
    """(..., M) probabilities sigmoid(scale * logit + offset), float64."""
    x = _array(logits)
    if scale is not None:
        x = x * np.asarray(scale, dtype=np.float64)
    if offset is not None:
        x = x + np.asarray(offset, dtype=np.float64)
    return sigmoid(x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


class Predictions(NamedTuple):
    """moods: (n, M) probabilities.  va: (n, 2) valence and arousal, 1-9.  quadrants: (n,) indices, 0 for Q1."""

    moods: np.ndarray
    va: np.ndarray
    quadrants: np.ndarray


def interpret(
    mood_logits: "Numbers", va: "Numbers", quadrant_logits: "Numbers | None" = None, *, config: "M2EConfig"
) -> Predictions:
    """The predictions for n tracks from the network's outputs (n, M), (n, 2) and (n, 4).

    Without quadrant_logits the quadrants follow from valence and arousal.  config: for calibration, neutral and scale.
    """
    values = _array(va)
    if quadrant_logits is None:
        neutral = config.neutral_valence, config.neutral_arousal
        names = [quadrant(valence, arousal, *neutral) for valence, arousal in values.tolist()]
        quadrants = np.array([QUADRANTS.index(name) for name in names], dtype=np.int64)
    else:
        quadrants = _array(quadrant_logits).argmax(axis=1)
    moods = calibrate(mood_logits, config.mood_scale, config.mood_offset)
    return Predictions(moods, np.clip(values, config.va_min, config.va_max), quadrants)


def compose(
    mood_logits: "Numbers",
    va: "Numbers",
    quadrant_logits: "Numbers | None" = None,
    window_va: "Numbers | None" = None,
    *,
    config: "M2EConfig",
    windows: Sequence[Span] = (),
    path: str | None = None,
    duration: float | None = None,
    key: Key | None = None,
    chords: Sequence[ChordSegment] | None = None,
    model: str | None = None,
    seconds_used: float | None = None,
    warnings: Sequence[str] = (),
) -> MusicEmotion:
    """The record of one track, from the network's outputs for it.

    mood_logits: (M,).  va: (2,).  quadrant_logits: (4,); None = the quadrant follows from valence and arousal.
    window_va: (W, 2); W may exceed the number of windows, as a batch is padded.
    config: for labels, calibration, thresholds and scale.
    Raises: ModelError when an output of the network is not finite.
    """
    mood_logits, va = _array(mood_logits), _array(va)
    curve_va = np.zeros((0, 2)) if window_va is None else _array(window_va)
    quadrants = np.zeros(0) if quadrant_logits is None else _array(quadrant_logits)
    if not all(np.isfinite(values).all() for values in (mood_logits, va, curve_va, quadrants)):
        raise ModelError(
            f"The outputs of the model for {path or 'the track'} are not finite: check its weights and its precision."
        )
    if window_va is not None and len(windows) > len(curve_va):
        raise ValueError(f"{len(windows)} windows, but the valence-arousal of {len(curve_va)}.")

    labels = [config.id2label[index] for index in range(len(mood_logits))]
    logits = None if quadrant_logits is None else quadrants[None]
    (scores,), ((valence, arousal),), (best,) = interpret(mood_logits[None], va[None], logits, config=config)
    thresholds = np.full(len(scores), 0.5) if config.mood_thresholds is None else np.asarray(config.mood_thresholds)
    best_first = np.argsort(-scores, kind="stable")

    curve = None
    if window_va is not None:
        clipped = np.clip(curve_va, config.va_min, config.va_max).tolist()
        curve = [
            CurvePoint(float(window.start), float(window.end), *point)
            for window, point in zip(windows, clipped, strict=False)  # a batch pads windows
        ]
    return MusicEmotion(
        path=path,
        duration=None if duration is None else float(duration),
        valence=float(valence),
        arousal=float(arousal),
        quadrant=QUADRANTS[best],
        moods=[Mood(labels[index], float(scores[index])) for index in best_first],
        selected_moods=[labels[index] for index in best_first if scores[index] > thresholds[index]],
        key=key,
        chords=None if chords is None else list(chords),
        curve=curve,
        model=model,
        seconds_used=seconds_used,
        warnings=list(warnings),
    )


def _array(values: "Numbers") -> np.ndarray:
    """float64 copy of an array, list, or tensor of any device and precision."""
    if hasattr(values, "detach"):  # a tensor
        values = values.detach().cpu().double().numpy()  # in this order: some devices have no doubles
    return np.asarray(values, dtype=np.float64)
