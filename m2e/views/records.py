"""Views of records: a card or table for people; JSON, JSON Lines and CSV for programs.

A view turns records into text one by one: `add(record)` and `end()` return the text to write next.
"""

from __future__ import annotations

import csv
import io
import os
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:  # it imports torch
    from modeling_m2e.chord_labels_m2e import ChordSegment
    from modeling_m2e.record_m2e import FailedTrack, Mood, MusicEmotion

CARD_MOODS, ROW_MOODS = 5, 3  # number of moods by default

# Harte qualities as lead sheets write them
_QUALITY_SHORT = {"maj": "", "min": "m", "min6": "m6", "maj6": "6", "min7": "m7", "minmaj7": "mM7", "hdim7": "m7b5"}
_EIGHTHS = " ▏▎▍▌▋▊▉"
_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII = str.maketrans("█▏▎▍▌▋▊▉·▁▂▃▄▅▆▇•–…\ufffd", "#...####.1234567*-~?")
_LABEL_WIDTH, _BAR_WIDTH, _MIN_NAME, _CHORD_LINES, _SEGMENT_LINES = 9, 32, 12, 3, 8  # characters; lines


class JsonLines:
    """One record per line."""

    def add(self, record: MusicEmotion | FailedTrack) -> str:
        return record.to_json() + "\n"

    def end(self) -> str:
        return ""


class JsonList:
    """A list of records, even for a single one; one record per line."""

    _separator = "[\n"

    def add(self, record: MusicEmotion | FailedTrack) -> str:
        text, self._separator = self._separator + record.to_json(), ",\n"
        return text

    def end(self) -> str:
        return "[]\n" if self._separator == "[\n" else "\n]\n"


class Csv:
    """Flat columns, with one `mood_<label>` per mood, in alphabetical order. A failed track has a path and an error.
    `key_segments`, if requested, are "start end key" separated by semicolons; `segments` are "start end valence arousal
    moods". Columns of answers that the first track lacks are left out, as is `warnings`, the last one.

    The first track that did not fail decides the mood columns: failures before it are written after the header.
    """

    _BEFORE = "path duration valence arousal quadrant key_tonic key_mode key_confidence selected_moods".split()
    _AFTER = ["chords", "model", "error"]
    _ANSWERS = (
        "summary between quadrant_Q1 quadrant_Q2 quadrant_Q3 quadrant_Q4 valence_interval arousal_interval "
        "valence_percentile arousal_percentile confidence highlight segments music tempo"
    ).split()

    def __init__(self, tempo: bool = False) -> None:
        self._asked = {"tempo"} if tempo else set()  # a column even if the first track has no beat
        self._columns: list[str] = []  # empty until they are known
        self._waiting: list[MusicEmotion | FailedTrack] = []

    def add(self, record: MusicEmotion | FailedTrack) -> str:
        if self._columns:
            return self._row(record)
        self._waiting.append(record)
        return "" if record.error is not None else self._start(sorted(f"mood_{mood.label}" for mood in record.moods))

    def end(self) -> str:
        return "" if self._columns else self._start([])

    def _start(self, mood_columns: list[str]) -> str:
        keys = ["key_segments"] if any("key_segments" in record for record in self._waiting) else []
        warned = ["warnings"] if any("warnings" in record for record in self._waiting) else []
        known = self._asked | {name for record in self._waiting if record.error is None for name in record.to_row()}
        answers = [name for name in self._ANSWERS if name in known]
        answers += sorted({name for record in self._waiting for name in record.get("attributes") or {}})
        self._columns = self._BEFORE + mood_columns + keys + self._AFTER + answers + warned
        return self._line(self._columns) + "".join(map(self._row, self._waiting))

    def _row(self, record: MusicEmotion | FailedTrack) -> str:
        cells = record.to_row()
        return self._line([cells.get(column) for column in self._columns])

    @staticmethod
    def _line(cells: Sequence[Any]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        return text.getvalue()


class Table:
    """A card for one track, a row each for several, nothing for a single failure. All text comes at the end."""

    def __init__(self, top_k: int | None = None, width: int = 80, color: bool = False, ascii_only: bool = False):
        self.top_k, self.width, self.color, self.ascii_only = top_k, max(width, 60), color, ascii_only
        self._records: list[MusicEmotion | FailedTrack] = []

    def add(self, record: MusicEmotion | FailedTrack) -> str:
        self._records.append(record)
        return ""

    def end(self) -> str:
        if len(self._records) > 1:
            lines = _rows(self._records, self.top_k or ROW_MOODS, self.width)
        elif self._records and self._records[0].error is None:
            lines = _card(self._records[0], self.top_k or CARD_MOODS, self.width)
        else:
            return ""
        text = as_text((Text.assemble(*line) for line in lines), self.color)
        return text.translate(_ASCII) if self.ascii_only else text


def view(form: Literal["json", "jsonl", "csv"], tempo: bool = False) -> JsonLines | JsonList | Csv:
    """The view named "json", "jsonl" or "csv".  tempo: whether it was asked for, and CSV has a column of it."""
    if form == "csv":
        return Csv(tempo)
    return JsonList() if form == "json" else JsonLines()


def as_text(lines: Iterable[Text], color: bool) -> str:
    """Lines of any length, with escape sequences if `color`."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=color, width=10_000, legacy_windows=False)
    for line in lines:
        console.print(line, soft_wrap=True)
    return file.getvalue()


_Line = list[tuple[str, str]]  # pieces of text with their rich styles


def _card(record: MusicEmotion, top_k: int, width: int) -> Iterator[_Line]:
    from modeling_m2e.scale_m2e import SCALE, quadrant_words

    low, high = SCALE
    aside = f"  {clock(record.duration)}  {printable(record.model)}".rstrip()
    yield [(_fit(printable(record.path), width - len(aside)), "bold"), (aside, "dim")]
    if record.summary is not None:
        yield [("  " + _fit(printable(record.summary), width - 2).rstrip(), "bold cyan")]
    for name, value in (("valence", record.valence), ("arousal", record.arousal)):
        notes = f"  of {low}-{high}{_certainty(record, name)}"
        filled = bar((value - low) / (high - low), min(_BAR_WIDTH, width - _LABEL_WIDTH - len(notes) - 7))
        yield [*_label(name), (f"{value:.1f}  ", "bold"), (filled, "cyan"), (notes, "dim")]
    sure = f"  {record.quadrant_scores[record.quadrant]:.2f}" if record.quadrant_scores and not record.between else ""
    yield [*_label("quadrant"), (quadrant_words(record.quadrant, record.between), "bold"), (sure, "dim")]
    if record.key is not None:
        confidence = f"  confidence {record.key.confidence:.2f}"
        yield [*_label("key"), (f"{record.key.tonic} {record.key.mode}", "bold"), (confidence, "dim")]
    elif record.chords is not None:
        yield [*_label("key"), ("undecided", "dim")]
    if record.key_segments is not None and len(record.key_segments) > 1:
        line = "  ".join(f"{clock(part.start)} {part.key}" for part in record.key_segments)
        yield [*_label(""), (_fit(line, width - _LABEL_WIDTH - 2).rstrip(), "")]
    if record.tempo is not None:
        yield [*_label("tempo"), (f"{record.tempo:.0f} BPM", "bold")]

    moods = _moods(record)[:top_k]
    chosen = set(record.selected_moods)
    name_width = max((len(printable(mood.label)) for mood in moods), default=0)
    for index, mood in enumerate(moods):
        name = printable(mood.label).ljust(name_width)
        mark = "• " if mood.label in chosen else "  "
        filled = bar(mood.score, min(_BAR_WIDTH, width - _LABEL_WIDTH - name_width - 12))
        style = "green" if mood.label in chosen else "dim"
        yield [*_label("" if index else "moods"), (f"{mark}{name}  {mood.score:.2f}  ", ""), (filled, style)]

    if record.chords is not None:
        for index, line in enumerate(_chord_lines(record.chords, width - _LABEL_WIDTH - 2)):
            yield [*_label("" if index else "chords"), (line, "")]
    if record.curve is not None and len(record.curve) > 1:
        for name in ("valence", "arousal"):
            values = [getattr(point, name) for point in record.curve]
            line = sparkline(values, width - _LABEL_WIDTH - 24)
            spread = f"  {min(values):.1f} – {max(values):.1f}"
            yield [*_label("curve" if name == "valence" else ""), (f"{name}  ", ""), (line, "cyan"), (spread, "dim")]
    yield from _segment_lines(record, width)
    if record.attributes:
        words = "  ".join(f"{name} {value:.2f}" for name, value in record.attributes.items())
        for index, line in enumerate(textwrap.wrap(words, width - _LABEL_WIDTH - 2)):
            yield [*_label("" if index else "sound"), (line, "")]
    for sentence in record.warnings:
        for index, line in enumerate(textwrap.wrap(printable(sentence), width - _LABEL_WIDTH - 2)):
            yield [*_label("" if index else "warning"), (line, "yellow")]


def _certainty(record: MusicEmotion, name: str) -> str:
    """', 5.2 – 7.0, above 73 %': the interval and the percentile of valence or arousal, as far as they are known."""
    interval = getattr(record, f"{name}_interval")
    percentile = getattr(record, f"{name}_percentile")
    span = "" if interval is None else f", {interval[0]:.1f} – {interval[1]:.1f}"
    return span + ("" if percentile is None else f", above {percentile:.0f} %")


def _moods(record: MusicEmotion) -> list[Mood]:
    """The moods of a record, the selected ones first."""
    places = {label: place for place, label in enumerate(record.selected_moods)}
    return sorted(record.moods, key=lambda mood: places.get(mood.label, len(places)))


def _segment_lines(record: MusicEmotion, width: int) -> Iterator[_Line]:
    """Up to a few segments, and the highlight of a track with several."""
    segments = record.segments or []
    if len(segments) < 2:
        return
    for index, part in enumerate(segments[:_SEGMENT_LINES]):
        values = f"valence {part.valence:.1f}  arousal {part.arousal:.1f}  "
        span = f"{clock(part.start):>5} – {clock(part.end):<5}  "
        words = _fit(", ".join(map(printable, part.moods)), max(0, width - _LABEL_WIDTH - len(span + values) - 2))
        yield [*_label("" if index else "segments"), (span, "dim"), (values, ""), (words.rstrip(), "green")]
    if (left := len(segments) - _SEGMENT_LINES) > 0:
        yield [*_label(""), (f"… +{left}", "dim")]
    if record.highlight is not None:
        span = f"{clock(record.highlight.start):>5} – {clock(record.highlight.end)}"
        yield [*_label("highlight"), (span, ""), ("  most like the whole track", "dim")]


def _rows(records: Sequence[MusicEmotion | FailedTrack], top_k: int, width: int) -> Iterator[_Line]:
    paths = [record.path or "" for record in records]
    names = [os.path.basename(path.rstrip("/" + os.sep)) for path in paths]
    if len(set(names)) < len(names):
        names = [path[os.path.commonprefix(paths).rfind(os.sep) + 1 :] for path in paths]
    tempo = any(record.tempo is not None for record in records)
    middle = [("time", "V", "A", *(["BPM"] if tempo else []), "quadrant", "key")]
    middle += [_middle(record, tempo) for record in records if record.error is None]
    numbers = 4 if tempo else 3
    widths = [max(map(len, column)) for column in zip(*middle, strict=True)]
    found = [[] if record.error is not None else _moods(record)[:top_k] for record in records]
    moods = [", ".join(printable(mood.label) for mood in best) for best in found]

    room = width - sum(widths) - 2 * (len(widths) + 1)  # for name and moods
    longest = max(cell_len(printable(name)) for name in ["track", *names])
    name_width = min(longest, max(_MIN_NAME, room // 2, room - max(map(len, moods))))
    moods_width = max(5, room - name_width)

    def aligned(cells: Sequence[str]) -> str:
        return (
            "".join(("  " + (cell.rjust if i < numbers else cell.ljust)(widths[i])) for i, cell in enumerate(cells))
            + "  "
        )

    yield [(_fit("track", name_width) + aligned(middle[0]) + "moods", "bold")]
    for name, record, words in zip(names, records, moods, strict=True):
        shown = _fit(printable(name), name_width)
        if record.error is None:
            yield [(shown, "bold"), (aligned(_middle(record, tempo)), ""), (_fit(words, moods_width).rstrip(), "green")]
            for sentence in record.warnings:
                for line in textwrap.wrap(printable(sentence), width - name_width - 2):
                    yield [(" " * name_width, ""), ("  " + line, "yellow")]
            continue
        sentence = "failed: " + printable(record.error.removeprefix(f"{record.path}: "))
        for index, line in enumerate(textwrap.wrap(sentence, width - name_width - 2)):
            yield [(" " * name_width if index else shown, "bold"), ("  " + line, "red")]


def _middle(record: MusicEmotion, tempo: bool) -> tuple[str, ...]:
    from modeling_m2e.scale_m2e import quadrant_words

    quadrant = quadrant_words(record.quadrant, record.between, short=True)
    key = f"{record.key.tonic} {record.key.mode[:3]}" if record.key else "–"
    beats = [] if not tempo else ["–" if record.tempo is None else f"{record.tempo:.0f}"]
    return clock(record.duration), f"{record.valence:.1f}", f"{record.arousal:.1f}", *beats, quadrant, key


def _chord_lines(chords: Sequence[ChordSegment], width: int) -> list[str]:
    """The chords without rests and repetitions, in a few lines."""
    names = [short_chord(chord.label) for chord in chords if chord.label not in ("N", "X")]
    names = [name for index, name in enumerate(names) if not index or name != names[index - 1]]
    lines = textwrap.wrap("  ".join(names), width - 8) or ["no chords"]
    left = sum(len(line.split()) for line in lines[_CHORD_LINES:])
    return lines[:_CHORD_LINES] if not left else [*lines[: _CHORD_LINES - 1], f"{lines[_CHORD_LINES - 1]}  … +{left}"]


def _label(name: str) -> _Line:
    return [("  " + name.ljust(_LABEL_WIDTH), "dim")]


def _fit(text: str, width: int) -> str:
    """Exactly `width` terminal cells (a CJK character takes two)."""
    return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def printable(text: str | None) -> str:
    """Text that is safe in a terminal: control characters and undecodable bytes become U+FFFD."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text or "")


def clock(seconds: float | None) -> str:
    """'3:05' or '1:02:03'; '–' if the time is not known."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def bar(share: float, width: int) -> str:
    """`width` characters, the first `share` (0-1) of them filled, to an eighth of a character."""
    full, eighths = divmod(round(min(max(share, 0.0), 1.0) * width * 8), 8)
    return ("█" * full + (_EIGHTHS[eighths] if eighths else "")).ljust(width, "·")


def sparkline(values: Sequence[float], width: int) -> str:
    """One character per value, or per group of values if there are more than `width`.

    The range is at least one point of the scale, so that small changes look small.
    """
    count = min(len(values), max(1, width))
    edges = [index * len(values) // count for index in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in zip(edges, edges[1:], strict=False)]
    low, span = min(means), max(max(means) - min(means), 1.0)
    return "".join(_LEVELS[min(7, int((value - low) / span * 8))] for value in means)


def short_chord(label: str) -> str:
    """'A:min7' -> 'Am7'."""
    root, _, quality = label.partition(":")
    return root + _QUALITY_SHORT.get(quality, quality)
