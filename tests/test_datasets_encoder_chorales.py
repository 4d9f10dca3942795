"""datasets_scripts.encoder.chorales: piano pieces of chorales."""

import music21
import numpy as np
import pretty_midi

from m2e.datasets.encoder import chorales


def test_a_chorale_gives_the_notes_of_its_beats():
    chords = chorales.beats(music21.corpus.parse("bach/bwv269"))
    assert 24 <= len(chords) <= chorales.MOST_BEATS
    assert {pitch % 12 for pitch in chords[1]} <= {7, 11, 2}  # G major on its first full beat
    assert all(chord == sorted(set(chord)) and len(chord) >= 3 for chord in chords)


def test_pieces_are_slow_and_a_seed_repeats_them():
    chords = [[48, 60, 64, 67], [43, 59, 62, 67]] * 20

    def notes(seed):
        midi = chorales.arrange(chords, np.random.default_rng(seed))
        return [(note.pitch, note.start, note.velocity) for note in midi.instruments[0].notes]

    assert notes(1) == notes(1) != notes(2)
    last = max(start for pitch, start, _ in notes(1) if pitch == min(pitch for pitch, _, _ in notes(1)))
    slow, fast = chorales.TEMPOS
    assert 39 * 60 / fast <= last <= 39 * 60 / slow  # the bass of the last of 40 chords


def test_existing_pieces_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["chorales", str(tmp_path), "--most", "2"])
    chorales.main()
    written = sorted(tmp_path.glob("*.mid"))
    assert written and all(pretty_midi.PrettyMIDI(str(path)).get_end_time() > 10 for path in written)
    times = [path.stat().st_mtime_ns for path in written]
    chorales.main()
    assert [path.stat().st_mtime_ns for path in written] == times
