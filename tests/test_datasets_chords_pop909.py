"""Productions of a song and what becomes of its labels."""

import numpy as np
import pytest

pretty_midi = pytest.importorskip("pretty_midi")

from m2e.datasets.chords.pop909 import RATE, arrange, degrade, excerpt, read_songs  # noqa: E402
from m2e.errors import DataError  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "007").mkdir()
    midi = pretty_midi.PrettyMIDI(initial_tempo=120)
    for name, pitches in (("MELODY", [72, 76, 79, 77]), ("PIANO", [48, 53, 55, 48])):
        track = pretty_midi.Instrument(0, name=name)
        track.notes = [pretty_midi.Note(80, pitch, 2 * i, 2 * i + 2) for i, pitch in enumerate(pitches)]
        midi.instruments.append(track)
    midi.write(str(tmp_path / "007" / "007.mid"))
    (tmp_path / "007" / "chord_midi.txt").write_text("0.0\t2.0\tC:maj\n2.0 4.0 F:maj\n4.0\t6.0\tG:7\n6.0\t8.0\tC:maj\n")
    (tmp_path / "007" / "key_audio.txt").write_text("0.0\t8.0\tC:maj\n")
    return tmp_path


def test_reading(folder):
    (song,) = read_songs(folder)
    assert song.id == "007" and song.split == "train" and song.keys == ["C:maj"]
    assert song.chords[1] == (2.0, 4.0, "F:maj")
    with pytest.raises(DataError, match="unpacked POP909"):
        read_songs(folder / "007")


def test_notes_and_labels_move_alike(folder):
    (song,) = read_songs(folder)
    one, again = (arrange(song, np.random.default_rng(3)) for _ in range(2))
    assert one.chords == again.chords and one.semitones == again.semitones
    stretch = one.chords[-1][1] / 8
    piano = next(track for track in one.midi.instruments if track.name == "PIANO")
    assert [note.pitch - one.semitones for note in piano.notes] == [48, 53, 55, 48]
    assert [note.start for note in piano.notes] == pytest.approx([0, 2 * stretch, 4 * stretch, 6 * stretch])


def test_as_composed_keeps_instruments_and_levels(folder):
    song = read_songs(folder)[0]
    written = pretty_midi.PrettyMIDI(str(song.midi_path)).instruments
    for seed in range(8):
        played = arrange(song, np.random.default_rng(seed), as_composed_share=1.0).midi.instruments
        assert [(t.program, t.is_drum) for t in played] == [(t.program, t.is_drum) for t in written]
        for track, original in zip(played, written, strict=True):
            assert [note.velocity for note in track.notes] == [note.velocity for note in original.notes]


def test_an_excerpt_keeps_notes_under_their_labels(folder):
    (song,) = read_songs(folder)
    whole = arrange(song, np.random.default_rng(3))
    part = excerpt(whole, 3.0, np.random.default_rng(1))
    assert part.chords[0][0] == 0 and part.chords[-1][1] == pytest.approx(3.0)
    roots = {"C:maj": 48, "F:maj": 53, "G:7": 55}
    for note in next(track for track in part.midi.instruments if track.name == "PIANO").notes:
        label = next(label for start, end, label in part.chords if start <= note.start + 1e-6 < end)
        assert note.pitch - part.semitones == roots[label]


def test_degrading_is_finite_and_of_the_same_length():
    tone = np.sin(np.arange(RATE) * 0.1).astype(np.float32)
    for seed in range(12):
        x = degrade(tone, np.random.default_rng(seed))
        assert np.isfinite(x).all() and abs(len(x) - len(tone)) < 4096 and np.abs(x).max() > 0.01
