"""POP909: 909 Chinese pop songs as MIDI with chord labels, rendered here to audio for training chord recognition.

Licence: MIT (Wang et al., ISMIR 2020). Folder layout: ``NNN/NNN.mid`` with the tracks MELODY, BRIDGE and PIANO,
``NNN/chord_midi.txt`` (start, end, Harte label on the MIDI clock), ``NNN/key_audio.txt`` (start, end, key).

A rendering is one random production of a song: instruments, transposition, tempo, mix, drums, bass, room, coding and
noise are drawn from a seeded generator, so that the same seed gives the same audio. See `m2e.datasets.midi_audio` for
the rendering itself.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile as sf
from scipy.signal import lfilter

from m2e.datasets.midi_audio import RATE, read_midi
from m2e.errors import DataError

# General MIDI programs that carry a tune, a counter-melody and an accompaniment.
MELODY = [0, 4, 6, 11, 22, 24, 26, 40, 42, 48, 52, 53, 54, 56, 60, 64, 65, 66, 68, 71, 73, 75, 78, 80, 81, 82, 85]
BRIDGE = [0, 4, 8, 11, 12, 24, 25, 27, 40, 44, 46, 48, 50, 52, 61, 73, 80, 81, 88, 89]
ACCOMPANIMENT = [
    *[0] * 3,
    1,
    2,
    4,
    5,
    6,
    7,
    16,
    18,
    19,
    21,
    *[24, 25] * 2,
    *range(26, 31),
    *range(46, 51),
    62,
    88,
    89,
    91,
]
BASS = [32, 33, 34, 35, 36, 38, 39]
KICK, SNARE, HAT, OPEN_HAT, RIDE, TAMBOURINE = 36, 38, 42, 46, 51, 54
AS_COMPOSED = 0.35  # share of productions that keep the instruments, and all parts at their level
# One bar of sixteenths: instrument -> steps.
GROOVES: list[dict[int, Sequence[int]]] = [
    {KICK: [0, 8], SNARE: [4, 12], HAT: range(0, 16, 2)},
    {KICK: [0, 6, 8], SNARE: [4, 12], HAT: range(16)},
    {KICK: [0, 4, 8, 12], SNARE: [4, 12], OPEN_HAT: [2, 6, 10, 14]},
    {KICK: [0, 10], SNARE: [8], RIDE: range(0, 16, 2)},
    {KICK: [0, 3, 8, 11], SNARE: [4, 12], HAT: range(0, 16, 2), TAMBOURINE: [4, 12]},
]


@dataclass(frozen=True)
class Song:
    """One song: its MIDI, its chord labels (start, end in seconds on the MIDI clock, Harte label) and its keys."""

    id: str
    midi_path: Path
    chords: list[tuple[float, float, str]]
    keys: list[str]

    @property
    def split(self) -> str:
        """train, validation or test by song number (80/10/10), so that no song is in two splits."""
        return {5: "validation", 0: "test"}.get(int(self.id) % 10, "train")


def read_songs(folder: str | Path) -> list[Song]:
    """All songs of an unpacked POP909 folder, in order. Raises DataError if the layout is not POP909's."""
    songs = []
    for chord_file in sorted(Path(folder).glob("[0-9][0-9][0-9]/chord_midi.txt")):
        rows = [line.split() for line in chord_file.read_text(encoding="utf-8").splitlines() if line.strip()]
        keys = [
            line.split()[2]
            for line in (chord_file.parent / "key_audio.txt").read_text(encoding="utf-8").splitlines()
            if line.strip()
        ]
        number = chord_file.parent.name
        chords = [(float(start), float(end), label) for start, end, label in rows]
        songs.append(Song(number, chord_file.parent / f"{number}.mid", chords, keys))
    if not songs:
        raise DataError(f"{folder} holds no NNN/chord_midi.txt: give the unpacked POP909 folder.")
    return songs


@dataclass(frozen=True)
class Arrangement:
    """A MIDI performance and its chord labels, stretched alike; labels must still be moved by ``semitones``."""

    midi: pretty_midi.PrettyMIDI
    chords: list[tuple[float, float, str]]
    semitones: int


def arrange(song: Song, rng: np.random.Generator, as_composed_share: float = AS_COMPOSED) -> Arrangement:
    """A random production of the song; labels keep their spelling, ``semitones`` is the transposition of the notes."""
    midi = read_midi(song.midi_path)
    semitones, stretch = int(rng.integers(-5, 7)), float(rng.uniform(0.85, 1.18))
    beats = midi.get_beats()
    as_composed = rng.random() < as_composed_share
    palettes = {"MELODY": MELODY, "BRIDGE": BRIDGE, "PIANO": ACCOMPANIMENT}
    bass = []
    for track in midi.instruments:
        if not as_composed:
            track.program = int(rng.choice(palettes.get(track.name, ACCOMPANIMENT)))
            quietest = {"MELODY": 0.0, "BRIDGE": 0.0}.get(track.name, 0.7)
            loudness = rng.uniform(quietest, 1.1)
            for note in track.notes:
                note.velocity = int(np.clip(note.velocity * loudness * rng.uniform(0.85, 1.15), 1, 127))
        if track.name == "PIANO":
            bass = bass_line(track.notes, rng)
    if bass and not as_composed and rng.random() < 0.5:
        midi.instruments.append(pretty_midi.Instrument(int(rng.choice(BASS)), name="BASS"))
        midi.instruments[-1].notes = bass
    for track in midi.instruments:
        for note in track.notes:
            note.pitch = int(np.clip(note.pitch + semitones, 0, 127))
    if not as_composed and rng.random() < 0.6 and len(beats) > 8:
        midi.instruments.append(drum_track(beats, rng))
    stretch_midi(midi, stretch)
    chords = [(start * stretch, end * stretch, label) for start, end, label in song.chords]
    return Arrangement(midi, chords, semitones)


def stretch_midi(midi: pretty_midi.PrettyMIDI, factor: float) -> None:
    """Makes notes and pedals `factor` times as long, and as late, in place."""
    for track in midi.instruments:
        for note in track.notes:
            note.start, note.end = note.start * factor, note.end * factor
        for change in track.control_changes:
            change.time *= factor


def excerpt(arrangement: Arrangement, seconds: float, rng: np.random.Generator) -> Arrangement:
    """A random contiguous part of at most ``seconds``: more songs for the same time of rendering."""
    begin = float(rng.uniform(0, max(1e-3, arrangement.chords[-1][1] - seconds)))
    end = begin + seconds
    for track in arrangement.midi.instruments:
        track.notes = [note for note in track.notes if begin <= note.start < end]
        track.control_changes = [change for change in track.control_changes if change.time < end]
        for event in track.control_changes:
            event.time = max(0.0, event.time - begin)
        for note in track.notes:
            note.start, note.end = note.start - begin, min(note.end, end) - begin
    chords = [(max(a, begin) - begin, min(b, end) - begin, label) for a, b, label in arrangement.chords]
    return replace(arrangement, chords=[chord for chord in chords if chord[1] > chord[0]])


def bass_line(notes: list[pretty_midi.Note], rng: np.random.Generator) -> list[pretty_midi.Note]:
    """The lowest accompaniment note at each onset below middle C, brought into a bass's range."""
    lowest: dict[float, pretty_midi.Note] = {}
    for note in notes:
        onset = round(note.start, 2)
        if note.pitch < 60 and (onset not in lowest or note.pitch < lowest[onset].pitch):
            lowest[onset] = note
    velocity = int(rng.integers(70, 110))
    return [pretty_midi.Note(velocity, 28 + (n.pitch - 28) % 12, n.start, n.end) for n in lowest.values()]


def drum_track(beats: np.ndarray, rng: np.random.Generator) -> pretty_midi.Instrument:
    """A groove repeated over the bars of four beats, with a little human unevenness."""
    drums = pretty_midi.Instrument(0, is_drum=True, name="DRUMS")
    groove, level = GROOVES[rng.integers(len(GROOVES))], rng.uniform(0.5, 1.0)
    first = int(rng.integers(0, 4)) * 4
    for bar in range(first, len(beats) - 4, 4):
        for pitch, steps in groove.items():
            for step in steps:
                beat, sixteenth = divmod(step, 4)
                length = beats[bar + beat + 1] - beats[bar + beat]
                time = max(0.0, beats[bar + beat] + length * sixteenth / 4 + rng.normal(0, 0.004))
                drums.notes.append(pretty_midi.Note(int(level * rng.integers(80, 120)), pitch, time, time + 0.1))
    return drums


def degrade(waveform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The waveform through what real releases go through: equaliser, saturation, noise, lossy coding, another level."""
    x = waveform / (np.abs(waveform).max() + 1e-9)
    if rng.random() < 0.5:  # spectral tilt of up to about 6 dB per octave at the ends
        a = rng.uniform(-0.5, 0.5)
        x = lfilter([1.0, a], [1.0, 0.0], x)
    if rng.random() < 0.3:
        drive = rng.uniform(1.0, 4.0)
        x = np.tanh(drive * x)
    if rng.random() < 0.4:
        x = x + rng.normal(0, 10 ** rng.uniform(-4, -2.2), len(x))
    x = (x / (np.abs(x).max() + 1e-9) * rng.uniform(0.1, 0.99)).astype(np.float32)
    if rng.random() < 0.4:
        x = recode(x, "MP3" if rng.random() < 0.7 else "OGG", float(rng.uniform(0.2, 0.95)))
    return x


def recode(waveform: np.ndarray, container: str, compression: float) -> np.ndarray:
    """The waveform written to MP3 or Ogg Vorbis in memory (compression 0 light to 1 strong) and read back."""
    memory = io.BytesIO()
    with sf.SoundFile(memory, "w", RATE, 1, format=container, compression_level=compression) as file:
        for start in range(0, len(waveform), RATE):  # libsndfile's vorbis writer overflows on long blocks
            file.write(waveform[start : start + RATE])
    memory.seek(0)
    decoded, _ = sf.read(memory, dtype="float32")
    return decoded[: len(waveform)]
