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
    calm, driving = (
        np.mean([onsets(productions.produce(path, productions.STYLES[name], ["additive"], np.random.default_rng(seed)))
                 for seed in range(2)])
        for name in ("calm", "driving")
    )  # fmt: skip
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
    assert [track["arousal"] for track in tracks] == pytest.approx([3.2, 4.6, 6.2])
    assert [track["valence"] for track in tracks] == pytest.approx([6.2] * 3)
    assert [track["quadrant"] for track in tracks] == ["Q4", None, "Q1"]
    times = [path.stat().st_mtime_ns for path in sorted((out / "audio").iterdir())]
    productions.main()
    assert [path.stat().st_mtime_ns for path in sorted((out / "audio").iterdir())] == times


def test_a_short_score_is_named(tmp_path):
    with pytest.raises(DataError, match="too few notes"):
        productions.produce(
            score(tmp_path / "a.mid", 2), productions.STYLES["calm"], ["additive"], np.random.default_rng(0)
        )
