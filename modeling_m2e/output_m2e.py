"""The answer: one record per track, and how the network's numbers become it. Pure; no torch."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass

import numpy as np

from .chord_labels_m2e import ChordSegment
from .key_m2e import Key, KeySegment

QUADRANTS = ("Q1", "Q2", "Q3", "Q4")
QUADRANT_WORDS = {"Q1": "happy, energetic", "Q2": "tense, angry", "Q3": "sad", "Q4": "calm"}  # Russell's
SCALE = (1, 9)  # of valence and arousal
POLES = {"valence": ("unpleasant", "pleasant"), "arousal": ("calm", "energetic")}  # what its ends mean
_TIMES = ("start", "end", "duration")
_ON_REQUEST = ("key_segments",)  # fields that a mapping has only where they are known


@dataclass(frozen=True)
class Mood:
    """A mood tag and its calibrated probability."""

    label: str
    score: float


@dataclass(frozen=True)
class CurvePoint:
    """Valence and arousal (1-9) of one window of the track; times in seconds."""

    start: float
    end: float
    valence: float
    arousal: float


@dataclass
class MusicEmotion(Mapping):
    """What is known about one track. Names and order of the fields are a contract.

    Attributes hold exact, typed values. As a mapping (`record["valence"]`, `dict(record)`) it gives the plain, rounded
    values that JSON, tables and data sets take.

    path: file, URL, or what else named the audio.  duration: seconds.
    valence, arousal: 1-9.  quadrant: "Q1" to "Q4" (Russell).
    moods: every tag, best first.  selected_moods: names of those above their threshold, best first.
    key, chords: None where no key could be decided, or harmony was not asked for.
    key_segments: the keys over time, only where they were asked for; empty where nothing decides them.
    curve: valence and arousal over time.  model: name of the model.
    error: None, or one sentence; then all but path and model is None.
    """

    path: str | None = None
    duration: float | None = None
    valence: float | None = None
    arousal: float | None = None
    quadrant: str | None = None
    moods: list[Mood] | None = None
    selected_moods: list[str] | None = None
    key: Key | None = None
    chords: list[ChordSegment] | None = None
    key_segments: list[KeySegment] | None = None
    curve: list[CurvePoint] | None = None
    model: str | None = None
    error: str | None = None

    @classmethod
    def failure(cls, path: str | None, sentence: str, model: str | None = None) -> "MusicEmotion":
        """The record of a track that could not be read."""
        return cls(path=path, model=model, error=sentence)

    def to_dict(self) -> dict:
        """Plain dicts, lists, strings and numbers: times to 3 decimals, all else to 4."""
        return dict(self)

    def to_json(self, indent: int | None = None) -> str:
        """One JSON object, on one line unless `indent` is given."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent)

    def plot(self, file: str | os.PathLike | None = None):
        """A matplotlib figure of the valence-arousal plane and the emotion curve, written to `file` if one is given.

        file: ends in .png, .pdf or .svg.
        Raises: ValueError for another name or a failed track, ImportError without matplotlib.
        """
        from .plot_m2e import figure, save

        drawn = figure([self])
        if file is not None:
            save(drawn, file)
        return drawn

    def __getitem__(self, name: str):
        if name not in self._names():
            raise KeyError(name)
        return _plain(name, getattr(self, name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        return [f.name for f in fields(self) if f.name not in _ON_REQUEST or getattr(self, f.name) is not None]


def _plain(name: str, value):
    if value is None or isinstance(value, str):
        return value
    if is_dataclass(value):
        return {field.name: _plain(field.name, getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Sequence):
        return [_plain(name, item) for item in value]
    return round(float(value), 3 if name in _TIMES else 4)


def quadrant(valence: float, arousal: float, neutral_valence: float = 5.0, neutral_arousal: float = 5.0) -> str:
    """Russell's quadrant: Q1 happy, energetic; Q2 tense, angry; Q3 sad; Q4 calm. Neutral counts as positive."""
    if arousal >= neutral_arousal:
        return "Q1" if valence >= neutral_valence else "Q2"
    return "Q4" if valence >= neutral_valence else "Q3"


def calibrate(logits, scale: Sequence[float] | None = None, offset: Sequence[float] | None = None) -> np.ndarray:
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


def compose(
    mood_logits,
    va,
    quadrant_logits=None,
    window_va=None,
    *,
    config,
    windows: Sequence = (),
    path: str | None = None,
    duration: float | None = None,
    key: Key | None = None,
    chords: Sequence[ChordSegment] | None = None,
    model: str | None = None,
) -> MusicEmotion:
    """The record of one track, from the network's outputs for it.

    mood_logits: (M,).  va: (2,).  quadrant_logits: (4,); None = the quadrant follows from valence and arousal.
    window_va: (W, 2); a batch pads, so W may exceed the windows.  windows: objects with `start`, `end` in seconds.
    config: an M2EConfig, for labels, calibration, thresholds and scale.
    Raises ValueError when the network gave a value that is not finite.
    """
    mood_logits, va = _array(mood_logits), _array(va)
    curve_va = np.zeros((0, 2)) if window_va is None else _array(window_va)
    quadrants = np.zeros(0) if quadrant_logits is None else _array(quadrant_logits)
    if not all(np.isfinite(values).all() for values in (mood_logits, va, curve_va, quadrants)):
        raise ValueError(f"The model gave no finite values for {path or 'the track'}: check its weights and precision.")
    if window_va is not None and len(windows) > len(curve_va):
        raise ValueError(f"{len(windows)} windows were given with valence-arousal of {len(curve_va)}.")

    labels = [config.id2label[index] for index in range(len(mood_logits))]
    scores = calibrate(mood_logits, config.mood_scale, config.mood_offset)
    thresholds = np.full(len(scores), 0.5) if config.mood_thresholds is None else np.asarray(config.mood_thresholds)
    best_first = np.argsort(-scores, kind="stable")

    if quadrant_logits is None:
        where = quadrant(va[0], va[1], config.neutral_valence, config.neutral_arousal)
    else:
        where = QUADRANTS[int(quadrants.argmax())]
    valence, arousal = np.clip(va, config.va_min, config.va_max).tolist()
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
        valence=valence,
        arousal=arousal,
        quadrant=where,
        moods=[Mood(labels[index], float(scores[index])) for index in best_first],
        selected_moods=[labels[index] for index in best_first if scores[index] > thresholds[index]],
        key=key,
        chords=None if chords is None else list(chords),
        curve=curve,
        model=model,
    )


def _array(values) -> np.ndarray:
    """float64 copy of an array, list, or tensor of any device and precision."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()  # in this order: some devices have no doubles
    return np.asarray(values, dtype=np.float64)
