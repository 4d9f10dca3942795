"""Statistics of harmony: what they say of sure and unsure, still and restless, and of transpositions."""

import numpy as np
import pytest

from modeling_m2e.chord_labels_m2e import QUALITIES, VOCABULARY
from modeling_m2e.harmony_statistics_m2e import (
    CELL_FRAMES,
    CELL_NUMBERS,
    STATISTICS,
    HarmonyStatistics,
    harmony_statistics,
)

KINDS = len(QUALITIES)
ENTROPY, DEVIATION, BEST, SURPRISE, CHANGES, MOVED, ROOTS = range(KINDS + 2, KINDS + 9)


def cells(logits, *blocks):
    collected = HarmonyStatistics(0.1)
    for block in np.split(logits, blocks):
        collected.push(block)
    return collected.finish()


def statistics(logits, *blocks):
    return harmony_statistics(cells(logits, *blocks))


def sure(*labels):
    logits = np.zeros((len(labels), len(VOCABULARY)), np.float32)
    logits[np.arange(len(labels)), [VOCABULARY.index(label) for label in labels]] = 30
    return logits


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(0, 3, (50, len(VOCABULARY))).astype(np.float32)


def test_blocks_make_no_difference(logits):
    whole = statistics(logits)
    assert whole.shape == (STATISTICS,) and whole.dtype == np.float32 and np.isfinite(whole).all()
    assert statistics(logits, 1, 7, 40) == pytest.approx(whole, abs=1e-5)
    assert HarmonyStatistics(0.1).finish() is None and np.isnan(harmony_statistics(None)).all()


def test_cells_are_parts_of_a_track():
    logits = np.random.default_rng(1).normal(0, 3, (250, len(VOCABULARY))).astype(np.float32)
    found = cells(logits, 7, 120, 121)
    assert found.shape == (3, CELL_NUMBERS)
    np.testing.assert_allclose(found[:, 0], [0, 10.8, 21.6], rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1], [CELL_FRAMES, CELL_FRAMES, 34])
    np.testing.assert_allclose(found[0], cells(logits[:CELL_FRAMES])[0], rtol=1e-5)
    alone = statistics(logits[2 * CELL_FRAMES :])
    last = harmony_statistics(found[2:])  # knows the frame before
    changes = [CHANGES, MOVED]
    assert np.delete(last, changes) == pytest.approx(np.delete(alone, changes), abs=1e-4)
    assert last[MOVED] > alone[MOVED]


def test_transposition_makes_no_difference(logits):
    moved = logits.copy()
    moved[:, : 12 * KINDS] = np.roll(logits[:, : 12 * KINDS], 5 * KINDS, axis=1)
    assert statistics(moved) == pytest.approx(statistics(logits), abs=1e-5)


def test_what_is_sure_and_what_changes():
    still, restless = statistics(sure(*["C"] * 8)), statistics(sure(*["C", "F#:min"] * 4))
    unsure = statistics(np.zeros((8, len(VOCABULARY)), np.float32))
    assert still[[BEST, CHANGES]] == pytest.approx([1, 0]) and restless[CHANGES] == pytest.approx(7 / 8)
    assert restless[MOVED] == pytest.approx(2 * 7 / 8) and still[MOVED] == pytest.approx(0, abs=1e-6)
    assert unsure[ENTROPY] == pytest.approx(np.log(len(VOCABULARY)), abs=1e-3)
    assert still[ENTROPY] == pytest.approx(0, abs=1e-3)
    assert unsure[BEST] == pytest.approx(1 / len(VOCABULARY)) and unsure[DEVIATION] == pytest.approx(0, abs=1e-3)
    assert restless[ROOTS] == pytest.approx(np.log(2), abs=1e-4) and still[ROOTS] == pytest.approx(0, abs=1e-4)


def test_kinds_of_chords():
    found = np.exp(statistics(sure("C:min", "D:min", "G:7", "N"))[: KINDS + 2])
    expected = np.full(KINDS + 2, 1e-3)
    expected[[QUALITIES.index("min"), QUALITIES.index("7"), KINDS + 1]] += [0.5, 0.25, 0.25]
    assert found == pytest.approx(expected, abs=1e-4)


def test_a_track_without_any_chord_is_fine():
    assert np.isfinite(statistics(sure("N", "N"))).all()
