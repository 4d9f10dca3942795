"""Composed tracks whose mode, tempo and touch are chosen apart from each other, as a data set.

    python -m datasets_scripts.compositions OUT --sounds MuseScore_General.sf3 additive [--tracks 240]

In recordings cues go together: fast music is mostly loud and major. Here valence comes from the mode, dissonance and
register, and arousal from tempo, loudness, articulation, density, drums and timbre, in the directions in which
listeners agree (Gabrielsson & Lindström 2010), each drawn without regard to the other. OUT gets `audio/*.flac` and
`labels.csv` for the reader "folder". The same command resumes an interrupted run; equal seeds give equal audio.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi

from m2e.datasets.chords.pop909 import BASS, degrade, drum_track
from m2e.datasets.midi_audio import RATE, render
from m2e.datasets.rendered import MIDDLE, Rendered, audio_file, write_flac, write_labels
from modeling_m2e.scale_m2e import quadrant

SECONDS = 30.0
SPREAD = (1.1, 1.7)  # of the labels, each way
CLEAR = 0.4  # of the spread: nearer to the middle a track has no quadrant

# Semitones of the steps of a scale, and steps that chords stand on, by mode. Minor has its leading note in the fifth.
SCALES = {"major": ((0, 2, 4, 5, 7, 9, 11),), "minor": ((0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10))}
NEXT = {  # steps that may follow a step
    "major": {0: (3, 4, 5, 1, 2), 1: (4, 3), 2: (5, 3), 3: (0, 4, 1), 4: (0, 5, 3), 5: (3, 1, 4)},
    "minor": {0: (3, 4, 5, 6, 2), 2: (5, 6, 3), 3: (0, 4, 6), 4: (0, 5), 5: (2, 3, 4, 6), 6: (2, 0, 5)},
}
LEADING = 0.6  # share of the fifths in minor that are major chords
ALONE = 0.25  # share of pieces for one instrument
TEMPO = (52.0, 176.0)  # beats per minute
VELOCITY = (36, 112)
LENGTH = (1.0, 0.45)  # of a note, of its time, from calm to driving
SOFT = (0, 4, 11, 24, 32, 42, 46, 48, 49, 52, 68, 71, 73, 75, 88, 89, 91, 95)  # General MIDI programs
SOLO = (0, 0, 0, 6, 19, 24, 25, 46)
BRIGHT = (0, 1, 3, 6, 16, 18, 25, 27, 28, 29, 30, 45, 48, 56, 61, 62, 63, 80, 81, 84, 87, 90)


@dataclass(frozen=True)
class Piece:
    """What decides a track; from 0 to 1.  alone: for one instrument.  dissonance: share of chords with a clash."""

    mode: str
    tempo: float
    loudness: float
    articulation: float
    density: float
    brightness: float
    drums: bool
    alone: bool
    register: float
    dissonance: float

    @property
    def arousal(self) -> float:
        """-1 to 1: the mean of its cues."""
        cues = 0.35 * self.tempo + 0.2 * self.loudness + 0.1 * self.articulation + 0.15 * self.density
        return 2 * (cues + 0.1 * self.brightness + 0.1 * self.drums) - 1

    @property
    def valence(self) -> float:
        """-1 to 1: mostly the mode."""
        return (0.8 if self.mode == "major" else -0.7) + 0.15 * (2 * self.register - 1) - 0.25 * self.dissonance


def drawn(rng: np.random.Generator) -> Piece:
    """A random piece. Its cues of arousal lie about a common one, so that clearly calm and driving ones are there."""
    drive = rng.uniform(-0.1, 1.1)
    cues = np.clip(rng.normal(drive, 0.15, 5), 0, 1)
    mode = "major" if rng.random() < 0.5 else "minor"
    dissonance = float(rng.uniform(0, 0.6)) if rng.random() < (0.1 if mode == "major" else 0.35) else 0.0
    alone, drums = bool(rng.random() < ALONE), bool(rng.random() < cues.mean())
    register = float(rng.random())
    tempo, loudness, articulation, density, brightness = cues.tolist()
    return Piece(
        mode, tempo, loudness, articulation, density, brightness, drums and not alone, alone, register, dissonance
    )


def between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + share * (limits[1] - limits[0])


def progression(mode: str, rng: np.random.Generator) -> list[int]:
    """Four steps of the scale that chords stand on; the first is mostly the tonic."""
    steps = [0 if rng.random() < 0.75 else int(rng.choice(list(NEXT[mode])))]
    while len(steps) < 4:
        steps.append(int(rng.choice(NEXT[mode][steps[-1]])))
    return steps


def compose(piece: Piece, rng: np.random.Generator) -> pretty_midi.PrettyMIDI:
    """Half a minute of melody, chords, bass and, in some, drums."""
    beat = 60 / (TEMPO[0] * (TEMPO[1] / TEMPO[0]) ** piece.tempo)
    beats_per_bar = 3 if rng.random() < 0.2 else 4
    scale = SCALES[piece.mode][0 if rng.random() < 0.8 else -1]
    tonic, loop, bars = int(rng.integers(12)), progression(piece.mode, rng), 2 if rng.random() < 0.3 else 1
    octave = 4 + round(piece.register + rng.uniform(-0.3, 0.3))
    palette = BRIGHT if rng.random() < piece.brightness else SOFT
    programs = [rng.choice(SOLO)] * 3 if piece.alone else [*rng.choice(palette, 2), rng.choice(BASS)]
    melody, chords, bass = (pretty_midi.Instrument(int(program)) for program in programs)
    notes_per_beat = int(rng.choice([1, 1, 2] if piece.density < 0.5 else [2, 2, 4]))
    texture = str(rng.choice(["held", "broken"] if piece.density < 0.5 else ["broken", "repeated", "held"]))

    def play(track: pretty_midi.Instrument, pitch: int, start: float, length: float, level: float = 1.0) -> None:
        loudness = between(VELOCITY, piece.loudness) * level * rng.uniform(0.9, 1.1)
        end = start + length * between(LENGTH, piece.articulation)
        track.notes.append(pretty_midi.Note(int(np.clip(loudness, 12, 127)), int(np.clip(pitch, 24, 100)), start, end))

    def pitch(step: int, octave: int) -> int:
        return 12 * (octave + 1) + tonic + scale[step % 7] + 12 * (step // 7)

    place = int(rng.integers(0, 7))
    for bar in range(int(np.ceil(SECONDS / (beats_per_bar * beat)))):
        start, root = bar * beats_per_bar * beat, loop[bar // bars % len(loop)]
        triad = [pitch(root + step, 3 + (root < 4)) for step in (0, 2, 4)]
        if piece.mode == "minor" and root == 4 and rng.random() < LEADING:
            triad[1] = triad[0] + 4
        if rng.random() < piece.dissonance:
            triad.append(triad[0] + int(rng.choice([1, 6, 11])))
        if texture == "held":
            for note in triad:
                play(chords, note, start, beats_per_bar * beat, 0.8)
        else:
            for number in range(beats_per_bar * 2):
                for note in triad if texture == "repeated" else [triad[number % len(triad)]]:
                    play(chords, note, start + number * beat / 2, beat / 2, 0.75)
        for number in range(beats_per_bar if piece.density > 0.4 else 1):
            length = beat if piece.density > 0.4 else beats_per_bar * beat
            play(bass, triad[0] - 24 + 12 * (triad[0] < 52), start + number * length, length, 0.9)
        for number in range(beats_per_bar * notes_per_beat):
            if rng.random() < 0.8:
                place = int(np.clip(place + rng.choice([-2, -1, -1, 0, 1, 1, 2]), -2, 10))
                strong = number % notes_per_beat == 0
                step = root + 2 * (round((place - root) / 2)) if strong else place  # a note of the chord
                play(melody, pitch(step, octave), start + number * beat / notes_per_beat, beat / notes_per_beat)
    midi = pretty_midi.PrettyMIDI()
    midi.instruments = [melody, chords, bass]
    if piece.drums:
        midi.instruments.append(drum_track(np.arange(0, SECONDS + 4, beat), rng))
    return midi


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sounds", nargs="+", required=True, help="sound fonts, or 'additive'")
    parser.add_argument("--tracks", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tracks = []
    for number in range(args.tracks):
        rng, name = np.random.default_rng([args.seed, number]), f"{number:04}"
        piece, sound, target = drawn(rng), args.sounds[number % len(args.sounds)], audio_file(args.out, name)
        if not target.exists():
            write_flac(target, degrade(render(compose(piece, rng), sound, rng)[: round(SECONDS * RATE)], rng))
        places = zip(MIDDLE, SPREAD, (piece.valence, piece.arousal), strict=True)
        valence, arousal = (round(middle + spread * place, 2) for middle, spread, place in places)
        clear = min(abs(piece.valence), abs(piece.arousal)) >= CLEAR
        tracks.append(Rendered(name, name, valence, arousal, quadrant(valence, arousal, *MIDDLE) if clear else None))
    write_labels(args.out, tracks)


if __name__ == "__main__":
    main()
