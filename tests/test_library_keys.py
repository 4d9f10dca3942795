"""Keys: spellings, Camelot, neighbours."""

import pytest

from m2e.library.keys import camelot, key_distance, key_name, key_number, neighbours, parse_key, short_key


@pytest.mark.parametrize(
    "text, name",
    [("Am", "A minor"), ("a minor", "A minor"), ("A:min", "A minor"), ("C", "C major"), ("c maj", "C major")]
    + [
        ("F#", "F# major"),
        ("gb", "F# major"),
        ("dbm", "C# minor"),
        ("B♭m", "Bb minor"),
        ("Cb", "B major"),
        ("B#", "C major"),
    ]
    + [("8A", "A minor"), ("8B", "C major"), ("9b", "G major"), ("1A", "G# minor"), ("12b", "E major")],
)
def test_keys_of_any_spelling(text, name):
    assert key_name(parse_key(text)) == name


@pytest.mark.parametrize("text", ["", "H", "Amx", "13A", "0B", "minor", "A B"])
def test_what_is_no_key(text):
    assert parse_key(text) is None


def test_names_and_numbers():
    assert [parse_key(key_name(number)) for number in range(24)] == list(range(24))
    assert [parse_key(short_key(number)) for number in range(24)] == list(range(24))
    assert [parse_key("{}{}".format(n, "A" if minor else "B")) for n, minor in map(camelot, range(24))] == [*range(24)]
    assert (key_number("C", "major"), key_number("B", "minor"), key_number("F#", "major")) == (0, 23, 6)


def test_neighbours_are_on_the_circle_of_fifths():
    assert sorted(map(short_key, neighbours(parse_key("Am")))) == ["Am", "C", "Dm", "Em"]
    assert key_distance(parse_key("C"), parse_key("F#")) == 6 and key_distance(0, 0) == 0
    assert all(key_distance(a, b) == key_distance(b, a) for a in range(24) for b in range(24))
