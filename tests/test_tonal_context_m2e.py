"""What the key around a chord says of it, and what the decoding makes of that."""

from pathlib import Path

import numpy as np
import pytest

from modeling_m2e.chord_labels_m2e import VOCABULARY
from modeling_m2e.chords_m2e import SmoothFrames
from modeling_m2e.tonal_context_m2e import AROUND, IN_KEYS, tonal_context

N = VOCABULARY.index("N")


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
    assert context[AROUND, c] > context[AROUND, f_sharp] and context[-AROUND, c] < context[-AROUND, f_sharp]


def test_without_chords_all_roots_are_alike():
    context = tonal_context(np.full(30, N), 0, 30)[:, : 12 * 14].reshape(30, 12, 14)
    np.testing.assert_allclose(context, np.broadcast_to(context[:1, :1], context.shape), atol=1e-5)


@pytest.mark.parametrize("size", [1, 97, 1000])
def test_parts_are_those_of_the_whole(size):
    piece = np.random.default_rng(0).integers(0, 170, 700)
    parts = [tonal_context(piece, start, min(start + size, 700)) for start in range(0, 700, size)]
    np.testing.assert_allclose(np.concatenate(parts), tonal_context(piece, 0, 700), atol=1e-5)


def test_doubtful_chords_are_heard_in_the_key():
    piece = np.tile(IN_C, 4)
    piece[100:120] = VOCABULARY.index("D")
    logits = np.zeros((len(piece), 170), np.float32)
    logits[np.arange(len(piece)), piece] = 8
    logits[100:120, VOCABULARY.index("D:min")] = 7.9
    heard = {}
    for weight in (0.0, 0.3):
        frames = SmoothFrames(key_weight=weight)
        frames.push(logits)
        heard[weight] = frames.finish()
    assert heard[0.0].tolist() == piece.tolist()
    assert {VOCABULARY[i] for i in heard[0.3][100:120]} == {"D:min"}
    assert (heard[0.3] == piece)[np.r_[:100, 120 : len(piece)]].all()


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
