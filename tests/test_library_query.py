"""Queries: what they find, and what a person is told about a wrong one."""

import pickle

import library_tools as tools
import numpy as np
import pytest

from m2e.library.database import Library
from m2e.library.query import Tracks, order, search
from m2e.library.query_language import All, Any_, Comparison, Mood, Not, QueryError, parse

# a: calm .9 happy .6 V7.0 A3.0 Am 1989 Ann Dawn     b: calm .8 happy .7 V6.5 A3.5 C  1990 Ann Lake
# c: dark .9          V3.0 A7.0 Em 2001 Bob Storm    d: happy .9         V7.5 A7.5 F# 2010 Cleo Party
# e: calm .6 dark .6  V4.0 A4.0 no key, no tags


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with tools.small(tmp_path_factory.mktemp("library")) as opened:
        yield opened


def names(library, text):
    tracks = Tracks(library)
    ids = tracks.ids[search(tracks, text)]
    return "".join(track.path.rpartition("/")[2][0] for track in library.tracks(ids))


@pytest.mark.parametrize(
    "text, found",
    [
        ("", "abcde"),
        ("calm", "abe"),
        ("calm and happy", "ab"),
        ("calm and happy, not dark, valence > 6, key = Am", "a"),
        ("CALM AND NOT DARK", "ab"),
        ("happy or dark", "abcde"),
        ("calm, happy or dark", "abe"),
        ("calm and happy or dark", "abce"),
        ("calm and (happy or dark)", "abe"),
        ("not (calm or dark)", "d"),
        ("not not calm", "abe"),
        ("calm > 0.7", "ab"),
        ("calm <= 0.2", "cd"),
        ("valence > 6.5", "ad"),
        ("valence >= 6.5", "abd"),
        ("valence ≥ 6.5", "abd"),
        ("valence = 6.5", "b"),
        ("valence != 6.5", "acde"),
        ("valence = 4..6.5", "be"),
        ("valence != 4..6.5", "acd"),
        ("arousal > 60%", "cd"),
        ("arousal < 20%", "a"),
        ("arousal = 0%..40%", "ab"),
        ("happy > 79%", "d"),
        ("duration = 3:20", "abcde"),
        ("duration < 0:03:20", ""),
        ("quadrant = Q4", "ab"),
        ("quadrant != 4", "cde"),
        ("key = Am", "a"),
        ("key = A minor", "a"),
        ("key = 8A", "a"),
        ("key != Am", "bcd"),
        ("not key = Am", "bcd"),
        ("key ~ Am", "abc"),
        ("key = Gb", "d"),
        ("key = minor", "ac"),
        ("year >= 1990", "bcd"),
        ("not year >= 1990", "a"),
        ("year = 1989..1990", "ab"),
        ("artist = ann", "ab"),
        ("artist != Ann", "cd"),
        ("artist ~ o", "cd"),
        ("artist = 'c*o'", "d"),
        ("title = lake or title = storm", "bc"),
        ('title ~ "A"', "abd"),
        ("path ~ music/c", "c"),
        ("path ~ c.MP3", "c"),
        ("energy > 0.5", ""),
        ("not energy > 0.5", ""),
        ("calm or energy > 0.5", "abe"),
        ("id = 2", "b"),
        ('"calm"', "abe"),
    ],
)
def test_what_a_query_finds(library, text, found):
    assert names(library, text) == found


def test_values_of_several_words_and_several_values(library, tmp_path):
    with Library.open(tmp_path / "library.db", create=True) as other:
        tools.add(other, "a.mp3", tools.record(), artist="Miles Davis; John Coltrane", genre="Jazz; Bop")
        tools.add(other, "b.mp3", tools.record(), artist="Simon and Garfunkel", title='The "Boxer"')
        assert names(other, "artist = miles davis") == "a" and names(other, "genre = bop") == "a"
        assert names(other, "artist = 'simon and garfunkel'") == "b"
        assert names(other, r'title = "the \"boxer\""') == "b"


def test_missing_tracks_are_not_found(library, tmp_path):
    with tools.small(tmp_path) as other:
        other.mark_missing([str(tmp_path / "music" / "a.mp3")])
        assert names(other, "calm") == "be"


@pytest.mark.parametrize(
    "sort, expected",
    [("valence", "cebad"), ("-valence", "dabec"), ("artist,-valence", "abcde"), ("-title", "cdbae")]
    + [("-calm", "abedc"), ("year", "abcde"), ("-year", "dcbae"), ("key", "bdcae"), ("path", "abcde")]
    + [("-id", "edcba"), ("-artist, id", "dcabe")],
)
def test_the_order_of_results(library, sort, expected):
    tracks = Tracks(library)
    ids = tracks.ids[order(tracks, search(tracks, ""), sort)]
    assert "".join(track.path.rpartition("/")[2][0] for track in library.tracks(ids)) == expected


def test_what_no_track_has_is_said(library):
    tracks = Tracks(library)
    assert len(search(tracks, "energy > 0.5")) == 0
    assert tracks.notes == ["no track has energy: another model may predict it."]


@pytest.mark.parametrize(
    "text, at, words",
    [
        ("calm and", 8, "the query ends, where a mood or a field"),
        ("calm and or", 9, 'no mood or field "or"'),
        ("not" + " not" * 2000 + " calm", 0, "nested too deeply"),
        ("valence >", 9, "the query ends, where a value is expected"),
        ("valence > 3 (calm)", 12, 'there is "(calm)", where ",", "and", "or" or the end is expected'),
        ("valence", 7, "a comparison is expected"),
        ("clam", 0, "did you mean calm"),
        ("calm, xyzzy > 3", 6, 'no mood or field "xyzzy"'),
        ("valence > high", 10, '"high" is no number'),
        ("valence > 120%", 10, '"120%" is no number'),
        ("valence > 3..4", 10, "a range needs ="),
        ("valence = 3..4..5", 10, "a range has two ends"),
        ("valence ~ 3", 10, '"~" compares texts and keys'),
        ("(calm", 5, "the query ends"),
        ("calm)", 4, 'there is ")"'),
        ("calm happy", 5, 'there is "happy", where'),
        ("valence > 6 arousal > 5", 20, 'there is ">", where'),
        ("key = H", 6, '"H" is no key'),
        ("key > Am", 6, "a key is compared by"),
        ("quadrant = Q5", 11, "a quadrant is compared"),
        ("artist > Ann", 9, "a text is compared by"),
        ('artist = "Ann', 9, "a quote is not closed"),
        ('calm "happy"', 5, 'there is "happy", where'),
        (",", 0, 'there is ","'),
        ("=", 0, 'there is "="'),
        ("calm and ! dark", 9, 'there is "!"'),
        ("(" * 300 + "calm", 304, "the query ends"),
    ],
)
def test_a_wrong_query_is_explained(library, text, at, words):
    with pytest.raises(QueryError) as error:
        search(Tracks(library), text)
    assert words in str(error.value) and error.value.at == at and "\n" not in str(error.value)
    assert str(error.value).endswith(f"(at character {at + 1} of the query).")
    assert error.value.pointer() == f"{text}\n{' ' * at}^"


def test_deep_nesting_and_long_queries(library):
    assert names(library, "(" * 200 + "calm" + ")" * 200) == "abe"
    assert names(library, " or ".join(["calm"] * 5000)) == "abe"
    assert names(library, "not " * 400 + "calm") == "abe"


def test_a_wrong_order_is_explained(library):
    tracks = Tracks(library)
    with pytest.raises(QueryError, match="did you mean valence") as error:
        order(tracks, search(tracks, ""), "title, -valense")
    assert error.value.at == 7


def test_errors_travel_between_processes():
    error = QueryError("calm and", 8, "the query ends")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.text, again.at) == (str(error), error.text, error.at)


def test_the_tree_of_a_query():
    assert parse("a") == Mood("a", 0)
    assert parse("a, not b or c = x y") == All(
        (Mood("a", 0), Any_((Not(Mood("b", 7)), Comparison("c", "=", "x y", 12, 16))))
    )
    assert parse("'two words' == 3") == Comparison("two words", "=", "3", 0, 15)


def test_an_empty_library(tmp_path):
    with Library.open(tmp_path / "library.db", create=True) as library:
        tracks = Tracks(library)
        assert search(tracks, "valence > 80%, year > 3").tolist() == []
        assert order(tracks, np.arange(0), "valence").tolist() == []
        with pytest.raises(QueryError, match='no mood or field "calm"'):
            search(tracks, "calm")
