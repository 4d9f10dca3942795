import csv
import io
import json

import pytest
from rich.cells import cell_len

from m2e.views.records import Table, bar, clock, printable, short_chord, sparkline, view
from modeling_m2e.chord_labels_m2e import QUALITIES, ChordSegment
from modeling_m2e.key_m2e import Key, KeySegment
from modeling_m2e.record_m2e import CurvePoint, FailedTrack, Highlight, Mood, MusicEmotion, Segment
from modeling_m2e.scale_m2e import quadrant


def record(path="music/song.mp3", valence=6.1, arousal=5.4, **changes) -> MusicEmotion:
    fields = {
        "duration": 183.2,
        "moods": [Mood("happy", 0.83), Mood("upbeat", 0.5), Mood("epic", 0.25), Mood("calm", 0.1)],
        "selected_moods": ["happy", "upbeat"],
        "key": Key("F#", "minor", 0.81),
        "chords": [ChordSegment(0.0, 1.9, "F#:min"), ChordSegment(1.9, 4.0, "N"), ChordSegment(4.0, 183.2, "D:maj7")],
        "curve": [CurvePoint(0.0, 30.0, 5.5, 5.1), CurvePoint(30.0, 60.0, 6.5, 5.1), CurvePoint(60.0, 90.0, 6.0, 5.1)],
        "model": "m2e-small",
    }
    quarter = quadrant(valence, arousal)
    return MusicEmotion(path=path, valence=valence, arousal=arousal, quadrant=quarter, **{**fields, **changes})


FAILED = FailedTrack("music/bad.wav", "music/bad.wav: is silent from beginning to end.", "m2e-small")


def text(form, *records, **options) -> str:
    shown = Table(**options) if form == "table" else view(form)
    return "".join([shown.add(one) for one in records] + [shown.end()])


def table(*records, width=80, **options) -> list[str]:
    return text("table", *records, width=width, **options).splitlines()


# --- programs ---


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_a_list_of_records_whatever_their_number(count):
    records = [record(), FAILED, record("c.mp3")][:count]
    assert json.loads(text("json", *records)) == [one.to_dict() for one in records]


def test_jsonl_is_complete_after_every_record():
    shown = view("jsonl")
    for one in (record("line\nbreak.mp3"), FAILED):
        line = shown.add(one)
        assert line.count("\n") == 1 and json.loads(line) == one.to_dict()
    assert shown.end() == ""


def test_csv_reads_back():
    awkward = record('a "quoted", comma;\nline.mp3', key=None, chords=None)
    rows = list(csv.DictReader(io.StringIO(text("csv", record(), awkward, FAILED))))
    assert list(rows[0]) == (
        "path duration valence arousal quadrant key_tonic key_mode key_confidence selected_moods"
        " mood_calm mood_epic mood_happy mood_upbeat chords model error"
    ).split(" ")
    assert rows[0]["path"] == "music/song.mp3" and float(rows[0]["duration"]) == 183.2
    assert [float(rows[0][name]) for name in ("valence", "arousal", "mood_happy", "mood_calm")] == [6.1, 5.4, 0.83, 0.1]
    assert (rows[0]["key_tonic"], rows[0]["key_mode"], float(rows[0]["key_confidence"])) == ("F#", "minor", 0.81)
    assert rows[0]["selected_moods"].split(";") == ["happy", "upbeat"]
    assert rows[0]["chords"].split() == ["F#:min", "N", "D:maj7"] and rows[0]["error"] == ""
    assert rows[1]["path"] == awkward.path and rows[1]["key_tonic"] == rows[1]["chords"] == ""
    kept = {"path": FAILED.path, "model": FAILED.model, "error": FAILED.error}
    assert rows[2] == {name: kept.get(name, "") for name in rows[0]}


def test_csv_failures_before_the_first_answer_wait_for_its_columns():
    shown = view("csv")
    assert shown.add(FAILED) == ""
    rows = list(csv.DictReader(io.StringIO(shown.add(record()) + shown.add(FAILED) + shown.end())))
    assert [row["error"] for row in rows] == [FAILED.error, "", FAILED.error]
    assert rows[1]["mood_happy"] == "0.83"


def test_csv_has_keys_over_time_where_they_were_asked_for():
    keys = [KeySegment(0.0, 100.5, "F# minor", 0.8), KeySegment(100.5, 183.2, "G minor", 0.7)]
    asked = text("csv", record(key_segments=keys), record(key_segments=[]), FAILED)
    rows = list(csv.DictReader(io.StringIO(asked)))
    assert [row["key_segments"] for row in rows] == ["0.0 100.5 F# minor;100.5 183.2 G minor", "", ""]
    assert "key_segments" not in text("csv", record(), FAILED)


def test_csv_has_the_tempo_where_it_was_asked_for():
    shown = view("csv", tempo=True)
    rows = list(csv.DictReader(io.StringIO("".join(map(shown.add, [record(), record(tempo=123.45)])))))
    assert [row["tempo"] for row in rows] == ["", "123.5"]
    assert "tempo" not in text("csv", record())


def test_csv_of_failures_alone():
    rows = list(csv.DictReader(io.StringIO(text("csv", FAILED, FAILED))))
    assert [row["error"] for row in rows] == [FAILED.error] * 2 and "mood_happy" not in rows[0]


# --- people ---


def test_card_says_all_about_one_track():
    lines = table(record(), top_k=3)
    assert lines[0].startswith("music/song.mp3 ") and lines[0].endswith(" 3:03  m2e-small") and len(lines[0]) == 80
    shown = {line.split()[0]: line for line in reversed(lines[1:])}  # the first of a name counts
    assert shown["valence"].split()[1:3] == ["6.1", bar((6.1 - 1) / 8, 32)]
    assert shown["arousal"].split()[1:3] == ["5.4", bar((5.4 - 1) / 8, 32)]
    assert "Q1 happy, energetic" in shown["quadrant"]
    assert "F# minor  confidence 0.81" in shown["key"]
    assert "• happy   0.83" in shown["moods"] and "• upbeat  0.50" in shown["•"]
    assert shown["epic"].split()[1] == "0.25" and "calm" not in shown
    assert shown["chords"].split()[1:] == ["F#m", "Dmaj7"]
    assert shown["curve"].split() == ["curve", "valence", "▁█▅", "5.5", "–", "6.5"]


def test_card_tells_modulations():
    keys = [KeySegment(0.0, 100.5, "F# minor", 0.8), KeySegment(100.5, 183.2, "G minor", 0.7)]
    lines = table(record(key_segments=keys))
    (below,) = [lines[index + 1] for index, line in enumerate(lines) if line.split()[0] == "key"]
    assert below.split() == "0:00 F# minor 1:40 G minor".split()
    assert table(record(key_segments=keys[:1])) == table(record())
    assert all(cell_len(line) <= 60 for line in table(record(key_segments=keys * 20), width=60))


def test_card_leaves_out_what_is_not_known():
    lines = table(record(key=None, chords=None, curve=[CurvePoint(0.0, 12.0, 6.1, 5.4)]))
    assert not {"key", "chords", "curve"} & {line.split()[0] for line in lines}
    undecided = table(record(key=None, chords=[ChordSegment(0.0, 9.0, "N")]))
    assert any(line.split() == ["key", "undecided"] for line in undecided)
    assert any(line.split() == ["chords", "no", "chords"] for line in undecided)


def test_card_cuts_a_long_progression_and_says_how_much():
    roots = "C D E F G A B".split()
    chords = [ChordSegment(float(i), i + 1.0, f"{roots[i % 7]}:min7") for i in range(300)]
    lines = table(record(chords=chords, curve=None))
    chord_lines = [line for line in lines if "m7" in line]
    shown = " ".join(chord_lines).replace("chords", "").split()
    assert len(chord_lines) == 3 and shown[-2] == "…"
    assert len(shown) - 2 + int(shown[-1]) == 300


def test_a_lone_failure_has_no_table():
    assert text("table", FAILED) == "" and text("table") == ""


def test_rows_are_one_per_track_and_a_failure_has_its_sentence():
    lines = table(record(), FAILED, record("music/b.flac", 2.0, 8.0, key=None, moods=[Mood("dark", 0.9)]))
    assert lines[0].split() == ["track", "time", "V", "A", "quadrant", "key", "moods"]
    assert lines[1].split("  ")[0] == "song.mp3"
    assert lines[1].split() == "song.mp3 3:03 6.1 5.4 Q1 happy F# min happy, upbeat, epic".split()
    assert lines[2].split() == "bad.wav failed: is silent from beginning to end.".split()
    assert lines[3].split() == "b.flac 3:03 2.0 8.0 Q2 tense – dark".split()


def test_the_tempo_is_shown_where_it_is_known():
    assert "  tempo    123 BPM" in table(record(tempo=123.4)) and "BPM" not in text("table", record())
    lines = table(record(tempo=123.4), record("b.mp3", tempo=98.0), record("c.mp3"), FAILED)
    assert lines[0].split()[:5] == ["track", "time", "V", "A", "BPM"]
    assert [line.split()[4] for line in lines[1:4]] == ["123", "98", "–"]
    assert "123  Q1" in lines[1] and "   98  Q1" in lines[2]  # in a column


def test_rows_tell_equal_names_apart():
    lines = table(record("/music/one/01.mp3"), record("/music/two/01.mp3"))
    assert [line.split()[0] for line in lines[1:]] == ["one/01.mp3", "two/01.mp3"]


def test_rows_of_failures_alone():
    lines = table(FAILED, FailedTrack("x.wav", "x.wav: there is no such file or folder."))
    assert len(lines) == 3 and lines[2].split() == "x.wav failed: there is no such file or folder.".split()


@pytest.mark.parametrize("width", [60, 80, 132])
def test_no_line_is_wider_than_the_terminal(width):
    names = ["a " * 70 + ".mp3", "短い曲の名前" * 10 + ".flac", "x.wav"]
    bad = FailedTrack("bad.wav", "bad.wav: " + "cannot be decoded, " * 20)
    chords = [ChordSegment(float(i), i + 1.0, ("C:maj", "A:min7")[i % 2]) for i in range(99)]
    curve = [CurvePoint(float(i), i + 1.0, 5.0, 5.0) for i in range(500)]
    moods = [Mood("motivational", 0.8), Mood("documentary", 0.7), Mood("energetic", 0.6)]
    long = [record(name, chords=chords, curve=curve, moods=moods, duration=36000.0) for name in names]
    for shown in (table(*long, bad, width=width), *(table(one, width=width) for one in long)):
        assert max(map(cell_len, shown)) <= width
    assert len(table(*long, width=width)) == 4  # nothing wraps


def test_names_are_text_and_nothing_else():
    names = ["[red]not red[bold] :smile:.mp3", "a\x1b[31mred\n\r.mp3", "bad\udcff.mp3", "\u202egnp.mp3"]
    for shown in (text("table", *map(record, names), width=200), *(text("table", record(n), width=200) for n in names)):
        shown.encode("utf-8")
        assert "\x1b" not in shown and "\r" not in shown and "\u202e" not in shown
    lines = table(*map(record, names), width=200)
    assert lines[1].startswith("[red]not red[bold] :smile:.mp3 ")
    assert [line.split("  ")[0] for line in lines[2:]] == ["a�[31mred��.mp3", "bad�.mp3", "�gnp.mp3"]


def test_colours_only_when_asked(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for records in ([record()], [record(), FAILED]):
        assert "\x1b" not in text("table", *records)
        assert "\x1b[" in text("table", *records, color=True)


def test_a_terminal_without_unicode_gets_ascii():
    for records in ([record()], [record(), record("b.mp3", key=None), FAILED]):
        text("table", *records, ascii_only=True).encode("ascii")


@pytest.mark.parametrize(("share", "expected"), [(0, "····"), (0.5, "██··"), (1, "████"), (-1, "····"), (2, "████")])
def test_bar(share, expected):
    assert bar(share, 4) == expected


def test_bar_counts_eighths_of_a_character():
    assert bar(1 / 32, 4) == "▏···" and bar(9 / 32, 4) == "█▏··" and {len(bar(i / 99, 7)) for i in range(100)} == {7}


def test_sparkline():
    assert sparkline([1, 9], 10) == "▁█"
    assert sparkline([5.0, 5.1], 10) == "▁▁"  # less than a point of the scale is no drama
    assert sparkline([1, 3, 8, 10, 4, 6], 3) == "▁█▄"  # means 2, 9, 5
    assert len(sparkline(range(1000), 30)) == 30


def test_clock():
    assert [clock(seconds) for seconds in (0.5, 59.6, 185, 3723)] == ["0:00", "1:00", "3:05", "1:02:03"]


def test_chords_are_written_as_on_a_lead_sheet():
    shown = [short_chord(f"A:{quality}") for quality in QUALITIES]
    assert shown == "Am A Adim Aaug Am6 A6 Am7 AmM7 Amaj7 A7 Adim7 Am7b5 Asus2 Asus4".split()
    assert short_chord("Bb") == "Bb"


def test_printable_keeps_what_people_write():
    assert printable("Ænima – 東京 (été).mp3") == "Ænima – 東京 (été).mp3" and printable(None) == ""


def test_warnings_are_shown_under_the_card_and_the_row_and_in_csv():
    warned = record(warnings=["The file is truncated or damaged: 18.0 of 20.0 s can be read."], seconds_used=18.0)
    lines = table(warned, width=70)
    assert lines[-2].split()[:4] == ["warning", "The", "file", "is"] and all(cell_len(line) <= 70 for line in lines)
    assert any("truncated or damaged" in line for line in table(warned, record("b.mp3"), width=100))
    rows = list(csv.DictReader(io.StringIO(text("csv", warned, record(), FAILED))))
    assert [row["warnings"] for row in rows] == [warned.warnings[0], "", ""]
    assert "warnings" not in text("csv", record(), FAILED)


# --- answers ---

ANSWERS = {
    "summary": "Happy and epic, F# minor",
    "quadrant_scores": {"Q1": 0.5, "Q2": 0.05, "Q3": 0.0, "Q4": 0.45},
    "between": ["Q1", "Q4"],
    "segments": [Segment(0.0, 90.0, 5.5, 5.1, ["calm"]), Segment(90.0, 183.2, 6.6, 5.8, ["epic", "happy"])],
    "highlight": Highlight(62.0, 92.0),
}


def test_a_card_answers_in_words():
    lines = table(record(**ANSWERS, selected_moods=["epic", "happy"]), top_k=3)
    assert lines[1] == "  Happy and epic, F# minor"
    assert "  quadrant between Q1 happy and Q4 calm" in lines
    assert [line.split()[-4:-2] for line in lines if "•" in line] == [["•", "epic"], ["•", "happy"]]  # the best first
    first, second, part = [line for line in lines if " – " in line and ":" in line][-3:]
    assert first.split() == ["segments", "0:00", "–", "1:30", "valence", "5.5", "arousal", "5.1", "calm"]
    assert second.split()[-2:] == ["epic,", "happy"] and part.split()[:4] == ["highlight", "1:02", "–", "1:32"]
    sure = table(record(**ANSWERS | {"between": None}))
    assert any(line.startswith("  quadrant Q1 happy, energetic  0.50") for line in sure)


def test_many_segments_are_cut():
    parts = [Segment(10.0 * at, 10.0 * at + 10, 5.0, 5.0, []) for at in range(11)]
    lines = table(record(segments=parts))
    assert sum("valence 5.0" in line for line in lines) == 8 and any(line.endswith("… +3") for line in lines)


def test_rows_have_no_quadrant_that_the_place_contradicts():
    rows = table(record(**ANSWERS), record("b.mp3"), width=100)
    assert "Q1-Q4" in rows[1] and "Q1 happy" in rows[2]


def test_csv_has_the_answers_that_the_first_track_has():
    (row,) = csv.DictReader(io.StringIO(text("csv", record(**ANSWERS))))
    assert row["summary"] == ANSWERS["summary"] and row["between"] == "Q1 Q4" and row["quadrant_Q4"] == "0.45"
    assert row["highlight"] == "62.0 92.0"
    assert row["segments"] == "0.0 90.0 5.5 5.1 calm;90.0 183.2 6.6 5.8 epic,happy"
    sure = text("csv", record(**ANSWERS | {"between": None}), FAILED)
    assert [row["between"] for row in csv.DictReader(io.StringIO(sure))] == ["", ""]


def test_attributes_and_music_are_shown():
    attributes = {"energy": 0.25, "liveness": 0.125}
    described = record(music=0.9, attributes=attributes)
    row = next(csv.DictReader(io.StringIO(text("csv", described, FAILED))))
    assert (row["music"], row["energy"], row["liveness"]) == ("0.9", "0.25", "0.125")
    assert "energy 0.25  liveness 0.12" in text("table", described)
