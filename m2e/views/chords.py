"""Chords and key of a record: a chart for people; JSON, .lab and MIDI for programs. Pure, light to import."""

from __future__ import annotations

import io
import json
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median
from types import ModuleType
from typing import TYPE_CHECKING

from rich.text import Text

from m2e.views.records import as_text, clock, printable, short_chord

if TYPE_CHECKING:  # it imports torch
    from pretty_midi import PrettyMIDI

    from modeling_m2e.chord_labels_m2e import ChordSegment
    from modeling_m2e.record_m2e import FailedTrack, MusicEmotion, TrackHarmony

JSON_FIELDS = ("path", "duration", "key", "chords", "key_segments", "model", "error")

_CHORD_COLUMNS = 9  # room for a chord of median length: its name and some space
_LINE_SECONDS = (60, 30, 20, 15, 10, 5, 2, 1)
_NAMES = {"N": "N.C.", "X": "?"}  # no chord, as in lead sheets; a chord outside the vocabulary

_TICKS_PER_BEAT = 480  # of MIDI: about 1 ms each at 120 beats per minute
_BASS, _MIDDLE = 36, 60  # MIDI notes C2 and C4, the lowest root and the lowest note above it
_VELOCITY = 80


def to_json(record: TrackHarmony | FailedTrack) -> str:
    """One JSON object on one line, with the same fields as a record of `m2e predict`."""
    fields = {name: record[name] for name in JSON_FIELDS if name in record}
    return json.dumps(fields, ensure_ascii=False, allow_nan=False) + "\n"


def to_lab(record: TrackHarmony, style: str = "harte") -> str:
    """`start end label` per line, see `write_lab`."""
    from modeling_m2e.chord_labels_m2e import write_lab

    return write_lab(record.chords, style)


# --- chart ---


def to_chart(record: TrackHarmony, width: int = 80, color: bool = False) -> str:
    """A lead sheet in plain text; lines have at most `width` characters, but never less than 40.

    First the key (all keys with their times if the track modulates), then the chords. All lines have the same duration
    and begin with their time. `|` and a name: the chord begins here. A name in brackets: the chord continues from an
    earlier line. If there is no room for a name, its neighbours move, or it gets another line. Lines in which no chord
    begins are skipped.
    """
    width = max(width, 40)
    aside = f"  {clock(record.duration)}  {printable(record.model)}"
    title = Text(printable(record.path))
    title.truncate(max(width - len(aside), 10), overflow="ellipsis", pad=True)
    confidence = "" if record.key is None else f"  confidence {record.key.confidence:.2f}"
    lines = [
        Text.assemble((title.plain, "bold"), (aside, "dim")),
        Text.assemble(("  key  ", "dim"), (str(record.key or "undecided"), "bold"), (confidence, "dim")),
    ]
    if len(keys := _keys(record)) > 1:
        times = "  ".join(f"{clock(start)} {key}".replace(" ", "\xa0") for start, key in keys)
        lines += [Text(" " * 7 + line.replace("\xa0", " ")) for line in textwrap.wrap(times, width - 7)]
    lines.append(Text())
    margin = len(clock(record.duration)) + 2
    for seconds, row in _rows(record.chords, width - margin - 2):
        chords = Text(row)
        chords.highlight_regex(r"\||\(.+?\)", "dim")
        lines.append(Text.assemble((clock(seconds).rjust(margin) + "  ", "dim"), chords))
    return as_text(lines, color)


def _keys(record: TrackHarmony | MusicEmotion) -> list[tuple[float, str]]:
    """(start in seconds, "C# minor") of every key."""
    if record.key_segments:
        return [(segment.start, segment.key) for segment in record.key_segments]
    return [] if record.key is None else [(0.0, str(record.key))]


def _rows(chords: Sequence[ChordSegment], room: int) -> Iterator[tuple[float, str]]:
    """(start in seconds, text) of every line, at most `room` characters long."""
    typical = median(chord.duration for chord in chords) if chords else 0.0
    seconds = next((s for s in _LINE_SECONDS if typical * room >= _CHORD_COLUMNS * s), _LINE_SECONDS[-1])
    grid = [divmod(round(chord.start / seconds * room), room) for chord in chords]  # (line, column)
    held = ""
    for line, places in groupby(zip(grid, chords, strict=True), key=lambda place: place[0][0]):
        cells = [(column, "|" + chord_name(chord.label)) for (_, column), chord in places]
        if held and cells[0][0] > len(held) + 2:
            cells.insert(0, (0, f"({held})"))
        held = cells[-1][1][1:]
        for index, row in enumerate(_rows_that_fit(cells, room)):
            begins = row[0][0] / room if index else 0.0
            yield (line + begins) * seconds, _spread(row, room)


def _rows_that_fit(cells: Sequence[tuple[int, str]], room: int) -> list[list[tuple[int, str]]]:
    rows: list[list[tuple[int, str]]] = [[]]
    used = 0
    for cell in cells:
        needed = len(cell[1]) + 1
        if rows[-1] and used + needed > room + 1:
            rows.append([])
            used = 0
        rows[-1].append(cell)
        used += needed
    return rows


def _spread(cells: Sequence[tuple[int, str]], room: int) -> str:
    """A line of (column, text) in which every text is at its column, or as near as the others allow."""
    columns, free = [], 0
    for column, text in cells:
        columns.append(max(column, free))
        free = columns[-1] + len(text) + 1
    free = room + 1
    for index in reversed(range(len(cells))):
        columns[index] = free = min(columns[index], free - len(cells[index][1]) - 1)
    line = ""
    for column, (_, text) in zip(columns, cells, strict=True):
        line = line.ljust(column) + text
    return line


def chord_name(label: str) -> str:
    """The lead sheet name of a chord in Harte notation: `A:min7` is `Am7`, `N` is `N.C.`."""
    return _NAMES.get(label) or short_chord(label)


# --- MIDI ---


def to_midi(record: TrackHarmony) -> bytes:
    """A MIDI file: every chord as a block above its root in the bass, its name as lyrics, the keys as signatures.

    The times are those of the track; 120 beats per minute is not its tempo. Raises ImportError without pretty_midi.
    """
    file = io.BytesIO()
    score(record).write(file)
    return file.getvalue()


def score(record: TrackHarmony | MusicEmotion) -> PrettyMIDI:
    """The notes that `to_midi` writes. Raises ImportError without pretty_midi."""
    from modeling_m2e.chord_labels_m2e import pitch_class
    from modeling_m2e.key_m2e import MODES

    library = midi_library()
    midi = library.PrettyMIDI(resolution=_TICKS_PER_BEAT, initial_tempo=120.0)
    piano = library.Instrument(program=0, name="chords")
    midi.instruments.append(piano)
    for start, key in _keys(record):
        tonic, mode = key.split()
        signature = library.KeySignature(pitch_class(tonic) + 12 * MODES.index(mode), start)
        midi.key_signature_changes.append(signature)
    for segment in record.chords or []:
        midi.lyrics.append(library.Lyric(chord_name(segment.label), segment.start))
        chord = segment.chord
        if chord.kind != "chord" or midi.time_to_tick(segment.start) == midi.time_to_tick(segment.end):
            continue  # a note that lasts no tick would never be switched off
        for pitch in (_BASS + chord.root, *(_MIDDLE + pitch for pitch in chord.pitch_classes)):
            piano.notes.append(library.Note(_VELOCITY, pitch, segment.start, segment.end))
    return midi


def midi_library() -> ModuleType:
    """pretty_midi, an optional package. Raises ImportError that says how to install it."""
    try:
        import pretty_midi
    except ImportError as error:
        raise ImportError("MIDI files and tones need pretty_midi: pip install pretty_midi.") from error
    return pretty_midi
