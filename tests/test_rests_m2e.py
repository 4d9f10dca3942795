"""Where no chord sounds: in silence, and when one has died away."""

import numpy as np
import pytest

import m2e
from modeling_m2e.chord_labels_m2e import VOCABULARY
from modeling_m2e.chords_m2e import FLOOR, SAMPLING_RATE
from modeling_m2e.rests_m2e import FADED, NO_CHORD, SILENCE, hush, ring_out

C, C7, G = (VOCABULARY.index(label) for label in ("C", "C:7", "G"))
N = NO_CHORD


def test_silent_frames_are_certainly_no_chord():
    levels = np.array([0.0, np.log(FLOOR), SILENCE - 0.1, SILENCE + 0.1], np.float32)
    logits = np.random.default_rng(0).normal(size=(4, len(VOCABULARY))).astype(np.float32)
    hushed = logits.copy()
    hush(hushed, levels)
    assert hushed[1:3].argmax(1).tolist() == [N, N]
    assert np.array_equal(hushed[[0, 3]], logits[[0, 3]])
    few = np.zeros((4, 25), np.float32)  # a recogniser of major and minor triads
    hush(few, levels, 24)
    assert few[1:3].argmax(1).tolist() == [24, 24] and not few[[0, 3]].any()


@pytest.mark.parametrize(
    ("levels", "likeliest", "expected"),
    [
        ([0, -1, -2, -3, -4], [C] * 5, [C, C, C, C, C]),  # it rings to the end
        ([0, -1, -FADED - 2, -3, -9], [C] * 5, [C, C, N, N, N]),  # and is not heard again when it has faded
        ([0, -1, -2, -3, -4], [C, C, C7, G, C], [C, C, C, N, N]),  # what follows has another root
        ([0, 0, 0, 0, 0], [C, C, G, G, G], [C, C, N, N, N]),  # loud noise
    ],
)
def test_a_chord_is_held_until_it_has_died_away(levels, likeliest, expected):
    ids = np.array([C] * 40 + [C, C, N, N, N])
    held = ring_out(ids, np.array([0.0] * 40 + levels), np.array([C] * 40 + likeliest))
    assert held[40:].tolist() == expected and (held[:40] == C).all()


def test_it_is_held_before_another_one_too():
    held = ring_out(np.array([C, N, N, G, N]), np.zeros(5), np.array([C, C, G, G, G]))
    assert held.tolist() == [C, C, N, G, G]


@pytest.mark.parametrize("ids", [[], [N], [N, N, C], [N, 168, N]])  # X has no root that could sound on
def test_what_no_chord_was_before_stays(ids):
    ids = np.array(ids, int)
    assert ring_out(ids, np.zeros(len(ids)), np.full(len(ids), C)).tolist() == ids.tolist()


def test_a_struck_chord_lasts_until_it_is_no_longer_heard():
    """High partials are the first to go, as in a piano: the recogniser alone hears N after two seconds."""
    times = np.arange(12 * SAMPLING_RATE) / SAMPLING_RATE
    waveform = sum(
        np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * partial * times)
        / partial
        * np.exp(-0.8 * partial**0.7 * times)
        for pitch in (48, 52, 55)
        for partial in range(1, 7)
    )
    chords = m2e.load_chords().recognizer((waveform / 16).astype(np.float32))
    assert [chord.label for chord in chords] == ["C:maj", "N"]
    assert chords[0].end == pytest.approx(FADED / 0.8, abs=1.0)  # FADED is counted from the loud frames, not the peak
