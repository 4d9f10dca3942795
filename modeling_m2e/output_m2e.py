"""`interpret`: predictions from the outputs of the network; `compose`: the record of a track. Pure; no torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from .answers_m2e import DIMENSIONS, FULL_SECONDS, Answers, Width
from .chord_labels_m2e import ChordSegment
from .descriptors_m2e import NOT_MUSIC, describe_track, is_music
from .errors_m2e import ModelError
from .key_m2e import Key
from .record_m2e import CurvePoint, Mood, MusicEmotion, Segment
from .scale_m2e import QUADRANTS, between, quadrant
from .segments_m2e import highlight, stretches
from .words_m2e import select_by_lift, select_by_threshold, summary

if TYPE_CHECKING:
    import torch

    from .configuration_m2e import M2EConfig

    Numbers = np.ndarray | torch.Tensor | Sequence


SEGMENT_MOODS = 3
CENTRAL = 0.25  # points from the middle of the plane, on both axes, within which quadrants tell little


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
    answers = Answers.read(config.answers, config.num_labels)
    values = _on_scale(va, config, answers)
    if quadrant_logits is None:
        neutral = neutral_place(config, answers)
        names = [quadrant(valence, arousal, *neutral) for valence, arousal in values.tolist()]
        quadrants = np.array([QUADRANTS.index(name) for name in names], dtype=np.int64)
    else:
        quadrants = _array(quadrant_logits).argmax(axis=1)
    return Predictions(calibrate(mood_logits, config.mood_scale, config.mood_offset), values, quadrants)


def neutral_place(config: "M2EConfig", answers: Answers) -> tuple[float, float]:
    """Where the quadrants meet, on the scale of records."""
    valence, arousal = answers.calibrated(_array([config.neutral_valence, config.neutral_arousal])).tolist()
    return valence, arousal


def _on_scale(va: "Numbers", config: "M2EConfig", answers: Answers) -> np.ndarray:
    return np.clip(answers.calibrated(_array(va)), config.va_min, config.va_max)


def compose(
    mood_logits: "Numbers",
    va: "Numbers",
    quadrant_logits: "Numbers | None" = None,
    window_va: "Numbers | None" = None,
    window_mood_logits: "Numbers | None" = None,
    descriptor_logits: "Numbers | None" = None,
    va_spread: "Numbers | None" = None,
    *,
    config: "M2EConfig",
    windows: Sequence[Span] = (),
    embeddings: "Numbers | None" = None,
    path: str | None = None,
    duration: float | None = None,
    key: Key | None = None,
    chords: Sequence[ChordSegment] | None = None,
    model: str | None = None,
    seconds_used: float | None = None,
    warnings: Sequence[str] = (),
    tempo: float | None = None,
) -> MusicEmotion:
    """The record of one track, from the network's outputs for it.

    mood_logits: (M,).  va: (2,).  quadrant_logits: (4,); None = the quadrant follows from valence and arousal.
    window_va: (W, 2), window_mood_logits: (W, M); W may exceed the number of windows, as a batch is padded.
    descriptor_logits: (D,) of config.descriptors.
    va_spread: (2,), by which the intervals are wider; None = of a single network.
    embeddings: (windows, width), by which the highlight is chosen.
    config: for labels, calibration, thresholds, scale and `Answers`.
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

    answers = Answers.read(config.answers, config.num_labels)
    logits = None if quadrant_logits is None else quadrants[None]
    (scores,), ((valence, arousal),), (best,) = interpret(mood_logits[None], va[None], logits, config=config)
    music, attributes = None, None
    if descriptor_logits is not None:
        music, attributes = describe_track(config.descriptors or [], _array(descriptor_logits))
    musical = is_music(music)
    selected = _selected(scores, config, answers) if musical else []
    record = MusicEmotion(
        path=path,
        duration=None if duration is None else float(duration),
        valence=float(valence),
        arousal=float(arousal),
        quadrant=QUADRANTS[best],
        moods=[Mood(config.id2label[index], float(scores[index])) for index in np.argsort(-scores, kind="stable")],
        selected_moods=selected,
        key=key,
        chords=None if chords is None else list(chords),
        model=model,
        seconds_used=seconds_used,
        warnings=[*warnings, *([] if musical else [NOT_MUSIC])],
        music=music,
        attributes=attributes,
        tempo=tempo,
    )
    middle = neutral_place(config, answers)
    if logits is not None:
        record.quadrant_scores = _quadrant_scores(quadrants, answers)
        record.between = between(record.quadrant_scores, quadrant(valence, arousal, *middle))
    if window_va is not None:
        points = _on_scale(curve_va, config, answers).tolist()
        record.curve = [
            CurvePoint(float(window.start), float(window.end), *point)
            for window, point in zip(windows, points, strict=False)  # a batch pads windows
        ]
        moods = None if window_mood_logits is None else _array(window_mood_logits)
        record.segments = _segments(record.curve, moods, config, answers)
        record.highlight = highlight(record.curve, None if embeddings is None else _array(embeddings, np.float32))
    _place_among_others(record, np.zeros(2) if va_spread is None else _array(va_spread), config, answers)
    if musical:
        off = np.abs(np.subtract((valence, arousal), middle))
        record.summary = summary(selected, record.quadrant, record.between, key, tempo, bool((off < CENTRAL).all()))
    return record


def _selected(probabilities: np.ndarray, config: "M2EConfig", answers: Answers) -> list[str]:
    """The names of the moods that describe music with these probabilities (M,), best first."""
    if answers.mood_base_rates is not None:
        chosen = select_by_lift(probabilities, np.array(answers.mood_base_rates))
    else:
        thresholds = [0.5] * len(probabilities) if config.mood_thresholds is None else config.mood_thresholds
        chosen = select_by_threshold(probabilities, np.array(thresholds))
    return [config.id2label[index] for index in chosen]


def _quadrant_scores(logits: np.ndarray, answers: Answers) -> dict[str, float]:
    scaled = logits / answers.quadrant_temperature
    odds = np.exp(scaled - scaled.max())
    return dict(zip(QUADRANTS, (odds / odds.sum()).tolist(), strict=True))


def _place_among_others(record: MusicEmotion, spread: np.ndarray, config: "M2EConfig", answers: Answers) -> None:
    """Sets intervals, confidence and percentiles, as far as the model knows them."""
    if answers.intervals is not None:
        seconds = record.seconds_used or record.duration or FULL_SECONDS
        for index, name in enumerate(DIMENSIONS):
            width: Width = getattr(answers.intervals, name)
            low, high = width.around(getattr(record, name), spread[index], seconds)
            setattr(record, f"{name}_interval", (max(low, config.va_min), min(high, config.va_max)))
        record.confidence = answers.intervals.certainty(seconds)
    if answers.percentiles is not None:
        record.valence_percentile = answers.percentiles.of("valence", record.valence)
        record.arousal_percentile = answers.percentiles.of("arousal", record.arousal)


def _segments(
    curve: list[CurvePoint], mood_logits: np.ndarray | None, config: "M2EConfig", answers: Answers
) -> list[Segment]:
    found = []
    for part in stretches(curve):
        points = curve[part.first : part.last]
        valence, arousal = np.mean([[point.valence, point.arousal] for point in points], axis=0).tolist()
        moods: list[str] = []
        if mood_logits is not None:
            logits = mood_logits[part.first : part.last].mean(axis=0)
            probabilities = calibrate(logits, config.mood_scale, config.mood_offset)
            moods = _selected(probabilities, config, answers)[:SEGMENT_MOODS]
        found.append(Segment(part.start, part.end, valence, arousal, moods))
    return found


def _array(values: "Numbers", dtype: type = np.float64) -> np.ndarray:
    """The numbers of an array, list, or tensor of any device and precision, in `dtype`."""
    if hasattr(values, "detach"):  # a tensor
        values = values.detach().cpu()  # first: some devices have no doubles
        values = (values.double() if dtype is np.float64 else values.float()).numpy()
    return np.asarray(values, dtype=dtype)
