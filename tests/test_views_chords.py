import io
import json
import random
import re
import sys

import pytest

from m2e.views.chords import chord_name, to_chart, to_json, to_lab, to_midi
from modeling_m2e.chord_labels_m2e import VOCABULARY, ChordSegment, parse_chord, read_lab
from modeling_m2e.key_m2e import Key, KeySegment
from modeling_m2e.record_m2e import FailedTrack, TrackHarmony

C_MAJOR = Key("C", "major", 0.87654)


def record(*chords, key=C_MAJOR, path="song.mp3", keys=()) -> TrackHarmony:
    """chords: (seconds, label) one after the other.  keys: (seconds, key) as well."""
    segments, now = [], 0.0
    for seconds, label in chords:
        segments.append(ChordSegment(now, now + seconds, label))
        now += seconds
    changes, since = [], 0.0
    for seconds, name in keys:
        changes.append(KeySegment(since, since + seconds, name, 0.51239))
        since += seconds
    return TrackHarmony(
        path=path, duration=now, key=key, chords=segments, key_segments=changes if keys else None, model="m2e-small"
    )


SONG = record((2, "N"), (4, "C:maj"), (1, "A:min7"), (1, "F:maj"), (10, "G:sus4"), (2, "X"))
MODULATING = record((90, "C:maj"), (30, "D:maj"), keys=[(90, "C major"), (30.5, "D major")])


def progression(chart: str) -> list[str]:
    return re.findall(r"\|(\S+)", chart)


# --- JSON and .lab ---


def test_json_is_the_record_less_what_chords_do_not_say():
    answer = json.loads(to_json(SONG))
    assert list(answer) == ["path", "duration", "key", "chords", "model", "error"]
    assert answer["duration"] == 20.0 and answer["key"] == {"tonic": "C", "mode": "major", "confidence": 0.8765}
    assert answer["chords"][1] == {"start": 2.0, "end": 6.0, "label": "C:maj"}
    assert answer["chords"] == SONG.to_dict()["chords"] and to_json(SONG).count("\n") == 1


def test_json_of_keys_over_time():
    answer = json.loads(to_json(MODULATING))
    assert answer["key_segments"][1] == {"start": 90.0, "end": 120.5, "key": "D major", "confidence": 0.5124}


def test_json_of_a_failure_and_of_no_key():
    failed = json.loads(to_json(FailedTrack("a.wav", "a.wav: is bad.")))
    assert {name for name, value in failed.items() if value is not None} == {"path", "error"}
    assert json.loads(to_json(record((1, "N"), key=None)))["key"] is None


def test_lab_is_read_back():
    assert read_lab(to_lab(SONG)) == SONG.chords == read_lab(to_lab(SONG, "paper"))
    assert to_lab(SONG).splitlines()[1] == "2.000 6.000 C:maj" and " C\n" in to_lab(SONG, "paper")


# --- chart ---


def test_chart_of_a_short_song():
    first = "".join(
        f"{name:{room}}" for name, room in (("|N.C.", 10), ("|C", 21), ("|Am7", 5), ("|F", 6), ("|Gsus4", 0))
    )
    assert to_chart(SONG, 60).splitlines() == [  # 52 columns for 10 s
        "song.mp3                                     0:20  m2e-small",
        "  key  C major  confidence 0.88",
        "",
        "  0:00  " + first,
        "  0:10  (Gsus4)".ljust(50) + "|?",
    ]


@pytest.mark.parametrize("width", [40, 41, 57, 80, 100, 233])
@pytest.mark.parametrize("longest", [0.2, 3.0, 40.0])
def test_every_chord_is_shown_once_in_order_and_in_the_width(width, longest):
    rng = random.Random(width)
    labels = [parse_chord(label).label for label in VOCABULARY]
    song = record(*((rng.uniform(0.09, longest), rng.choice(labels)) for _ in range(300)))
    chart = to_chart(song, width)
    assert progression(chart) == [chord_name(chord.label) for chord in song.chords]
    assert chart.isascii() and max(map(len, chart.splitlines())) <= width
    assert "\n".join(chart.splitlines()[3:]).count("\n\n") == 0


def test_times_and_columns_say_when():
    """One chord per second: equal distances, whole lines."""
    lines = to_chart(record(*[(1, "C:maj"), (1, "G:maj")] * 30), 80).splitlines()[3:]
    times = [line.split()[0] for line in lines]
    assert times == ["0:00", "0:05", "0:10", "0:15", "0:20", "0:25", "0:30", "0:35", "0:40", "0:45", "0:50", "0:55"]
    columns = [match.start() for match in re.finditer(r"\|", lines[0])]
    assert len(columns) == 5 and {b - a for a, b in zip(columns, columns[1:], strict=False)} <= {14, 15}


def test_a_held_chord_is_named_again_and_lines_without_change_are_left_out():
    held = to_chart(record((1, "C:maj"), (1, "F:maj"), (1, "C:maj"), (200, "A:min"), (1, "C:maj"))).splitlines()[3:]
    assert held[-1].split() == ["3:20", "(Am)", "|C"] and len(held) == 2
    assert len(to_chart(record((7200, "N"))).splitlines()) == 4


def test_header_of_odd_tracks():
    assert "key  undecided\n" in to_chart(record((3, "N"), key=None))
    assert to_chart(record()).count("\n") == 3
    long = to_chart(record((1, "C:maj"), path="東" * 99 + "\x1b[31m\n.wav"), 80)
    assert "\x1b" not in long and len(long.splitlines()) == 4
    assert to_chart(record((7300, "C:maj"))).startswith("song.mp3 ") and "2:01:40" in to_chart(record((7300, "C:maj")))


def test_a_chart_tells_where_the_key_changes():
    lines = to_chart(MODULATING, 80).splitlines()
    assert lines[1].split() == ["key", "C", "major", "confidence", "0.88"]
    assert lines[2:4] == ["       0:00 C major  1:30 D major", ""]
    assert to_chart(record((9, "C:maj"), keys=[(9, "C major")])) == to_chart(record((9, "C:maj")))
    many = to_chart(record((600, "C:maj"), keys=[(10, "C# minor"), (10, "F major")] * 30), 50).splitlines()
    stations = many[2 : many.index("")]
    assert max(map(len, stations)) <= 50 and sum(line.count(" F major") for line in stations) == 30
    assert all(line.endswith(("minor", "major")) for line in stations)


def test_color_is_only_added():
    colored = to_chart(SONG, 60, color=True)
    assert "\x1b[" in colored and re.sub(r"\x1b\[[\d;]*m", "", colored) == to_chart(SONG, 60)


@pytest.mark.parametrize(
    ("label", "name"),
    [("C:maj", "C"), ("A:min7", "Am7"), ("F#:hdim7", "F#m7b5"), ("Bb:sus4", "Bbsus4"), ("N", "N.C."), ("X", "?")],
)
def test_names(label, name):
    assert chord_name(label) == name


# --- MIDI ---


def read_midi(song: TrackHarmony):
    pretty_midi = pytest.importorskip("pretty_midi", reason="pretty_midi writes MIDI files")
    return pretty_midi.PrettyMIDI(io.BytesIO(to_midi(song)))


def test_midi_holds_every_chord_above_its_root():
    midi = read_midi(SONG)
    (piano,) = midi.instruments
    sounding = [chord for chord in SONG.chords if chord.label not in "NX"]
    assert {round(note.start, 2) for note in piano.notes} == {chord.start for chord in sounding}
    for chord in sounding:
        notes = [note for note in piano.notes if note.start == pytest.approx(chord.start, abs=2e-3)]
        pitches = sorted(note.pitch for note in notes)
        assert all(note.end == pytest.approx(chord.end, abs=2e-3) for note in notes)
        assert pitches[0] % 12 == parse_chord(chord.label).root and pitches[0] < 48 <= 60 <= pitches[1]
        assert sorted(pitch % 12 for pitch in pitches[1:]) == parse_chord(chord.label).pitch_classes


def test_midi_names_chords_and_key():
    midi = read_midi(SONG)
    assert [lyric.text for lyric in midi.lyrics] == ["N.C.", "C", "Am7", "F", "Gsus4", "?"]
    assert [lyric.time for lyric in midi.lyrics] == pytest.approx([c.start for c in SONG.chords], abs=2e-3)
    assert [signature.key_number for signature in midi.key_signature_changes] == [0]
    minor = read_midi(record((1, "C#:min"), key=Key("C#", "minor")))
    assert [signature.key_number for signature in minor.key_signature_changes] == [13]
    assert read_midi(record((1, "N"), key=None)).key_signature_changes == []
    changes = read_midi(MODULATING).key_signature_changes
    assert [(change.key_number, round(change.time, 2)) for change in changes] == [(0, 0.0), (2, 90.0)]


def test_midi_switches_every_note_off():
    """A sliver of a chord, repeated notes, and the clock of a long track."""
    song = record((3600, "C:maj"), (1.5, "C:maj7"), (1, "E:min"), (1e-5, "E:min"))
    notes = read_midi(song).instruments[0].notes
    assert len(notes) == 4 + 5 + 4 and max(note.end for note in notes) == pytest.approx(3602.5, abs=5e-3)
    assert all(note.end > note.start for note in notes)


def test_midi_without_its_library_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pretty_midi", None)
    with pytest.raises(ImportError, match="^MIDI files and tones need pretty_midi: pip install pretty_midi.$"):
        to_midi(SONG)
