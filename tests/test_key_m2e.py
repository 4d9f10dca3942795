"""The key, against music21's and the published code's (tests/fixtures/harmony.json.gz), and the keys over time.

The fixture holds 200 chord sequences with music21's key and the labels that the published code transposed. music21
serves as an oracle where it is installed.
"""

import gzip
import json
import sys
import zipfile

import numpy as np
import pytest

from m2e.errors import ModelError
from modeling_m2e import key_m2e
from modeling_m2e.chord_labels_m2e import ROOTS, ChordSegment, chord_tokens, pitch_class, read_lab, transpose, write_lab
from modeling_m2e.key_m2e import (
    FITTED,
    KEY_PROFILES,
    MIN_KEY_SECONDS,
    PAPER,
    Key,
    KeySegment,
    estimate_key,
    key_correlations,
    key_segments,
    mode_index,
    normalise,
    pitch_class_histogram,
)

# Sequences for which another key than the published one is meant: id -> (key here, why).
KEY_EXCEPTIONS = {
    27: ("F minor", "near tie (margin .0033): the published code rounds durations to 1/4 or 1/3 of a quarter note"),
    176: ("C major", "one segment: the published code writes no note and finds no key"),
    177: ("A minor", "one segment"),
    178: ("F# major", "one segment"),
    179: ("G major", "one segment"),
    180: ("None", "N X N, a flat histogram: the published code answers B minor, the last of 24 equal correlations"),
    184: ("None", "diminished sevenths only: four tonics correlate equally, rounding decides"),
    185: ("None", "augmented triads only: three tonics correlate equally, rounding decides"),
}


@pytest.fixture(scope="module")
def sequences(fixtures):
    return json.loads(gzip.decompress((fixtures / "harmony.json.gz").read_bytes()))["sequences"]


def song(*labels, seconds=1.0):
    return [ChordSegment(i * seconds, (i + 1) * seconds, label) for i, label in enumerate(labels)]


def published_key(sequence):
    name = sequence["reference_pc_key"]
    return Key(*name.split()) if name else None


# The key of the paper


def test_histogram_matches_the_published_one(sequences):
    for sequence in sequences:
        histogram = pitch_class_histogram(read_lab(sequence["lab"]))
        np.testing.assert_allclose(histogram, sequence["histogram_seconds"], atol=1e-6, err_msg=str(sequence["id"]))
        if sequence["histogram_corr"]:
            assert key_correlations(histogram).max() == pytest.approx(sequence["histogram_corr"], abs=1e-9)


def test_key_agrees_with_the_published_code(sequences):
    differing = {}
    for sequence in sequences:
        key = str(estimate_key(read_lab(sequence["lab"]), profile=PAPER))
        if key != str(sequence["reference_pc_key"]):
            differing[sequence["id"]] = key
    assert differing == {id: key for id, (key, _reason) in KEY_EXCEPTIONS.items()}
    # The fixture's own count has one more: X alone, which a plain arg-max answers and both codes leave open.
    assert {s["id"] for s in sequences if not s["agree"]} == {*KEY_EXCEPTIONS, 173}


def test_confidence_is_a_softmax_of_correlations(sequences):
    segments = song("C:maj", "F:maj", "G:7", "C:maj")
    weights = np.exp(key_correlations(pitch_class_histogram(segments)) / 0.037)
    confidence = estimate_key(segments, profile=PAPER).confidence
    assert confidence > 0.95
    assert confidence == pytest.approx(weights.max() / weights.sum())
    for id in (27, 64, 68):  # the best two correlations are less than .004 apart
        assert 0.2 < estimate_key(read_lab(sequences[id]["lab"]), profile=PAPER).confidence < 0.55


def test_profiles_are_those_of_music21():
    discrete = pytest.importorskip("music21.analysis.discrete")
    methods = {
        "aarden-essen": discrete.AardenEssen,
        "krumhansl": discrete.KrumhanslSchmuckler,
        "temperley": discrete.TemperleyKostkaPayne,
        "bellman-budge": discrete.BellmanBudge,
        "simple": discrete.SimpleWeights,
    }
    assert methods.keys() == KEY_PROFILES.keys()
    for name, method in methods.items():
        for mode, weights in zip(("major", "minor"), KEY_PROFILES[name], strict=True):
            assert list(weights) == method().getWeights(mode)


@pytest.mark.parametrize("profile", KEY_PROFILES)
def test_music21_backend_agrees(profile, sequences):
    pytest.importorskip("music21")
    for id in (3, 27, 70, 130, 160, 198):
        segments = read_lab(sequences[id]["lab"])
        key = estimate_key(segments, profile=profile)
        oracle = estimate_key(segments, backend="music21", profile=profile)
        assert (oracle.tonic, oracle.mode) == (key.tonic, key.mode)
        assert oracle.confidence == pytest.approx(key.confidence, abs=1e-3)


def test_music21_missing_is_said_clearly(monkeypatch):
    monkeypatch.setitem(sys.modules, "music21", None)
    with pytest.raises(ModelError, match=r'pip install "m2e\[paper\]"'):
        estimate_key(song("C:maj"), backend="music21", profile=PAPER)


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="backend 'essentia'"):
        estimate_key([], backend="essentia")
    with pytest.raises(ValueError, match="profile 'shaath'"):
        estimate_key(song("C"), profile="shaath")
    with pytest.raises(ValueError, match="profile 'pop909': backend 'music21' has aarden-essen, krumhansl"):
        estimate_key(song("C"), backend="music21")
    with pytest.raises(ValueError, match="mode 'maj'"):
        Key("C", "maj")


# The key of any profile


@pytest.mark.parametrize("profile", [FITTED, PAPER])
@pytest.mark.parametrize("repeats", [1, 40])
def test_what_every_musician_would_say(profile, repeats):
    for labels, key in {
        "Eb:maj": "D# major",
        "F#:min": "F# minor",
        "C F G:7 C": "C major",
        "G E:min C D": "G major",
        "A:min D:min E:7 A:min": "A minor",
        "D:min7 G:7 C:maj7": "C major",
        "C:min G#:maj D#:maj G:7": "C minor",
    }.items():
        assert str(estimate_key(song(*labels.split() * repeats), profile=profile)) == key


@pytest.mark.parametrize(("backend", "profile"), [("histogram", FITTED), ("histogram", PAPER), ("music21", PAPER)])
@pytest.mark.parametrize(
    "labels",
    [(), ("N",), ("X",), ("N", "X", "N"), ("C:dim7",), ("C:aug", "D:aug"), ("C:maj", "F#:maj"), ROOTS],
    ids=lambda labels: "-".join(labels) or "empty",
)
def test_no_key_where_nothing_decides(backend, profile, labels):
    if backend == "music21":
        pytest.importorskip("music21")
    assert estimate_key(song(*labels), backend, profile) is None
    assert key_segments(song(*labels)) == []


@pytest.mark.parametrize("profile", [FITTED, PAPER])
def test_no_match_does_not_move_the_key(sequences, profile):
    for sequence in sequences[:10]:
        segments = read_lab(sequence["lab"])
        key = estimate_key(segments, profile=profile)
        longer = [*segments, ChordSegment(100.0, 130.0, "X"), ChordSegment(130.0, 150.0, "N")]
        longer = estimate_key(longer, profile=profile)
        assert (longer.tonic, longer.mode) == (key.tonic, key.mode)
        assert longer.confidence == pytest.approx(key.confidence, abs=1e-6)


def test_the_key_moves_with_the_chords(sequences):
    for sequence in sequences[:120:8]:
        segments = read_lab(sequence["lab"])
        key, parts = estimate_key(segments), key_segments(segments)
        for semitones in (1, 6, 11):
            moved = estimate_key(transpose(segments, semitones))
            assert moved.mode == key.mode and pitch_class(moved.tonic) == (pitch_class(key.tonic) + semitones) % 12
            assert moved.confidence == pytest.approx(key.confidence, abs=1e-9)
            borders = [part.start for part in key_segments(transpose(segments, semitones))]
            assert borders == [part.start for part in parts]


def test_more_music_makes_the_fitted_key_surer():
    certainty = [estimate_key(song(*["A:min", "G", "F", "E"] * repeats)).confidence for repeats in (1, 4, 16)]
    assert 0.3 < certainty[0] < certainty[1] < certainty[2] < 1
    assert estimate_key(song("A:min", "F", "C", "G")).confidence < certainty[0]  # as good in A minor as in C major


@pytest.fixture(scope="module")
def pop909(shared):
    """Song number -> (chords, [(start, end, key)]) as annotated."""
    songs = {}
    with zipfile.ZipFile(shared / "data/pop909/pop909.zip") as archive:
        for name in archive.namelist():
            if name.endswith("key_audio.txt"):
                rows = [line.split() for line in archive.read(name).decode().split("\n") if line.strip()]
                keys = [(float(start), float(end), key.split(":")) for start, end, key in rows]
                keys = [(start, end, (pitch_class(tonic), mode)) for start, end, (tonic, mode) in keys]
                chords = read_lab(archive.read(name.replace("key_audio", "chord_midi")).decode())
                songs[int(name.split("/")[-2])] = chords, keys
    return songs


def is_right(key, truth):
    return key is not None and (pitch_class(key.tonic), key.mode[:3]) == truth


@pytest.mark.parametrize("profile", [FITTED, PAPER])
def test_confidence_is_the_share_of_right_keys(pop909, profile):
    """What the temperature was fitted to, whole songs, and for the fitted profile half a minute of songs."""
    right, confidence = [], []
    for chords, keys in pop909.values():
        if len(keys) == 1:
            part = [s for s in chords if profile == PAPER or 60 <= s.start < 90]
            key = estimate_key(part, profile=profile)
            right.append(is_right(key, keys[0][2]))
            confidence.append(0.0 if key is None else key.confidence)
    right, confidence = np.array(right), np.array(confidence)
    assert len(right) > 600 and right.mean() > {PAPER: 0.88, FITTED: 0.78}[profile]
    for low, high in ((0.0, 0.6), (0.6, 0.8), (0.8, 1.0)):
        inside = (confidence > low) & (confidence <= high)
        assert right[inside].mean() == pytest.approx(confidence[inside].mean(), abs=0.07)


@pytest.mark.parametrize("seconds", [30, 1000])
def test_the_fitted_profile_is_better_on_songs_it_was_not_fitted_to(pop909, seconds):
    counts = {}
    for profile in (FITTED, PAPER):
        right = {"maj": [], "min": []}
        for number, (chords, keys) in pop909.items():
            if number % 5 == 0 and len(keys) == 1:
                key = estimate_key([s for s in chords if s.start < chords[0].start + seconds], profile=profile)
                right[keys[0][2][1]].append(is_right(key, keys[0][2]))
        counts[profile] = {mode: np.mean(answers) for mode, answers in right.items()}
    assert counts[FITTED]["min"] > counts[PAPER]["min"] + 0.02
    assert counts[FITTED]["maj"] >= counts[PAPER]["maj"] - 0.02


# Keys over time

VERSE = ["C:maj", "A:min", "F:maj", "G:7"]


def test_a_song_in_one_key_has_one_segment():
    segments = song("N", *VERSE * 10, "X", seconds=2.0)
    key = estimate_key(segments)
    assert key_segments(segments) == [KeySegment(0.0, 84.0, "C major", key.confidence)]
    other = Key("A", "minor", 0.4)  # by another profile
    assert key_segments(segments, other) == [KeySegment(0.0, 84.0, "A minor", 0.4)]


def test_modulations_are_found_where_they_happen():
    verse = song(*VERSE * 6, seconds=2.0)
    higher = [ChordSegment(s.start + 48, s.end + 48, s.label) for s in transpose(verse, 1)]
    back = [ChordSegment(s.start + 96, s.end + 96, s.label) for s in verse]
    found = key_segments([*verse, *higher, *back])
    assert [part.key for part in found] == ["C major", "C# major", "C major"]
    assert [part.start for part in found] == pytest.approx([0, 48, 96], abs=2)  # to a chord
    assert [part.end for part in found] == [found[1].start, found[2].start, 144.0]
    assert found[0].confidence == pytest.approx(estimate_key(verse).confidence, abs=0.02)


def test_keys_over_time_where_the_whole_song_is_a_tie():
    verse = song(*VERSE * 6, seconds=2.0)
    far = [ChordSegment(s.start + 48, s.end + 48, s.label) for s in transpose(verse, 6)]
    assert estimate_key([*verse, *far]) is None  # both keys alike
    found = key_segments([*verse, *far])
    assert [part.key for part in found] == ["C major", "F# major"] and min(part.confidence for part in found) > 0.7
    assert found[0].end == found[1].start == pytest.approx(48, abs=2) and found[1].end == 96


def test_a_passing_key_is_none():
    verse = song(*VERSE * 6, seconds=2.0)
    passing = [ChordSegment(48 + i, 49 + i, label) for i, label in enumerate(["C#:maj", "F#:maj", "G#:7", "C#:maj"])]
    rest = [ChordSegment(s.start + 52, s.end + 52, s.label) for s in verse]
    assert [part.key for part in key_segments([*verse, *passing, *rest])] == ["C major"]


def test_segments_cover_the_track_and_none_is_short(monkeypatch):
    monkeypatch.setattr(key_m2e, "_MODULATION_PENALTY", 0.01)  # as restless as it can be
    rng = np.random.default_rng(0)
    for _ in range(5):
        times = np.cumsum(rng.exponential(1.5, 80))
        labels = [f"{ROOTS[rng.integers(12)]}:{rng.choice(['maj', 'min', '7'])}" for _ in times[1:]]
        segments = [ChordSegment(*row) for row in zip(times[:-1], times[1:], labels, strict=True)]
        found = key_segments(segments)
        assert len(found) > 2 and (found[0].start, found[-1].end) == (times[0], times[-1])
        assert all(one.end == two.start and one.key != two.key for one, two in zip(found, found[1:], strict=False))
        assert min(part.end - part.start for part in found) >= MIN_KEY_SECONDS
        assert all(0 <= part.confidence <= 1 for part in found)


@pytest.mark.parametrize(
    "segments",
    [
        song("C:maj", seconds=0.5),
        song("C:maj", "G:7", seconds=3.0),
        song("C:maj", seconds=900.0),
        [ChordSegment(0, 5, "C:maj"), ChordSegment(5, 5, "F#:maj"), ChordSegment(5, 9, "G:7")],
        [ChordSegment(3, 5, "C:maj"), ChordSegment(700, 702, "G:7")],
    ],
    ids=["half a second", "below the shortest key", "one long chord", "an empty chord", "a gap"],
)
def test_odd_tracks_have_one_segment(segments):
    (found,) = key_segments(segments)
    assert (found.start, found.end, found.key) == (segments[0].start, segments[-1].end, "C major")
    assert found.confidence == estimate_key(segments).confidence


def test_key_segments_follow_songs_that_modulate(pop909):
    """Share of the time in the annotated key: songs that are in several keys, and none fitted the profile."""

    def share(parts, keys):
        right = sum(
            max(0, min(part.end, end) - max(part.start, start))
            for part in parts
            for start, end, truth in keys
            if is_right(Key(*part.key.split()), truth)
        )
        return right / sum(end - start for start, end, _ in keys)

    over_time, at_once = [], []
    for chords, keys in pop909.values():
        if len(keys) > 1:
            key = estimate_key(chords)
            whole = [KeySegment(chords[0].start, chords[-1].end, str(key), key.confidence)]
            over_time.append(share(key_segments(chords), keys))
            at_once.append(share(whole, keys))
    assert len(over_time) > 130
    assert np.mean(over_time) > np.mean(at_once) + 0.2


# Transposition


def test_normalised_labels_match_the_published_ones(sequences):
    compared = 0
    for sequence in sequences:
        if sequence["normalised"]:
            moved = normalise(read_lab(sequence["lab"]), published_key(sequence))
            assert write_lab(moved, style="paper") == sequence["normalised"], sequence["id"]
            compared += 1
    assert compared == 187  # the published code raises KeyError for the other 13, which hold flats, E# or B#


def test_flat_spellings_normalise_like_sharps(sequences):
    for sequence in sequences:
        if not sequence["normalised"]:
            segments = read_lab(sequence["lab"])
            key = estimate_key(segments)
            sharps = transpose(segments, 0)
            assert {segment.label.partition(":")[0] for segment in sharps} <= set(ROOTS)
            assert normalise(segments, key) == normalise(sharps, estimate_key(sharps))


@pytest.mark.parametrize("tonic", [*ROOTS, "Db", "Eb", "Gb", "Ab", "Bb", "Cb", "Fb", "E#", "B#", "Bbb", "F##", "Ebb"])
def test_every_key_moves_to_c_major_or_a_minor(tonic):
    def labels(segments):
        return [segment.label for segment in segments]

    major, minor = (Key(tonic, mode) for mode in ("major", "minor"))
    assert labels(normalise(song(tonic, f"{tonic}:7/b7", "N", "X"), major)) == ["C:maj", "C:7/b7", "N", "X"]
    assert labels(normalise(song(f"{tonic}:min", f"{tonic}:sus4(b7)"), minor)) == ["A:min", "A:sus4(b7)"]
    found = estimate_key(song(f"{tonic}:maj"))
    assert (pitch_class(found.tonic), found.mode) == (pitch_class(tonic), "major")


def test_without_a_key_nothing_moves(sequences):
    segments = read_lab(sequences[0]["lab"])
    assert normalise(segments, None) == segments
    shifted = np.roll(pitch_class_histogram(segments), 5)
    np.testing.assert_allclose(pitch_class_histogram(transpose(segments, 5)), shifted)


def test_tokens_do_not_depend_on_the_transposition(sequences):
    for sequence in sequences[:120:5]:
        segments = read_lab(sequence["lab"])
        tokens = chord_tokens(normalise(segments, estimate_key(segments)))
        for semitones in (1, 6, 11):
            moved = transpose(segments, semitones)
            moved = normalise(moved, estimate_key(moved))
            assert np.array_equal(chord_tokens(moved).roots, tokens.roots), sequence["id"]


def test_mode_index():
    assert [mode_index(key) for key in (Key("C", "major"), Key("A", "minor"), None)] == [0, 1, 0]


def test_few_chords_and_little_time_give_little_confidence():
    assert max(estimate_key(song(label, seconds=30)).confidence for label in ("C:7", "C:maj", "A:min", "A:min7")) <= 0.4
    cadence = ["C:maj", "F:maj", "G:7", "C:maj"]
    by_time = [estimate_key(song(*cadence, seconds=seconds)).confidence for seconds in (0.5, 2.0, 8.0, 30.0)]
    assert by_time == sorted(by_time) and by_time[0] < 0.5 and by_time[-1] > 0.85
    assert estimate_key(song(*["C:maj", "G:maj"] * 8)).confidence < estimate_key(song(*cadence * 4)).confidence
