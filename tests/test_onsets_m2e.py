"""Where sounds begin, and borders of chords that go there."""

import numpy as np
import pytest

import m2e
from modeling_m2e.chords_m2e import CHUNK_SAMPLES, GROUP_CHUNKS
from modeling_m2e.onsets_m2e import HOP, REACH, SAMPLING_RATE, WINDOW, at_onsets, onset_strength

SECONDS = HOP / SAMPLING_RATE


def struck(pitches: list[int], seconds: float) -> np.ndarray:
    """A triad of decaying partials, as a piano's."""
    times = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    angles = [2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * times for pitch in pitches]
    tones = sum(np.sin(partial * angle) / partial for angle in angles for partial in (1, 2, 3, 4))
    return (0.1 * tones * np.exp(-1.5 * times)).astype(np.float32)


def test_an_attack_is_where_it_is():
    waveform = np.concatenate([np.zeros(3000, np.float32), struck([60, 64, 67], 1.0)])
    strength = onset_strength(waveform)
    assert strength.shape == (len(waveform) // HOP,) and strength.dtype == np.float32
    assert (strength.argmax() - 0.5) * SECONDS == pytest.approx(3000 / SAMPLING_RATE, abs=SECONDS)


@pytest.mark.parametrize("samples", [0, 1, HOP, WINDOW - 1, WINDOW, WINDOW + 1, 5 * HOP - 1])
def test_any_length_has_its_values(samples):
    strength = onset_strength(np.ones(samples, np.float32))
    assert strength.shape == (samples // HOP,) and np.isfinite(strength).all()


def test_a_group_of_chunks_is_a_whole_number_of_hops():
    assert GROUP_CHUNKS * CHUNK_SAMPLES % HOP == CHUNK_SAMPLES % HOP == 0


def test_a_border_goes_to_the_strongest_rise_within_reach():
    strength = np.zeros(400, np.float32)
    strength[[95, 150, 290]] = 1, 1, 9
    moved = at_onsets(np.array([1.0, 1.75, 3.0]), strength)
    assert moved == pytest.approx([94.5 * SECONDS, 149.5 * SECONDS, 3.0])  # the last one: too far


def test_without_any_rise_borders_stay():
    borders = np.array([0.5, 1.0, 9.0])
    assert at_onsets(borders, np.zeros(200, np.float32)).tolist() == borders.tolist()
    assert at_onsets(borders, np.zeros(0, np.float32)).tolist() == borders.tolist()


def test_borders_keep_their_order():
    rng = np.random.default_rng(0)
    borders = np.cumsum(rng.uniform(0.03, 0.3, 300))
    moved = at_onsets(borders, rng.exponential(1, 6000).astype(np.float32) ** 3)
    assert (np.diff(moved) > 0).all() and np.abs(moved - borders).max() <= REACH + SECONDS
    assert (moved != borders).mean() > 0.9


def test_chords_begin_when_they_are_struck():
    """Between two frames of the recogniser, which are 93 ms apart."""
    lengths, triads = [2.03, 1.96, 2.11, 1.9], [[48, 60, 64, 67], [45, 57, 60, 64], [41, 53, 57, 60], [43, 55, 59, 62]]
    waveform = np.concatenate([struck(triad, length) for triad, length in zip(triads, lengths, strict=True)])
    chords = m2e.load_chords(decoding="smooth").recognizer(waveform)
    assert [chord.label for chord in chords] == ["C:maj", "A:min", "F:maj", "G:maj"]
    assert [chord.end for chord in chords] == pytest.approx(np.cumsum(lengths), abs=0.015)
