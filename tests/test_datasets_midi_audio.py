"""Audio of MIDI: what is played, and the sentences where nothing can be."""

import numpy as np
import pytest

pretty_midi = pytest.importorskip("pretty_midi")

from m2e.datasets.midi_audio import ADDITIVE, RATE, read_midi, render  # noqa: E402
from m2e.errors import DataError  # noqa: E402


@pytest.fixture
def midi():
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(pretty_midi.Instrument(0))
    midi.instruments[0].notes = [pretty_midi.Note(100, 69, 0.0, 1.0)]
    return midi


def test_additive_synthesis_plays_the_pitch_and_follows_the_seed(midi):
    one, same = (render(midi, ADDITIVE, np.random.default_rng(0)) for _ in range(2))
    assert np.array_equal(one, same) and one.dtype == np.float32 and len(one) > RATE
    spectrum = np.abs(np.fft.rfft(one[:RATE]))
    partials = spectrum[[int(round(440 * k)) for k in range(1, 4)]]
    assert partials.max() > 20 * np.median(spectrum)
    with pytest.raises(TypeError):
        render(midi, ADDITIVE)


def test_what_is_missing_is_named(midi, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no sound font absent.sf2"):
        render(midi, "absent.sf2")
    (tmp_path / "a.sf2").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="needs the program fluidsynth"):
        render(midi, tmp_path / "a.sf2")


def test_a_program_that_fails(midi, tmp_path, monkeypatch):
    (tmp_path / "a.sf2").touch()
    (tmp_path / "fluidsynth").write_text("#!/bin/sh\necho broken font >&2\nexit 3\n")
    (tmp_path / "fluidsynth").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="fluidsynth failed on .*a.sf2 .broken font"):
        render(midi, tmp_path / "a.sf2")


@pytest.mark.parametrize("content", [b"", b"MThd nonsense", b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk\0\0\0\4\0\x90"])
def test_broken_midi(tmp_path, content):
    (tmp_path / "x.mid").write_bytes(content)
    with pytest.raises(DataError, match="x.mid cannot be read as MIDI"):
        read_midi(tmp_path / "x.mid")
