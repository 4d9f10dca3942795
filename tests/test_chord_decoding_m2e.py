"""Chord decoding: silence and decay, the key around a frame, onsets."""

from pathlib import Path

import numpy as np
import pytest

import m2e
from modeling_m2e.chord_decoding_m2e import (
    CONTEXT_FRAMES,
    DECAYED,
    IN_KEYS,
    MAX_MOVE,
    ONSET_HOP,
    ONSET_SECONDS,
    ONSET_WINDOW,
    SILENCE,
    SmoothFrames,
    extend_into_decay,
    force_no_chord,
    move_to_onsets,
    onset_strength,
    tonal_context,
)
from modeling_m2e.chord_labels_m2e import VOCABULARY
from modeling_m2e.chords_m2e import CHUNK_SAMPLES, FLOOR, GROUP_CHUNKS, SAMPLING_RATE, frames_to_segments

C, C7, G, N = (VOCABULARY.index(label) for label in ("C", "C:7", "G", "N"))


# Silence and decay


def test_silent_frames_are_certainly_no_chord():
    levels = np.array([0.0, np.log(FLOOR), SILENCE - 0.1, SILENCE + 0.1], np.float32)
    logits = np.random.default_rng(0).normal(size=(4, len(VOCABULARY))).astype(np.float32)
    forced = logits.copy()
    force_no_chord(forced, levels)
    assert forced[1:3].argmax(1).tolist() == [N, N]
    assert np.array_equal(forced[[0, 3]], logits[[0, 3]])
    few = np.zeros((4, 25), np.float32)  # a recogniser of major and minor triads
    force_no_chord(few, levels, 24)
    assert few[1:3].argmax(1).tolist() == [24, 24] and not few[[0, 3]].any()


@pytest.mark.parametrize(
    ("levels", "likeliest", "expected"),
    [
        ([0, -1, -2, -3, -4], [C] * 5, [C, C, C, C, C]),  # it decays to the end
        ([0, -1, -DECAYED - 2, -3, -9], [C] * 5, [C, C, N, N, N]),  # and does not come back once it has decayed
        ([0, -1, -2, -3, -4], [C, C, C7, G, C], [C, C, C, N, N]),  # what follows has another root
        ([0, 0, 0, 0, 0], [C, C, G, G, G], [C, C, N, N, N]),  # loud noise
    ],
)
def test_a_chord_lasts_until_it_has_decayed(levels, likeliest, expected):
    ids = np.array([C] * 40 + [C, C, N, N, N])
    extended = extend_into_decay(ids, np.array([0.0] * 40 + levels), np.array([C] * 40 + likeliest))
    assert extended[40:].tolist() == expected and (extended[:40] == C).all()


def test_a_chord_lasts_before_another_one_too():
    extended = extend_into_decay(np.array([C, N, N, G, N]), np.zeros(5), np.array([C, C, G, G, G]))
    assert extended.tolist() == [C, C, N, G, G]


@pytest.mark.parametrize("ids", [[], [N], [N, N, C], [N, 168, N]])  # X has no root that could sound on
def test_what_no_chord_was_before_stays(ids):
    ids = np.array(ids, int)
    assert extend_into_decay(ids, np.zeros(len(ids)), np.full(len(ids), C)).tolist() == ids.tolist()


def test_a_struck_chord_lasts_until_it_has_decayed():
    """High partials are the first to go, as in a piano: the network alone predicts N after two seconds."""
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
    assert chords[0].end == pytest.approx(DECAYED / 0.8, abs=1.0)  # counted from the loud frames, not the peak


# The key around a frame


def ids(*labels: str, frames: int = 20) -> np.ndarray:
    return np.repeat([VOCABULARY.index(label) for label in labels], frames)


IN_C = ids("C", "A:min", "F", "G")


def test_keys_are_transpositions_of_each_other():
    c, g = VOCABULARY.index("C"), VOCABULARY.index("G")
    assert IN_KEYS.shape == (24, 170) and np.isfinite(IN_KEYS).all()
    assert IN_KEYS[0, c] == IN_KEYS[7, g] == IN_KEYS[:12, c].max()
    assert IN_KEYS[12, VOCABULARY.index("C:min")] == IN_KEYS[:, VOCABULARY.index("C:min")].max()
    assert (IN_KEYS[:, [VOCABULARY.index("X"), N]] == 0).all()


def test_chords_of_the_key_around_are_likelier():
    context = dict(zip(VOCABULARY, tonal_context(np.tile(IN_C, 5), 0, 400)[200], strict=True))
    assert min(context["D:min"], context["C"], context["G:7"]) > 0 > max(context["D"], context["F#"], context["C:min"])


def test_the_key_is_that_of_the_surroundings():
    piece = np.concatenate([np.tile(IN_C, 6), np.tile(ids("F#", "D#:min", "B", "C#"), 6)])
    context = tonal_context(piece, 0, len(piece))
    c, f_sharp = VOCABULARY.index("C"), VOCABULARY.index("F#")
    assert (
        context[CONTEXT_FRAMES, c] > context[CONTEXT_FRAMES, f_sharp]
        and context[-CONTEXT_FRAMES, c] < context[-CONTEXT_FRAMES, f_sharp]
    )


def test_without_chords_all_roots_are_alike():
    context = tonal_context(np.full(30, N), 0, 30)[:, : 12 * 14].reshape(30, 12, 14)
    np.testing.assert_allclose(context, np.broadcast_to(context[:1, :1], context.shape), atol=1e-5)


@pytest.mark.parametrize("size", [1, 97, 1000])
def test_parts_are_those_of_the_whole(size):
    piece = np.random.default_rng(0).integers(0, 170, 700)
    parts = [tonal_context(piece, start, min(start + size, 700)) for start in range(0, 700, size)]
    np.testing.assert_allclose(np.concatenate(parts), tonal_context(piece, 0, 700), atol=1e-5)


def test_doubtful_chords_are_decoded_in_the_key():
    piece = np.tile(IN_C, 4)
    piece[100:120] = VOCABULARY.index("D")
    logits = np.zeros((len(piece), 170), np.float32)
    logits[np.arange(len(piece)), piece] = 8
    logits[100:120, VOCABULARY.index("D:min")] = 7.9
    decoded = {}
    for weight in (0.0, 0.3):
        frames = SmoothFrames(key_weight=weight)
        frames.push(logits)
        decoded[weight] = frames.finish()
    assert decoded[0.0].tolist() == piece.tolist()
    assert {VOCABULARY[i] for i in decoded[0.3][100:120]} == {"D:min"}
    assert (decoded[0.3] == piece)[np.r_[:100, 120 : len(piece)]].all()


def test_the_table_is_counted_from_annotations():
    pytest.importorskip("pretty_midi")
    from m2e.datasets.chords.key_table import tonal_context as counted
    from m2e.datasets.chords.pop909 import Song

    songs = [
        Song("001", Path("1.mid"), [(0, 6, "D:maj"), (6, 8, "A:7"), (8, 9, "N")], ["D:maj"]),
        Song("002", Path("2.mid"), [(0, 8, "A:min"), (8, 10, "D:sus4")], ["A:min"]),
        Song("003", Path("3.mid"), [(0, 50, "F#:min")], ["D:maj", "F:maj"]),  # in two keys: not counted
    ]
    table = counted(songs)
    assert table.shape == (2, 12, 3) and np.isfinite(table).all()
    # 6 of the 8 s in major are the tonic's; on major thirds are 8 of all 18 s, a twelfth of that on each root
    assert table[0, 0, 1] == pytest.approx(np.log((6 / 8) / (8 / 18 / 12)), abs=0.15)
    assert table[1, 0, 0] > 2 and table[1, 5, 2] > 0 > table[0, 9, 0]


# Onsets


def struck(pitches: list[int], seconds: float) -> np.ndarray:
    """A triad of decaying partials, as a piano's."""
    times = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    angles = [2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * times for pitch in pitches]
    tones = sum(np.sin(partial * angle) / partial for angle in angles for partial in (1, 2, 3, 4))
    return (0.1 * tones * np.exp(-1.5 * times)).astype(np.float32)


def test_an_attack_is_where_it_is():
    waveform = np.concatenate([np.zeros(3000, np.float32), struck([60, 64, 67], 1.0)])
    strength = onset_strength(waveform)
    assert strength.shape == (len(waveform) // ONSET_HOP,) and strength.dtype == np.float32
    assert (strength.argmax() - 0.5) * ONSET_SECONDS == pytest.approx(3000 / SAMPLING_RATE, abs=ONSET_SECONDS)


@pytest.mark.parametrize("samples", [0, 1, ONSET_HOP, *(ONSET_WINDOW + n for n in (-1, 0, 1)), 5 * ONSET_HOP - 1])
def test_any_length_has_its_values(samples):
    strength = onset_strength(np.ones(samples, np.float32))
    assert strength.shape == (samples // ONSET_HOP,) and np.isfinite(strength).all()


def test_a_group_of_chunks_is_a_whole_number_of_hops():
    assert GROUP_CHUNKS * CHUNK_SAMPLES % ONSET_HOP == CHUNK_SAMPLES % ONSET_HOP == 0
    assert ONSET_SECONDS == ONSET_HOP / SAMPLING_RATE


def test_a_border_goes_to_the_strongest_rise_within_reach():
    strength = np.zeros(400, np.float32)
    strength[[95, 150, 290]] = 1, 1, 9
    moved = move_to_onsets(np.array([1.0, 1.75, 3.0]), strength)
    assert moved == pytest.approx([94.5 * ONSET_SECONDS, 149.5 * ONSET_SECONDS, 3.0])  # the last one: too far


def test_without_any_rise_borders_stay():
    borders = np.array([0.5, 1.0, 9.0])
    assert move_to_onsets(borders, np.zeros(200, np.float32)).tolist() == borders.tolist()
    assert move_to_onsets(borders, np.zeros(0, np.float32)).tolist() == borders.tolist()


def test_borders_keep_their_order():
    rng = np.random.default_rng(0)
    borders = np.cumsum(rng.uniform(0.03, 0.3, 300))
    moved = move_to_onsets(borders, rng.exponential(1, 6000).astype(np.float32) ** 3)
    assert (np.diff(moved) > 0).all() and np.abs(moved - borders).max() <= MAX_MOVE + ONSET_SECONDS
    assert (moved != borders).mean() > 0.9


def test_chords_begin_when_they_are_struck():
    """Between two frames of the recogniser, which are 93 ms apart."""
    lengths, triads = [2.03, 1.96, 2.11, 1.9], [[48, 60, 64, 67], [45, 57, 60, 64], [41, 53, 57, 60], [43, 55, 59, 62]]
    waveform = np.concatenate([struck(triad, length) for triad, length in zip(triads, lengths, strict=True)])
    chords = m2e.load_chords(decoding="smooth").recognizer(waveform)
    assert [chord.label for chord in chords] == ["C:maj", "A:min", "F:maj", "G:maj"]
    assert [chord.end for chord in chords] == pytest.approx(np.cumsum(lengths), abs=0.015)


def test_the_confidence_of_a_chord_is_the_mean_probability_of_its_frames():
    frames = SmoothFrames(change_penalty=1.5, key_weight=0)
    logits = np.full((40, len(VOCABULARY)), -20.0, np.float32)
    logits[:30, 5], logits[:30, 7] = np.log(0.9), np.log(0.1)
    logits[30:, 20], logits[30:, 7] = np.log(0.6), np.log(0.4)
    frames.push(logits[:17])
    frames.push(logits[17:])
    ids = frames.finish()
    segments = frames_to_segments(ids, probabilities=frames.probabilities(ids))
    assert [segment.label for segment in segments] == [VOCABULARY[5], VOCABULARY[20]]
    assert [segment.confidence for segment in segments] == pytest.approx([0.9, 0.6], abs=2e-3)
    assert frames_to_segments(ids)[0].confidence is None and frames_to_segments(ids) == segments
    assert SmoothFrames().probabilities(np.empty(0, int)).size == 0
