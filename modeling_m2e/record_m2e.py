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
# Fields that a mapping has only where they are known; the last two only where there are warnings.
_ON_REQUEST = ("key_segments", "seconds_used", "warnings")
_NEVER = ("embedding", "embeddings")  # attributes only
_TEXTS: dict[str, Callable[[list], str]] = {  # of lists, in a flat row
    "selected_moods": ";".join,
    "chords": lambda chords: " ".join(chord["label"] for chord in chords),
    "key_segments": lambda keys: ";".join(f"{part['start']} {part['end']} {part['key']}" for part in keys),
    "warnings": " ".join,
}
_PARTS = ("moods", "chords", "key_segments", "curve")  # of a record, that are tables


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


class Record(Mapping[str, Any]):
    """What the records of tracks share: the plain values of their fields, as a mapping and as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers: times to 3 decimals, all else to 4."""
        return dict(self)

    def to_json(self, indent: int | None = None) -> str:
        """One JSON object, on one line unless `indent` is given."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=indent)

    def to_row(self) -> dict[str, Any]:
        """One flat row: `mood_<label>` and `key_<field>` for moods and key, texts for all other lists."""
        row: dict[str, Any] = {}
        for name, value in self.items():
            if name == "moods":
                row |= {f"mood_{mood['label']}": mood["score"] for mood in value or []}
            elif name == "key":
                row |= {f"key_{part}": content for part, content in (value or {}).items()}
            elif name in _TEXTS:
                row[name] = _TEXTS[name](value or [])
            elif name != "curve":
                row[name] = value
        return row

    def to_pandas(self, part: str | None = None) -> "DataFrame":
        """A table of one row, see `to_row`; or with `part` a table of it: "moods", "chords", "key_segments" or "curve".

        `pandas.concat` joins those of several records. Raises: ValueError for another part; ImportError without pandas.
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise ImportError("Tables need pandas: install it with pip install pandas.") from None
        if part is None:
            return DataFrame([self.to_row()])
        if part not in _PARTS:
            raise ValueError(f"A record has no table {part!r}: choose {', '.join(_PARTS)}.")
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
    hidden = {name for name in _ON_REQUEST if getattr(record, name) is None}
    if not record.warnings:
        hidden |= {"seconds_used", "warnings"}
    return [each.name for each in fields(record) if each.name not in hidden and each.name not in _NEVER]


@dataclass
class MusicEmotion(Record):
    """The emotion of one track. Names and order of the fields are a contract.

    path: file, URL, or what else named the audio.  duration: seconds.
    valence, arousal: 1-9.  quadrant: "Q1" to "Q4" (Russell).
    moods: every tag, best first.  selected_moods: names of those above their threshold, best first.
    key, chords: None where no key could be decided, or harmony was not asked for.
    key_segments: the keys over time, only where they were asked for; empty where nothing decides them.
    curve: valence and arousal over time.  model: name of the model.  error: always None; see `FailedTrack`.
    warnings: one sentence each about what is wrong with the audio; empty normally.
    seconds_used: of audio that could be decoded. A mapping has these two only where there are warnings.
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
        return {each.name: _plain(each.name, getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Sequence):
        return [_plain(name, item) for item in value]
    return round(float(value), 3 if name in _TIMES else 4)


def record_of(values: Mapping[str, Any]) -> MusicEmotion | FailedTrack:
    """The record that became these plain values, which `to_dict` and JSON give."""
    if values["error"] is not None:
        return FailedTrack(values["path"], values["error"], values["model"])
    kinds = {"moods": Mood, "chords": ChordSegment, "key_segments": KeySegment, "curve": CurvePoint}
    typed = dict(values)
    for name, kind in kinds.items():
        if typed.get(name) is not None:
            typed[name] = [kind(**part) for part in typed[name]]
    if typed["key"] is not None:
        typed["key"] = Key(**typed["key"])
    return MusicEmotion(**typed)
