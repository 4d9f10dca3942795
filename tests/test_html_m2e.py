"""The HTML of a record that a notebook shows."""

from dataclasses import replace
from xml.etree import ElementTree

from test_record_m2e import RECORD

from modeling_m2e.html_m2e import CHORDS, MOODS
from modeling_m2e.record_m2e import Mood


def tree(record) -> ElementTree.Element:
    return ElementTree.fromstring(record._repr_html_().replace("&nbsp;", " "))


def words(record) -> str:
    return " ".join(tree(record).itertext())


def test_the_point_is_where_valence_and_arousal_are():
    for valence, arousal, x, y in ((1.0, 9.0, 0, 0), (5.0, 5.0, 100, 100), (9.0, 1.0, 200, 200)):
        (point,) = tree(replace(RECORD, valence=valence, arousal=arousal)).iter("circle")
        assert (float(point.get("cx")), float(point.get("cy"))) == (x, y)


def test_a_record_is_told_in_words():
    text = words(RECORD)
    for word in ("song.mp3", "1:00", "Q1 happy, energetic", "valence 6.1", "C major", "chords: C:maj", "0.83"):
        assert word in text
    assert [line.get("points").count(",") for line in tree(RECORD).iter("polyline")] == [2, 2, 2]  # plane, curve


def test_the_tempo_is_told_where_it_is_known():
    assert "C major · 123 BPM" in words(replace(RECORD, tempo=123.4)) and "BPM" not in words(RECORD)


def test_what_is_not_known_is_left_out():
    bare = replace(RECORD, path=None, duration=None, key=None, chords=None, curve=None, moods=[])
    assert "chords" not in words(bare) and not list(tree(bare).iter("polyline")) and "track" in words(bare)


def test_names_of_strangers_are_text():
    hostile = '<script>alert("1")</script>&'
    record = replace(RECORD, path=hostile, moods=[Mood(hostile, 0.5)], warnings=[hostile])
    assert not list(tree(record).iter("script")) and words(record).count(hostile) == 2  # the path is cut at its slash


def test_long_lists_are_cut_and_say_so():
    record = replace(RECORD, moods=RECORD.moods * 10, chords=RECORD.chords * 20)
    assert len(list(tree(record).iter("tr"))) == MOODS and f"… +{20 - CHORDS}" in words(record)
