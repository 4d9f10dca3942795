"""The plane: what part of the scale is shown, where labels go, and what is drawn."""

import itertools
import math
import re

import pytest
from space_records import full_record, record, words

pytest.importorskip("gradio", reason='gradio is in the extra "demo"')
from m2e.space.plane import LABEL_EDGE, LABEL_GAP, plane, spread  # noqa: E402
from m2e.space.scale import TYPICAL, Zoom, tint, tint_style, zoom_of  # noqa: E402
from modeling_m2e.scale_m2e import QUADRANT_WORDS  # noqa: E402


def test_the_zoom_shows_all_values_and_the_typical_range():
    near = zoom_of([4.4, 5.2])
    assert (near.low, near.high) == (3.0, 7.0) and near.ticks() == [3, 4, 5, 6, 7]
    assert all(near.low <= low and high <= near.high for low, high in TYPICAL.values())
    assert zoom_of([]) == near and zoom_of([7.0]) == Zoom(2.5)  # a point is not on the edge
    whole = zoom_of([8.9, 5.0])
    assert (whole.low, whole.high, whole.ticks()) == (1.0, 9.0, [1, 3, 5, 7, 9])
    assert [near.share(value) for value in (3.0, 5.0, 6.0, 7.0, 9.0)] == [0.0, 50.0, 75.0, 100.0, 100.0]


def test_the_tint_tells_the_sides_apart_and_small_differences_too():
    assert [tint(value) for value in (1.0, 5.0, 9.0)] == [0.0, 50.0, 100.0]
    values = [tint(4 + step / 10) for step in range(21)]
    assert values == sorted(values) and len(set(values)) == 21
    assert tint(5.15) - 50 > 10 and tint(5.15) + tint(4.85) == pytest.approx(100)
    assert tint_style(9.0, 1.0) == "--v:100.0%;--a:0.0%"


@pytest.mark.parametrize(
    "spots",
    [
        [(50.0, 50.0)] * 3,
        [(50.0, 50.0), (50.5, 50.0), (90.0, 10.0)],
        [(45.0 + index, 48.0 + index % 3) for index in range(12)],
    ],
)
def test_labels_do_not_hide_each_other(spots):
    places = spread(spots)
    nearest = min(math.dist(a, b) for a, b in itertools.combinations(places, 2))
    assert nearest > 0.9 * LABEL_GAP
    assert spread(spots) == places, "the same points give the same picture"


def test_labels_stay_inside_and_lone_ones_where_they_are():
    assert spread([]) == [] and spread([(30.0, 70.0)]) == [(30.0, 70.0)]
    ends = [LABEL_EDGE, 100 - LABEL_EDGE]
    assert all(ends[0] <= end <= ends[1] for place in spread([(0.0, 0.0), (0.0, 0.0), (100.0, 100.0)]) for end in place)


def test_the_plane_names_its_quadrants_and_places_every_track():
    records = [record(), record(path="b.ogg", valence=1.0, arousal=9.0, quadrant="Q2")]
    drawn = plane(records, 0, Zoom())
    said = words(drawn)
    assert all(f"{meaning} {name}" in said for name, meaning in QUADRANT_WORDS.items())
    assert "unpleasant valence pleasant" in said and "calm arousal energetic" in said
    assert "scale 1–9, shown 1–9" in said
    points = re.findall(r'class="m2e-point([^"]*)" data-show="(\d)"[^>]*aria-label="([^"]*)"', drawn)
    assert points == [
        (" m2e-shown", "0", "1 song.mp3: valence 6.0, arousal 3.0, Q4 calm"),
        ("", "1", "2 b.ogg: valence 1.0, arousal 9.0, Q2 tense, angry"),
    ]
    assert '<polyline points="50.0,75.00 75.0,62.50 100.0,100.00"/>' in drawn  # the path of the one that is shown
    assert 'data-second="30.000" aria-label="0:30 – 1:00: valence 7.0 · arousal 4.0"' in drawn
    assert "polyline" not in plane([record(curve=record().curve[:1])], 0, Zoom())
    assert "no track yet" in plane([], 0, Zoom())


def test_a_moved_label_is_joined_to_its_point():
    alike = [record(), record(path="b.ogg")]
    assert plane(alike, 0, Zoom()).count("<circle") == 2
    assert "m2e-leaders" not in plane(alike[:1], 0, Zoom())


def test_intervals_are_drawn_where_a_record_has_them():
    unsure = full_record({"valence_interval": [5.0, 7.0], "arousal_interval": [1.0, 5.0]})
    drawn = re.search(r'class="m2e-interval"[^>]*style="([^"]*)"', plane([unsure], 0, Zoom()))[1]
    assert drawn == "left:50.0%;bottom:0.0%;width:25.00%;height:50.00%"
    assert "m2e-interval" not in plane([record()], 0, Zoom())
