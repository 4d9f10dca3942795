"""What the page shows of tracks."""

import json

import librarysample
import numpy as np
import pytest

from m2e.report.data import content, key_index
from m2e.report.outliers import deviations, outliers
from m2e.report.page import page


def test_content_is_plain_and_short():
    shown = content(librarysample.rows(50), "Music", "today")
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert {len(values) for values in shown["tracks"].values()} == {50}
    assert shown["root"] == "/music/" and not shown["tracks"]["path"][0].startswith("/")
    assert [number["name"] for number in shown["numbers"]][:2] == ["energy", "danceability"]
    assert shown["failures"] == 1 and shown["failed"][0][0] == "/music/broken.mp3"
    assert shown["models"] == ["m2e-small"]


def test_what_is_unknown_is_left_out():
    row = {"path": "a.mp3", "valence": 5.0, "arousal": 4.0}
    shown = content([row, {**row, "attributes": {"energy": float("nan"), "swing": 0.5}, "key": "H"}], "", "")
    assert [(number["name"], number["values"]) for number in shown["numbers"]] == [("swing", [None, 50])]
    assert shown["tracks"]["key"] == [-1, -1] and shown["root"] == "" and shown["moods"] == []


def test_an_empty_library():
    shown = content([], "", "")
    assert shown["lists"] == [] and shown["tracks"]["path"] == []


@pytest.mark.parametrize(
    ("key", "index"),
    [
        ("C major", 0),
        ("A minor", 15),
        ("Am", 15),
        ("Bb", 10),
        ("F#:min", 18),
        ({"tonic": "E♭", "mode": "minor"}, 21),
        ("8A", 15),
        (None, -1),
        ("", -1),
        ("Q", -1),
        ("C dorian", -1),
    ],
)
def test_keys_on_the_circle_of_fifths(key, index):
    assert key_index(key) == index


def test_extremes_and_outliers():
    rows = librarysample.rows(300)
    rows[7] |= {"valence": 8.9}
    lists = {each["name"]: each["items"] for each in content(rows, "", "")["lists"]}
    assert lists["Most pleasant"][0] == [7, "8.9"]
    assert lists["Unlike the rest"][0][:2] == [1, "minutes 90"]


def test_deviations_are_robust_and_skip_what_is_unknown():
    values = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, np.nan], [4.0, 5.0], [1000.0, 9.0]])
    scores = deviations(values)
    assert scores[2].tolist() == [0.0, 0.0] and scores[4, 0] > 100
    assert scores[:, 1].tolist() == [0.0] * 5  # most are the same
    assert outliers(values, 3) == [(4, 0, pytest.approx(scores[4, 0]))]
    assert outliers(np.zeros((0, 2)), 3) == []


def test_the_page_is_whole_and_has_a_policy():
    text = page(librarysample.rows(3), "A <b> \udce9", "today")
    assert text.encode("utf-8") and "<title>A &lt;b&gt; ?</title>" in text and "@@" not in text
    assert "default-src &#x27;none&#x27;; script-src &#x27;sha256-" in text
    assert "https://" not in text.partition("<script>")[0]
