"""The records of tracks: `MusicEmotion`, `TrackHarmony` and, for a track that failed, `FailedTrack`. Pure; no torch.

Attributes hold exact, typed values. As a mapping (`record["valence"]`, `dict(record)`) a record gives the plain,
rounded values that JSON, tables and data sets take.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from .chord_labels_m2e import ChordSegment
from .key_m2e import Key, KeySegment

if TYPE_CHECKING:
    import numpy as np

    try:  # else transformers asks everyone who loads a model repository to install these
        from matplotlib.figure import Figure
        from pandas import DataFrame
    except ImportError:
        pass

_TIMES = ("start", "end", "duration", "seconds_used")
# Fields that a mapping has only where they are known; these two where there are warnings, `between` with the scores.
_WARNED = ("seconds_used", "warnings")
_PERCENTILES = ("valence_percentile", "arousal_percentile")
_ANSWERS = (
    *("summary", "quadrant_scores", "segments", "highlight", "valence_interval", "arousal_interval", "confidence"),
    *(*_PERCENTILES, "music", "attributes", "tempo"),
)
_ON_REQUEST = ("key_segments", *_WARNED, *_ANSWERS, "between")
_NEVER = ("embedding", "embeddings")  # attributes only
_TENTHS = (*_PERCENTILES, "tempo")  # rounded to 1 decimal
_TEXTS: dict[str, Callable[[list], str]] = {  # of lists, in a flat row
    "selected_moods": ";".join,
    "chords": lambda chords: " ".join(chord["label"] for chord in chords),
    "key_segments": lambda keys: ";".join(f"{part['start']} {part['end']} {part['key']}" for part in keys),
    "warnings": " ".join,
    "between": " ".join,
    "segments": lambda parts: ";".join(
        f"{part['start']} {part['end']} {part['valence']} {part['arousal']} {','.join(part['moods'])}" for part in parts
    ),
}
_TABLES = ("moods", "chords", "key_segments", "curve", "segments")  # of a record, that are tables


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


@dataclass(frozen=True)
class Segment:
    """A part of the track whose emotion hardly changes: its mean valence and arousal, and up to three moods."""

    start: float
    end: float
    valence: float
    arousal: float
    moods: list[str]


@dataclass(frozen=True)
class Highlight:
    """The part that is most like the whole track; seconds."""

    start: float
    end: float


class Record(Mapping[str, Any]):
    """What the records of tracks share: the plain values of their fields, as a mapping and as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers: times to 3 decimals, percentiles and tempo to 1, all else to 4."""
        return dict(self)

    def to_json(self, indent: int | None = None) -> str:
        """One JSON object, on one line unless `indent` is given."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent)

    def to_row(self) -> dict[str, Any]:
        """One flat row: `mood_<label>`, `key_<field>`, `quadrant_<name>`, attributes by name, texts for other lists."""
        row: dict[str, Any] = {}
        for name, value in self.items():
            if name == "moods":
                row |= {f"mood_{mood['label']}": mood["score"] for mood in value or []}
            elif name == "key":
                row |= {f"key_{part}": content for part, content in (value or {}).items()}
            elif name == "quadrant_scores":
                row |= {f"quadrant_{quadrant}": score for quadrant, score in (value or {}).items()}
            elif name == "attributes":
                row |= value or {}
            elif name == "highlight":
                row[name] = "{start} {end}".format(**value)
            elif name.endswith("_interval"):
                row[name] = " ".join(map(str, value))
            elif name in _TEXTS:
                row[name] = _TEXTS[name](value or [])
            elif name != "curve":
                row[name] = value
        return row

    def to_pandas(self, part: str | None = None) -> "DataFrame":
        """A table of one row, see `to_row`; or with `part` a table of it: "moods", "chords", "key_segments", "curve" or
        "segments".

        `pandas.concat` joins those of several records. Raises: ValueError for another part; ImportError without pandas.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise ImportError("Tables need pandas: install it with pip install pandas.") from None
        if part is None:
            return DataFrame([self.to_row()])
        if part not in _TABLES:
            raise ValueError(f"A record has no table {part!r}: choose {', '.join(_TABLES)}.")
        return DataFrame(self.get(part) or [])

    def __getitem__(self, name: str) -> Any:
        if name not in self._names():
            raise KeyError(name)
        return _plain(name, getattr(self, name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        raise NotImplementedError


def _known(record: Any) -> list[str]:
    hidden = {name for name in _ON_REQUEST if getattr(record, name, None) is None}
    if not record.warnings:
        hidden |= set(_WARNED)
    if "quadrant_scores" not in hidden:
        hidden -= {"between"}  # None means that one quadrant is right
    return [each.name for each in fields(record) if each.name not in hidden and each.name not in _NEVER]


@dataclass
class MusicEmotion(Record):
    """The emotion of one track. Names and order of the fields are a contract.

    path: file, URL, or what else named the audio.  duration: seconds.
    valence, arousal: 1-9.  quadrant: "Q1" to "Q4" (Russell).
    moods: every tag, best first.  selected_moods: names of those that describe the track, best first; by their lift
    over the base rate if the model knows it, else those above their threshold.
    key, chords: None where no key could be decided, or harmony was not asked for.
    key_segments: the keys over time, only where they were asked for; empty where nothing decides them.
    curve: valence and arousal over time.  model: name of the model.  error: always None; see `FailedTrack`.
    warnings: one sentence each about what is wrong with the audio; empty normally.
    seconds_used: of audio that could be decoded. A mapping has these two only where there are warnings.
    summary: a sentence, such as "Dark and tense, F major".
    quadrant_scores: probability of each quadrant; None for a model without a head for them, as is `between`.
    between: the two quadrants that the track lies between; None where `quadrant` alone is right.
    segments: the curve in parts of constant emotion.  highlight: the 30 s that are most like the whole track.
    valence_interval, arousal_interval: (low, high) that hold the labels of 80 % of similar tracks, if the model knows.
    valence_percentile, arousal_percentile: 0-100, of a reference collection that the model's configuration names.
    confidence: 0-1; how much of the certainty about a full-length track remains after `duration`.
    music: how much the track is music, 0-1.  attributes: energy, danceability and others, 0-1; see `ATTRIBUTES`.
    tempo: beats per minute, only where it was asked for and there is a beat; it may be half or double.
    embeddings: (windows, width) float32, the encoder's embedding of each point of the curve.
    embedding: (width,) float32, their mean, weighted by the durations of the windows.
    Both only where they were asked for, and never in a mapping.
    """

    path: str | None
    duration: float | None
    valence: float
    arousal: float
    quadrant: str
    moods: list[Mood]
    selected_moods: list[str]
    key: Key | None = None
    chords: list[ChordSegment] | None = None
    key_segments: list[KeySegment] | None = None
    curve: list[CurvePoint] | None = None
    model: str | None = None
    error: None = None
    seconds_used: float | None = None
    warnings: list[str] = field(default_factory=list)
    summary: str | None = None
    quadrant_scores: dict[str, float] | None = None
    between: list[str] | None = None
    segments: list[Segment] | None = None
    highlight: Highlight | None = None
    valence_interval: tuple[float, float] | None = None
    arousal_interval: tuple[float, float] | None = None
    valence_percentile: float | None = None
    arousal_percentile: float | None = None
    confidence: float | None = None
    music: float | None = None
    attributes: dict[str, float] | None = None
    tempo: float | None = None
    embedding: "np.ndarray | None" = field(default=None, repr=False, compare=False)
    embeddings: "np.ndarray | None" = field(default=None, repr=False, compare=False)

    _names = _known

    def plot(self, file: str | os.PathLike[str] | None = None) -> "Figure":
        """A matplotlib figure of the valence-arousal plane and the emotion curve, written to `file` if one is given.

        file: ends in .png, .pdf or .svg.
        Raises: ValueError for a file of another name; ImportError without matplotlib.
        """
        from .plot_m2e import figure, save

        drawn = figure([self])
        if file is not None:
            save(drawn, file)
        return drawn

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from .html_m2e import card

        return card(self)


@dataclass
class TrackHarmony(Record):
    """Chords and key of one track; the fields mean what they mean in `MusicEmotion`."""

    path: str | None
    duration: float
    key: Key | None
    chords: list[ChordSegment]
    key_segments: list[KeySegment] | None = None
    model: str | None = None
    error: None = None
    seconds_used: float | None = None
    warnings: list[str] = field(default_factory=list)

    _names = _known


@dataclass
class FailedTrack(Record):
    """A track that could not be analysed. As a mapping it has the fields of `MusicEmotion`, None but for these three.

    error: one sentence that names the track.
    """

    path: str | None
    error: str
    model: str | None = None

    def __getattr__(self, name: str) -> None:
        if name not in _EMOTION_FIELDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _names(self) -> list[str]:
        return [name for name in _EMOTION_FIELDS if name not in _ON_REQUEST + _NEVER]


_EMOTION_FIELDS = tuple(each.name for each in fields(MusicEmotion))


def _plain(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if is_dataclass(value):
        found = {each.name: getattr(value, each.name) for each in fields(value)}
        return {key: _plain(key, item) for key, item in found.items() if item is not None}
    if isinstance(value, Mapping):
        return {key: _plain(key, item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(name, item) for item in value]
    return round(float(value), 3 if name in _TIMES else 1 if name in _TENTHS else 4)


_PARTS: dict[str, Callable[..., Any]] = {
    "moods": Mood,
    "chords": ChordSegment,
    "key_segments": KeySegment,
    "curve": CurvePoint,
    "segments": Segment,
}


def record_of(values: Mapping[str, Any]) -> MusicEmotion | FailedTrack:
    """The record that became these plain values, which `to_dict` and JSON give."""
    if values["error"] is not None:
        return FailedTrack(values["path"], values["error"], values["model"])
    typed = dict(values)
    for name, kind in _PARTS.items():
        if typed.get(name) is not None:
            typed[name] = [kind(**part) for part in typed[name]]
    for name, kind in {"key": Key, "highlight": Highlight}.items():
        if typed.get(name) is not None:
            typed[name] = kind(**typed[name])
    for name in ("valence_interval", "arousal_interval"):
        if typed.get(name) is not None:
            typed[name] = tuple(typed[name])
    return MusicEmotion(**typed)
