"""Harmony of what sounds: silence changes no chord, and is no chord itself."""

import numpy as np
import pytest

import m2e
from modeling_m2e.chord_labels_m2e import ChordSegment, without_edges
from modeling_m2e.chords_m2e import SAMPLING_RATE
from modeling_m2e.harmony_m2e import HarmonyStream, with_silence
from modeling_m2e.harmony_statistics_m2e import harmony_statistics
from modeling_m2e.key_m2e import FITTED

LABELS = "N", "C", "G", "N"


def chords(*borders: float, labels=LABELS) -> list[ChordSegment]:
    return [ChordSegment(a, b, label) for a, b, label in zip(borders[:-1], borders[1:], labels, strict=False)]


def test_chords_are_placed_and_the_silence_between_is_no_chord():
    kept = [
        (0, 50),
        (60, 200),
    ]  # 5 s are left out before the first sample, 9 s more before the 60th; 10 samples a second
    placed = with_silence(chords(0, 1, 4, 8, 9), kept, 10, 25.0)
    assert placed == [
        ChordSegment(0, 6, "N"),
        ChordSegment(6, 9, "C"),
        ChordSegment(9, 11, "G"),
        ChordSegment(11, 20, "N"),
        ChordSegment(20, 22, "G"),
        ChordSegment(22, 25, "N"),
    ]
    assert without_edges(placed) == placed[1:-1]


def test_a_border_beside_left_out_silence_moves_to_it():
    kept = [(0, 0), (60, 200)]
    placed = with_silence(chords(0, 4, 5.95, 9, labels="NCG"), kept, 10, 23.0)
    assert placed[1:] == [ChordSegment(4, 5.95, "C"), ChordSegment(5.95, 20, "N"), ChordSegment(20, 23, "G")]


def test_without_silence_nothing_changes_and_silence_alone_is_no_chord():
    whole = chords(0, 1, 4, 8, 9)
    assert with_silence(whole, [(0, 0)], 10, 9.0) == whole
    assert with_silence(whole, [(0, 0)], 10, 8.5)[-1] == ChordSegment(8, 8.5, "N")
    assert with_silence([], [(0, 0)], 10, 4.0) == [ChordSegment(0, 4, "N")]
    assert without_edges(chords(0, 4)) == []


@pytest.fixture(scope="module")
def recognizer():
    return m2e.load(device="cpu").processor.chord_recognizer


def triads(seconds: float) -> np.ndarray:
    """C major and G major in turn, two seconds each."""
    times = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    pitches = np.where((times // 2 % 2 == 0)[:, None], (261.63, 329.63, 392.0), (246.94, 293.66, 392.0))
    phases = 2 * np.pi * np.cumsum(pitches, axis=0) / SAMPLING_RATE
    return (0.1 * sum(np.sin(k * phases) / k for k in (1, 2, 3))).sum(1).astype(np.float32)


def harmony(recognizer, samples: np.ndarray):
    stream = HarmonyStream(recognizer)
    for start in range(0, len(samples), 100_000):
        stream.push(samples[start : start + 100_000])
    assert stream.duration == len(samples) / SAMPLING_RATE
    return stream.finish(stream.duration, FITTED)


@pytest.mark.parametrize("gain", [1.0, 0.25, 0.06])
def test_silence_and_volume_change_no_harmony(recognizer, gain):
    music = triads(23.0)
    silence = np.zeros(5 * SAMPLING_RATE, np.float32)
    plain = harmony(recognizer, music)
    longer = harmony(recognizer, gain * np.concatenate([silence, music, silence]))
    assert [chord.label for chord in plain.chords] == [chord.label for chord in longer.chords[1:-1]]
    assert longer.chords[0] == ChordSegment(0, pytest.approx(5, abs=0.12), "N")
    assert longer.chords[-1].label == "N" and longer.chords[-1].end == 33
    np.testing.assert_allclose(
        [chord.start for chord in longer.chords[1:]][:-1], [5 + chord.start for chord in plain.chords], atol=0.05
    )
    np.testing.assert_allclose(longer.statistics[:, 0], 5 + plain.statistics[:, 0], atol=0.01)
    np.testing.assert_allclose(harmony_statistics(longer.statistics), harmony_statistics(plain.statistics), atol=0.2)
    assert str(longer.key) == str(plain.key)


@pytest.mark.parametrize("seconds", [7, 31])
def test_a_pause_inside_is_no_chord_and_the_chords_after_it_keep_their_place(recognizer, seconds):
    music = triads(12.0)
    paused = np.concatenate([music, np.zeros(seconds * SAMPLING_RATE, np.float32), music])
    found = harmony(recognizer, paused).chords
    pause = max((chord for chord in found if chord.label == "N"), key=lambda chord: chord.duration)
    assert (pause.start, pause.end) == (pytest.approx(12, abs=0.5), pytest.approx(12 + seconds, abs=0.5))
    assert (
        {chord.label for chord in found} == {"C:maj", "G:maj", "N"}
        and len(found) == 13
        and found[-1].end == pytest.approx(24 + seconds)
    )
