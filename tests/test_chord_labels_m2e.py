"""Chord labels and chord tokens, against the numbers of the published code (tests/fixtures/harmony.json.gz).

The fixture holds 200 chord sequences with what the published code makes of them: the transposed labels, the token ids.
mir_eval serves as an oracle where it is installed.
"""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from m2e.errors import DataError
from modeling_m2e import chord_labels_m2e as harmony
from modeling_m2e.chord_labels_m2e import (
    QUALITIES,
    ROOTS,
    VOCABULARY,
    Chord,
    ChordSegment,
    chord_tokens,
    parse_chord,
    pitch_class,
    read_lab,
    transpose,
    write_lab,
)


@pytest.fixture(scope="module")
def golden(fixtures):
    return json.loads(gzip.decompress((fixtures / "harmony.json.gz").read_bytes()))


@pytest.fixture(scope="module")
def sequences(golden):
    return golden["sequences"]


def song(*labels, seconds=1.0):
    return [ChordSegment(i * seconds, (i + 1) * seconds, label) for i, label in enumerate(labels)]


# Labels


def test_vocabulary_is_that_of_the_recogniser(golden):
    assert list(VOCABULARY) == golden["vocabulary"]
    assert len(VOCABULARY) == 170 and len(QUALITIES) == 14 and len(ROOTS) == 12
    assert [parse_chord(label).index for label in VOCABULARY] == list(range(170))


@pytest.mark.parametrize(
    ("label", "expected"),
    {
        "C": "C:maj",
        "C:maj": "C:maj",
        "C/3": "C:maj",
        "F:maj/3": "F:maj",
        "Bb:min7/b3": "A#:min7",
        "C:maj6/5": "C:maj6",
        "C:maj7(9)": "C:maj7",
        "C:9": "C:7",
        "C:11": "C:7",
        "C:13": "C:7",
        "C:7(13)": "C:7",
        "C:min9": "C:min7",
        "Cbb:maj13/7": "A#:maj7",
        "C:sus4(b7)": "C:sus4",
        "C:sus4(b7,9)": "C:sus4",
        "C:sus4(2)": "C:sus4",
        "C:maj(9)": "C:maj",
        "C:min(2)": "C:min",
        "C:7(*5,b5)": "C:7",
        "C:maj(*5,b5)": "C:maj",
        "C:min7(*5,b5)": "C:hdim7",
        "C:min(*b3,4)": "C:sus4",
        "C:aug7": "C:aug",
        "C:5": "C:maj",
        "C:1": "C:maj",
        "C:(1,5)": "C:maj",
        "C:(b3,5)": "C:min",
        "C:(1,5,9)": "C:sus2",
        "C:(3,5,b7)": "C:7",
        "C:(3,5,b7,9,11,13)": "C:7",
        "C:maj(9,13)": "C:maj",
        "C:(1,4,b7)": "C:sus4",
        "C:(b3,b5,bb7)": "C:dim7",
        "N": "N",
        "X": "X",
    }.items(),
)
def test_parse_chord_reduces_to_the_nearest_quality(label, expected):
    assert parse_chord(label).label == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    {"E#": 5, "B#": 0, "Cb": 11, "Fb": 4, "Bb": 10, "Ebb": 2, "F##": 7, "Cbb": 10, "B##": 1, "Abbb": 6, "G": 7}.items(),
)
def test_every_spelling_of_a_pitch(name, expected):
    assert pitch_class(name) == expected
    assert parse_chord(f"{name}:min").root == expected


BAD_LABELS = [
    "",
    " ",
    "H",
    "c:maj",
    "C:",
    "C:foo",
    "C:Maj",
    "Cb#",
    "C(9)",
    "C:maj(14)",
    "C:maj(",
    "C:/3",
    "C:maj/",
    "N:maj",
]


@pytest.mark.parametrize("label", BAD_LABELS)
def test_parse_chord_refuses_what_is_no_label(label):
    with pytest.raises(DataError, match="is not a chord label"):
        parse_chord(label)


@pytest.mark.parametrize("name", ["", "H", "c", "C:maj", "Cb#", "N"])
def test_pitch_class_refuses_what_is_no_pitch(name):
    with pytest.raises(DataError, match="is not a pitch name"):
        pitch_class(name)


def test_pitch_classes_agree_with_mir_eval():
    oracle = pytest.importorskip("mir_eval.chord")
    for label in VOCABULARY[:-2]:
        root, bitmap, _ = oracle.encode(label)
        assert parse_chord(label).pitch_classes == sorted((root + np.flatnonzero(bitmap)) % 12)
    # For the others: what reads as exactly one of the 14 qualities there reads as the same one here.
    exact = {tuple(oracle.quality_to_bitmap(quality)): quality for quality in QUALITIES}
    labels = [
        "Eb:9",
        "D:maj9",
        "A:min13",
        "G:(3,5)",
        "G:(b3,5,7)",
        "C:7(*b7)",
        "E:maj(6)",
        "Db:min7(*5,b5)",
        "B:maj(*3,4)",
    ]
    for label in labels:
        root, bitmap, _ = oracle.encode(label)
        chord = parse_chord(label)
        assert (chord.root, chord.quality) == (root, exact[tuple(bitmap)]), label


def test_accepts_the_labels_that_mir_eval_accepts():
    oracle = pytest.importorskip("mir_eval.chord")
    for label in BAD_LABELS:
        with pytest.raises(oracle.InvalidChordException):
            oracle.validate_chord_label(label)
    for shorthand in harmony._SHORTHANDS:
        for tail in ("", "/b7", "(*5,#11)", "(9)/5"):
            oracle.validate_chord_label(f"Gb:{shorthand}{tail}")
            assert parse_chord(f"Gb:{shorthand}{tail}").root == 6


def test_a_chord_is_its_class():
    for index, label in enumerate(VOCABULARY):
        chord = parse_chord(label)
        assert chord == Chord(index) and parse_chord(chord.label) == chord
        assert ChordSegment(0.0, 1.0, label).chord == chord
    assert Chord(0).transposed(14).label == "D:min" and parse_chord("B").transposed(1) == parse_chord("C")
    for label in ("N", "X"):
        assert parse_chord(label).transposed(5).label == label
        with pytest.raises(ValueError, match=f"{label} has neither root nor quality"):
            _ = parse_chord(label).root


# Chord files


def test_chord_file_round_trip(sequences):
    for sequence in sequences:
        segments = read_lab(sequence["lab"])
        assert write_lab(segments, style="paper") == sequence["lab"]
        assert read_lab(write_lab(segments)) == segments


def test_read_lab_writes_major_out_and_keeps_the_rest():
    text = "# a comment\n\n0.0 1.5 Bb\n1.5\t2 Eb/3\n2 2.25 F:sus4(b7)/5\n2.25 3 N\n"
    labels = [segment.label for segment in read_lab(text)]
    assert labels == ["Bb:maj", "Eb:maj/3", "F:sus4(b7)/5", "N"]
    assert write_lab(read_lab(text)).splitlines()[0] == "0.000 1.500 Bb:maj"
    assert read_lab("") == [] and write_lab([]) == ""


@pytest.mark.parametrize("line", ["0 1", "a 1 C", "0 1 C maj", "2 1 C", "-1 1 C", "nan 1 C", "0 inf C", "0 1 C:foo"])
def test_read_lab_names_the_bad_line(line):
    with pytest.raises(DataError, match="Line 2"):
        read_lab(f"0 1 C\n{line}\n")


def test_write_lab_refuses_an_unknown_style():
    with pytest.raises(ValueError, match="style 'mirex'"):
        write_lab([], style="mirex")


# Transposition


def test_transposition_keeps_times_and_turns_round(sequences):
    segments = read_lab(sequences[0]["lab"])
    moved = transpose(segments, 5)
    assert [(s.start, s.end) for s in moved] == [(s.start, s.end) for s in segments]
    assert transpose(moved, -5) == transpose(segments, 12) == segments
    assert [s.label for s in transpose(song("Bb", "E:sus4(b7)/5", "N", "X"), 2)] == ["C:maj", "F#:sus4(b7)/5", "N", "X"]


# Tokens


def test_paper_tokens_match_the_published_ids(sequences):
    compared = 0
    for sequence in sequences:
        if sequence["normalised"] and not sequence["encode_error"]:
            tokens = chord_tokens(read_lab(sequence["normalised"]), vocabulary="paper")
            assert tokens.roots.tolist() == sequence["root_ids"], sequence["id"]
            assert tokens.qualities.tolist() == sequence["attr_ids"], sequence["id"]
            compared += 1
    assert compared == 141  # of 187, 46 hold a minmaj7, for which the published code raises KeyError


def test_paper_tokens_read_minmaj7_as_minor_and_x_as_n():
    tokens = chord_tokens(song("C:minmaj7", "C:min", "X", "N"), vocabulary="paper")
    assert tokens.roots.tolist() == [1, 1, 0, 0]
    assert tokens.qualities.tolist() == [5, 5, 0, 0]


def test_tokens_tell_padding_no_chord_and_no_match_apart():
    tokens = chord_tokens([ChordSegment(0, 0.5, "N"), ChordSegment(0.5, 2, "X"), ChordSegment(2, 5, "C:min")])
    assert tokens.roots.tolist() == [1, 2, 3]
    assert tokens.qualities.tolist() == [1, 2, 3]
    assert tokens.durations.tolist() == [0.5, 1.5, 3.0]
    assert tokens.roots.dtype == tokens.qualities.dtype == np.int64 and tokens.durations.dtype == np.float32
    every = chord_tokens(song(*VOCABULARY))
    assert len(set(zip(every.roots.tolist(), every.qualities.tolist(), strict=True))) == 170
    assert set(every.roots) == set(range(1, 3 + len(ROOTS)))
    assert set(every.qualities) == set(range(1, 3 + len(QUALITIES)))


def test_an_unknown_vocabulary_is_refused():
    with pytest.raises(ValueError, match="vocabulary 'btc'"):
        chord_tokens([], vocabulary="btc")


def test_number_of_tokens():
    long = song(*["C", "G"] * 80)
    assert len(chord_tokens(long).roots) == 160
    assert len(chord_tokens(long, vocabulary="paper").roots) == 100
    assert len(chord_tokens(long, max_chords=7).durations) == 7
    empty = chord_tokens([])
    assert empty.roots.shape == empty.qualities.shape == empty.durations.shape == (0,)


def test_needs_nothing_but_numpy():
    folder = Path(harmony.__file__).parent
    heavy = "{'torch', 'transformers', 'librosa', 'music21', 'mir_eval'}"
    code = (  # the package without its __init__, which imports everything
        f"import sys, types; package = types.ModuleType('modeling_m2e'); package.__path__ = [{str(folder)!r}]; "
        "sys.modules['modeling_m2e'] = package; import modeling_m2e.chord_labels_m2e; "
        f"print({heavy} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
