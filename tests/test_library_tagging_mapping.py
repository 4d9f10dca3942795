"""Which tags a record becomes, and what is wrong with a mapping."""

import pytest
from tagged_audio import record

from m2e.errors import AudioError, UsageError
from m2e.library.tagging.formats import check_names
from m2e.library.tagging.key_notation import written_key
from m2e.library.tagging.mapping import default_text, parse_mapping, read_mapping, tags_of


def tags(text=None, **changes):
    rules = parse_mapping(text or default_text(), "map.toml")
    return {rule.tag: values for rule, values in tags_of(record(**changes), rules)}


def test_the_built_in_mapping():
    assert tags() == {
        "MOOD": ["calm", "happy"],
        "INITIALKEY": ["Am"],
        "VALENCE": ["5.31"],
        "AROUSAL": ["6.20"],
        "ENERGY": ["0.73"],
    }
    existing = {rule.tag: rule.existing for rule in read_mapping()}
    assert existing["INITIALKEY"] == existing["BPM"] == "keep" and existing["MOOD"] == "replace"


def test_what_a_record_does_not_know_is_left_out():
    found = tags(key=None, attributes=None, selected_moods=[])
    assert set(found) == {"VALENCE", "AROUSAL"}
    plain = record()
    del plain["attributes"]
    assert set(dict((rule.tag, 0) for rule, _ in tags_of(plain, read_mapping()))) >= {"MOOD", "VALENCE"}
    assert "INITIALKEY" not in tags(key={"tonic": "A", "mode": "minor", "confidence": 0.3})
    assert tags(attributes={"energy": None, "dance-ability": 0.5, "nan": float("nan")})["DANCE_ABILITY"] == ["0.50"]
    assert "ENERGY" not in tags(attributes={"energy": None}) and "NAN" not in tags(attributes={"nan": float("nan")})


def test_tempo_may_be_an_attribute_or_a_field():
    assert tags(attributes={"tempo": 119.7}) == tags(tempo=119.7, attributes={})
    assert tags(tempo=119.7)["BPM"] == ["120"] and "TEMPO" not in tags(attributes={"tempo": 119.7})


def test_a_mapping_of_ones_own():
    text = """
    [GROUPING]
    value = "quadrant"
    [Stimmung]
    value = "moods"
    limit = 1
    [MOODS]
    value = "moods"
    separator = " / "
    [KEY]
    value = "key"
    notation = "camelot"
    [ENERGYLEVEL]
    value = "attributes.energy"
    digits = 0
    """
    assert tags(text) == {
        "GROUPING": ["Q1"],
        "Stimmung": ["calm"],
        "MOODS": ["calm / happy"],
        "KEY": ["8A"],
        "ENERGYLEVEL": ["1"],
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("MOOD = 3", "is no table"),
        ("[MOOD", "no valid TOML"),
        ("", "names no tag"),
        ("[MOOD]", "value = ''"),
        ("[MOOD]\nvalue = 'mood'", "'mood' is none of moods, key"),
        ("[MOOD]\nvalue = 'moods'\ncolour = 'red'", "'colour' is not known"),
        ("[MOOD]\nvalue = 'moods'\nexisting = 'merge'", "'merge' is none of replace, keep, add"),
        ("[MOOD]\nvalue = 'moods'\nlimit = 'two'", "limit = 'two' is not a number"),
        ("[MOOD]\nvalue = 'moods'\nlimit = true", "limit = True is not a number"),
        ("[MOOD]\nvalue = 'moods'\nseparator = 1", "separator = 1 is not a text"),
        ("[K]\nvalue = 'key'\nnotation = 'german'", "'german' is none of standard"),
        ("['A=B']\nvalue = 'key'", "printable letters"),
        ("['*']\nvalue = 'key'", 'table ["*"]'),
        ("[A]\nvalue = 'attributes.*'", 'table ["*"]'),
        ("[A]\nvalue = 'key'\n[a]\nvalue = 'key'", "two tables for the tag A"),
    ],
)
def test_a_fault_is_one_sentence_with_its_place(text, sentence):
    with pytest.raises(UsageError) as error:
        parse_mapping(text, "map.toml")
    message = str(error.value)
    assert sentence in message and message.startswith("map.toml") and message.endswith(".") and "\n" not in message


def test_names_that_a_kind_of_tag_cannot_have():
    for line in ("id3 = 'TXXX:'", "id3 = 'APIC'", "vorbis = 'A=B'", "mp4 = 'MOOD'", "ape = 'a'"):
        with pytest.raises(UsageError, match=r"\[A\]: .* is no name"):
            check_names(parse_mapping(f"[A]\nvalue = 'key'\n{line}", "map.toml"))
    check_names(parse_mapping("[A]\nvalue = 'key'\nid3 = 'TIT1'\nmp4 = '----:org.m2e:KEY'\nvorbis = 'K'", "map.toml"))


def test_files_that_are_no_mapping(tmp_path):
    for path, content in ((tmp_path / "gone.toml", None), (tmp_path / "latin.toml", b"\xff")):
        if content:
            path.write_bytes(content)
        with pytest.raises(UsageError, match=path.name):
            read_mapping(str(path))


@pytest.mark.parametrize(
    "changes",
    [
        {"valence": [1]},
        {"key": "Am"},
        {"key": {"tonic": "", "mode": "minor", "confidence": 1}},
        {"selected_moods": 3},
        {"attributes": [1]},
    ],
)
def test_a_record_with_other_values_is_refused(changes):
    with pytest.raises(AudioError, match="song: its record cannot be used"):
        tags(**changes)


def test_keys_as_dj_software_writes_them():
    wheel = {8: ("Am", "C"), 9: ("Em", "G"), 12: ("C#m", "E"), 1: ("G#m", "B"), 2: ("Ebm", "F#"), 5: ("Cm", "Eb")}
    for number, (minor, major) in wheel.items():
        for name, mode, letter, suffix in ((minor[:-1], "minor", "A", "m"), (major, "major", "B", "d")):
            assert written_key(name, mode, "camelot") == f"{number}{letter}"
            assert written_key(name, mode, "open-key") == f"{(number + 4) % 12 + 1}{suffix}"
            assert written_key(name, mode) == name + ("m" if mode == "minor" else "")
    assert (
        written_key("D#", "minor") == "Ebm" and written_key("Gb", "major") == "F#" and written_key("Cb", "major") == "B"
    )
    tonics = "C C# D D# E F F# G G# A A# B".split()
    assert len({written_key(tonic, mode, "camelot") for tonic in tonics for mode in ("major", "minor")}) == 24
    for wrong in ("", "H", "Am"):
        with pytest.raises(LookupError):
            written_key(wrong, "minor")
