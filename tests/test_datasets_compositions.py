"""datasets_scripts.compositions: tracks whose valence and arousal are chosen apart from each other."""

from dataclasses import replace

import numpy as np
import pytest

from m2e.datasets import compositions
from m2e.datasets.compositions import Piece, compose, drawn
from m2e.datasets.registry import read_dataset

CALM = Piece("major", 0.1, 0.1, 0.1, 0.1, 0.1, drums=False, alone=False, register=0.5, dissonance=0.0)
DRIVING = replace(CALM, tempo=0.9, loudness=0.9, articulation=0.9, density=0.9, brightness=0.9, drums=True)


def notes(piece: Piece, seed: int):
    """Of the pitched instruments."""
    midi = compose(piece, np.random.default_rng(seed))
    return [note for track in midi.instruments if not track.is_drum for note in track.notes]


def test_valence_and_arousal_do_not_go_together():
    pieces = [drawn(np.random.default_rng([1, number])) for number in range(500)]
    valence, arousal = np.array([(piece.valence, piece.arousal) for piece in pieces]).T
    assert abs(np.corrcoef(valence, arousal)[0, 1]) < 0.1
    assert valence.std() > 0.6 and arousal.std() > 0.5
    assert max(np.abs(valence).max(), np.abs(arousal).max()) <= 1


def test_a_driving_piece_has_more_louder_and_shorter_notes():
    for seed in range(3):
        calm, driving = notes(CALM, seed), notes(DRIVING, seed)
        assert len(driving) > 2 * len(calm)
        assert np.mean([note.velocity for note in driving]) > 1.5 * np.mean([note.velocity for note in calm])
        calm_length, driving_length = (np.median([note.end - note.start for note in each]) for each in (calm, driving))
        assert driving_length < calm_length / 2


@pytest.mark.parametrize(("mode", "third", "other"), [("major", 4, 3), ("minor", 3, 4)])
def test_the_mode_decides_the_third_above_the_tonic(mode, third, other):
    shares = []
    for seed in range(8):
        midi = compose(replace(CALM, mode=mode), np.random.default_rng(seed))
        classes = np.bincount([note.pitch % 12 for track in midi.instruments for note in track.notes], minlength=12)
        tonic = max(range(12), key=lambda place: classes[[place, (place + third) % 12, (place + 7) % 12]].sum())
        shares.append((classes[(tonic + third) % 12], classes[(tonic + other) % 12]))
    mine, others = np.sum(shares, axis=0)
    assert mine > 3 * others


def test_a_piece_for_one_instrument_has_one():
    programs = {track.program for track in compose(replace(CALM, alone=True), np.random.default_rng(0)).instruments}
    assert len(programs) == 1


def test_compositions_become_a_data_set_and_a_second_run_makes_nothing_again(tmp_path, monkeypatch):
    monkeypatch.setattr(compositions, "SECONDS", 2.0)
    monkeypatch.setattr("sys.argv", ["compositions", str(tmp_path), "--sounds", "additive", "--tracks", "4"])
    compositions.main()
    tracks = read_dataset("folder", tmp_path).to_list()
    pieces = [drawn(np.random.default_rng([0, number])) for number in range(4)]
    for name, middle, spread in (("valence", 5.1, 1.1), ("arousal", 4.7, 1.7)):
        expected = [middle + spread * getattr(piece, name) for piece in pieces]
        assert [track[name] for track in tracks] == pytest.approx(expected, abs=0.01)
    for track, piece in zip(tracks, pieces, strict=True):
        if min(abs(piece.valence), abs(piece.arousal)) < 0.4:
            assert track["quadrant"] is None
        else:
            assert track["quadrant"] in (("Q1", "Q4") if piece.valence > 0 else ("Q2", "Q3"))
    times = [path.stat().st_mtime_ns for path in sorted((tmp_path / "audio").iterdir())]
    compositions.main()
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "audio").iterdir())] == times
