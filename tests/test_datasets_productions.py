"""datasets_scripts.productions: scores in styles of different arousal."""

import numpy as np
import pretty_midi
import pytest

from m2e.datasets import productions
from m2e.datasets.registry import read_dataset
from m2e.errors import DataError


def score(path, seconds: float):
    """A piano piece of quarter notes."""
    midi, piano = pretty_midi.PrettyMIDI(), pretty_midi.Instrument(0, name="PIANO")
    for number in range(round(2 * seconds)):
        for pitch in (48, 60 + number % 5, 67):
            piano.notes.append(pretty_midi.Note(80, pitch, number / 2, number / 2 + 0.45))
    midi.instruments.append(piano)
    midi.write(str(path))
    return path


def onsets(waveform: np.ndarray) -> int:
    """Sudden rises of the level, in frames of 20 ms."""
    level = np.square(waveform[: len(waveform) // 441 * 441].reshape(-1, 441)).mean(1)
    return int((level[1:] > 1.5 * level[:-1] + 1e-6).sum())


def test_a_driving_production_has_more_onsets_than_a_calm_one(tmp_path):
    path = score(tmp_path / "a.mid", 60)

    def produced(name: str, seed: int) -> np.ndarray:
        style, rng = productions.STYLES[name], np.random.default_rng(seed)
        return productions.produce(path, style, "major", ["additive"], rng)

    calm, driving = (np.mean([onsets(produced(name, seed)) for seed in range(2)]) for name in ("calm", "driving"))
    assert driving > 1.5 * calm


def test_productions_become_a_data_set_with_the_arousal_of_their_style(tmp_path, monkeypatch):
    (tmp_path / "midis").mkdir()
    for name in ("Q1_one_0", "Q3_two_0"):
        score(tmp_path / "midis" / f"{name}.mid", 20)
    (tmp_path / "split_train.csv").write_text("fname,label\nQ1_one_0,Q1\n")
    (tmp_path / "split_test.csv").write_text("fname,label\nQ3_two_0,Q3\n")
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["productions", str(out), str(tmp_path), "--sounds", "additive"])
    productions.main()
    tracks = read_dataset("folder", out).to_list()  # no piece of the test split
    assert {(track["artist"], track["split"]) for track in tracks} == {("youtube:one", "train")}
    assert [track["arousal"] for track in tracks] == pytest.approx([3.6, 3.6, 4.6, 4.6, 5.8, 5.8])
    assert [track["valence"] for track in tracks] == pytest.approx([6.2, 4.0] * 3)
    assert [track["quadrant"] for track in tracks] == ["Q4", "Q3", None, None, "Q1", "Q2"]
    times = [path.stat().st_mtime_ns for path in sorted((out / "audio").iterdir())]
    productions.main()
    assert [path.stat().st_mtime_ns for path in sorted((out / "audio").iterdir())] == times


SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 11)}  # the harmonic minor


@pytest.mark.parametrize("tonic", [60, 67])
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_a_piece_is_put_into_the_other_mode_and_stays_in_its_own(tonic, mode):
    def piece(scale):
        melody = [0, 2, 4, 7, 5, 3, 1, 0, 4, 2, 0, 6, 7, 4, 2, 0]
        pitches = [tonic + scale[step % 7] + 12 * (step // 7) for step in melody]
        return [pretty_midi.Note(80, pitch, float(at), at + 1.0) for at, pitch in enumerate(pitches)]

    other = "minor" if mode == "major" else "major"
    notes, expected = piece(SCALES[other]), [note.pitch for note in piece(SCALES[mode])]
    assert productions.key_of(notes) == (tonic % 12, other)
    productions.put_in_mode(notes, mode)
    assert [note.pitch for note in notes] == expected
    productions.put_in_mode(notes, mode)
    assert [note.pitch for note in notes] == expected


def test_a_short_score_is_named(tmp_path):
    with pytest.raises(DataError, match="too few notes"):
        productions.produce(
            score(tmp_path / "a.mid", 2), productions.STYLES["calm"], "minor", ["additive"], np.random.default_rng(0)
        )
