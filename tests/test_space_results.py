"""What the page says about tracks, as HTML."""

import html
import json
import re

import pytest
from space_records import full_record, record, track, words

from modeling_m2e.key_m2e import KeySegment
from modeling_m2e.record_m2e import CurvePoint, Mood

pytest.importorskip("gradio", reason='gradio is in the extra "demo"')
from m2e.space import facts  # noqa: E402
from m2e.space.markup import notes, text  # noqa: E402
from m2e.space.results import results, status  # noqa: E402
from m2e.space.scale import MANY, Zoom  # noqa: E402
from m2e.space.timeline import timeline  # noqa: E402

WHOLE = Zoom()
MORE = {
    "quadrant_scores": {"Q1": 0.1, "Q2": 0.3, "Q3": 0.35, "Q4": 0.25},
    "between": ["Q2", "Q3"],
    "valence_interval": [5.5, 6.5],
    "arousal_interval": [2.0, 4.0],
    "segments": [
        {"start": 0.0, "end": 40.0, "valence": 5.0, "arousal": 3.0, "moods": ["calm", "sad", "slow"]},
        {"start": 40.0, "end": 71.0, "valence": 8.0, "arousal": 2.0, "moods": [{"label": "happy", "score": 0.5}]},
    ],
    "highlight": {"start": 10.0, "end": 25.0},
    "attributes": {"energy": 0.4, "danceability": 0.73, "tempo_stability": None},
    "tempo": 96.4,
}


def test_the_sentence_comes_first_and_the_numbers_after():
    said = words(results([track(record(selected_moods=["calm"]))]))
    order = [
        said.index(part) for part in ("Calm, C♯ minor", "song.mp3 · 1:11 · m2e-small", "Valence 6.0 of 1–9", "Moods")
    ]
    assert order == sorted(order)


def test_the_player_comes_before_the_moods():
    drawn = results([track(record())])
    assert drawn.index("m2e-play") < drawn.index("m2e-wave") < drawn.index("m2e-moods") < drawn.index("4 more")


def test_a_single_track_needs_no_list_and_several_do():
    assert "m2e-list" not in results([track(record())])
    drawn = results([track(record()), track(record(path="b.ogg"))], shown=1)
    assert "song.mp3 Calm, C♯ minor valence 6.0 · arousal 3.0 · Q4 calm" in words(drawn)
    for index, name in enumerate(("song.mp3", "b.ogg")):
        assert f'data-show="{index}" title="{name}" aria-pressed="{str(index == 1).lower()}"' in drawn
        assert f'data-remove="{index}" aria-label="Remove {name}"' in drawn
    assert "Add a track" in results([])
    unsure = track(full_record({"between": ["Q3", "Q4"]}))
    assert "arousal 3.0 · between Q3 sad and Q4 calm" in words(results([unsure, unsure]))


def test_the_facts_say_what_the_record_says():
    said = words(facts.tiles(record()) + facts.moods(record()))
    for part in (
        "Valence 6.0 of 1–9 unpleasant pleasant",
        "Arousal 3.0 of 1–9 calm energetic",
        "Quadrant Q4 calm Key",
        "Key C♯ minor confidence 81%",
        "✓ mood0 90%",
        "mood7 55% 4 more",
    ):
        assert part in said, part
    assert "predicted by a separate head" in facts.tiles(record(quadrant="Q3"))
    assert "– undecided" in words(facts.tiles(record(key=None)))
    assert "– not requested" in words(facts.tiles(record(key=None, chords=None)))
    assert facts.attributes(record()) == "" and "Tempo" not in facts.tiles(record())
    assert facts.warnings(record()) == ""


def test_what_a_record_adds_is_shown():
    said = words(results([track(full_record(MORE, summary="Dark and tense, F# major, slow"))]))
    for part in (
        "Dark and tense, F♯ major, slow",
        "6.0 of 1–9 · likely 5.5–6.5",
        "3.0 of 1–9 · likely 2.0–4.0",
        "30% 10% 35% 25% between tense, angry and sad",
        "Tempo 96 beats per minute",
        "calm, sad happy",
        "highlight",
        "Attributes energy 40% danceability 73%",
    ):
        assert part in said, part
    assert "tempo stability" not in said
    drawn = timeline(track(full_record(MORE)), WHOLE)
    assert (
        'title="calm, sad, valence 5.0, arousal 3.0, 0:00 – 0:40" style="left:0.000%;width:56.338%;--v:50.0%' in drawn
    )
    assert 'class="m2e-highlight" title="highlight, 0:10 – 0:25" style="left:14.085%;width:21.127%;"' in drawn
    plain = timeline(track(record()), WHOLE)
    assert "m2e-segments" not in plain and "m2e-highlight" not in plain


def test_what_is_no_music_has_no_sentence():
    assert "Perhaps no music song.mp3" in words(results([track(record(summary=None, selected_moods=[]))]))


def test_warnings_are_shown():
    assert "The end is missing." in words(results([track(record(warnings=["The end is missing."]))]))


def test_the_timeline_is_in_scale():
    drawn = timeline(track(record()), WHOLE)
    assert 'aria-label="Emotion curve: valence from 5.0 to 9.0, arousal from 1.0 to 4.0"' in drawn
    assert '<polyline class="m2e-valence" points="0.00,50.00 21.13,50.00 63.38,25.00 92.25,0.00 100.00,0.00"/>' in drawn
    assert 'title="C♯m, 0:02 – 0:36" style="left:2.817%;width:47.183%;"' in drawn and ">N<" not in drawn
    data = json.loads(html.unescape(re.search(r'data-track="([^"]*)"', drawn)[1]))
    assert data["duration"] == 71.0 and data["curve"][1] == [30, 60, "7.0", "4.0", 75.0, 37.5]
    assert data["chords"] == [[0, 2, "N"], [2, 35.5, "C#m"], [35.5, 71, "Amaj7"]]
    assert 'data-source="gradio_api/file=folder/a%20b.mp3"' in drawn
    assert re.findall(r"(\d:\d\d)</span></div></div>$", drawn) == ["1:00"]
    assert 'title="C♯ minor, 0:00 – 1:11" style="left:0.000%;width:100.000%;"' in drawn
    keys = [KeySegment(0.0, 40.0, "C# minor", 0.8), KeySegment(40.0, 71.0, "F# major", 0.7)]
    assert re.findall(r'title="(\S+ m..or), ([^"]*)"', timeline(track(record(key_segments=keys)), WHOLE)) == [
        ("C♯ minor", "0:00 – 0:40"),
        ("F♯ major", "0:40 – 1:11"),
    ]
    for seconds in (0.6, 30, 7000, 90_000):
        times = timeline(track(record(duration=seconds)), WHOLE).rpartition("m2e-times")[2]
        assert 1 <= times.count("<span") <= 26


def test_a_long_curve_has_no_dots_that_would_hide_each_other():
    curve = [CurvePoint(second, second + 1, 5.0, 5.0) for second in range(MANY + 1)]
    few, many = (results([track(record(curve=points))]) for points in (curve[:MANY], curve))
    assert '<path class="m2e-valence"' in few and "m2e-dense" not in few
    assert '<path class="m2e-valence"' not in many and "m2e-dense" in many


def test_the_waveform_has_the_colours_of_the_emotion():
    drawn = timeline(track(record()), WHOLE)
    stops = re.findall(r'<stop class="m2e-tint" offset="([\d.]+)%" style="--v:([\d.]+)%;--a:([\d.]+)%"/>', drawn)
    assert [tuple(map(float, stop)) for stop in stops] == [(21.1, 50.0, 0.0), (63.4, 100.0, 9.2), (92.3, 100.0, 0.0)]
    assert 'd="M0.5 26.0V74.0M1.5 2.0V98.0M2.5 38.0V62.0"' in drawn  # a bar per peak: 0.5, 1, 0.25
    assert '<stop class="m2e-tint" style="--v:' in timeline(track(record(curve=[])), WHOLE)


@pytest.mark.parametrize(
    "name", ["<img src=x onerror=alert(1)>", "\"'><script>", "${alert(1)} {{value}} `x`", "a\x00\nb"]
)
def test_names_are_text_and_nothing_else(name):
    segments = [{"start": 0.0, "end": 1.0, "valence": 5.0, "arousal": 5.0, "moods": [name]}]
    more = {"segments": segments, "attributes": {name: 0.5}}
    hostile = track(full_record(more, path=name, model=name, summary=name, moods=[Mood(name, 0.5)], warnings=[name]))
    for drawn in (results([hostile, hostile]), status([name], name)):
        for trouble in ("<img", "<script", "${", "{{", "`", "\x00", "\n", "onerror=alert(1)>"):
            assert trouble not in drawn
        shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
        assert " ".join(shown.split()) in words(drawn)


def test_accidentals_are_those_of_sheet_music():
    for name, shown in (
        ("C# minor", "C♯ minor"),
        ("Bbm7", "B♭m7"),
        ("F#", "F♯"),
        ("G#dim", "G♯dim"),
        ("Dark, Eb major", "Dark, E♭ major"),
    ):
        assert notes(name) == shown
    assert notes("Abba <b>#1</b>") == text("Abba <b>#1</b>")


def test_the_status_is_empty_only_if_there_is_nothing_to_say():
    assert words(status()) == ""
    assert 'role="alert"' in status(["a.mp3: is empty."]) and 'role="status"' in status(doing="Analysing")
