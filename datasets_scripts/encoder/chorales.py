"""Slow piano pieces for the encoder's pool: Bach chorales of music21's corpus as broken chords.

    python -m datasets_scripts.encoder.chorales OUT [--most 120]

OUT gets `NAME.mid`, for `datasets_scripts.encoder.scores --as-composed 1`. Tempo, key, register, loudness and the
figure of the broken chords are random, but the same for the same seed. The bass sounds an octave lower.
"""

import argparse
from pathlib import Path

import music21
import numpy as np
import pretty_midi

MOST_BEATS = 64
FIGURES = ((0, 1, 2), (0, 1, 2, 1), (0, 2, 1, 2), (0, 1, 2, 1, 2, 1), ())  # notes of a chord in a beat; (): all at once
TEMPOS = (40.0, 84.0)  # beats per minute
TRANSPOSITIONS = (-10, 3)  # semitones
VELOCITIES = (32, 80)


def beats(score: music21.stream.Score) -> list[list[int]]:
    """MIDI numbers of the voices that sound on each beat, lowest first; beats without three of them are left out."""
    voices = [part.flatten().notes for part in score.parts]
    chords = []
    for beat in range(min(MOST_BEATS, int(score.highestTime))):
        sounding = [note for voice in voices for note in voice.getElementsByOffset(beat, mustBeginInSpan=False)]
        pitches = sorted({pitch.midi for note in sounding for pitch in note.pitches})
        if len(pitches) >= 3:
            chords.append(pitches)
    return chords


def arrange(chords: list[list[int]], rng: np.random.Generator) -> pretty_midi.PrettyMIDI:
    """A piano piece in which each chord lasts a beat."""
    seconds = 60.0 / rng.uniform(*TEMPOS)
    transposition, velocity = int(rng.integers(*TRANSPOSITIONS)), int(rng.integers(*VELOCITIES))
    figure, with_melody = FIGURES[rng.integers(len(FIGURES))], rng.random() < 0.5
    piano = pretty_midi.Instrument(0)

    def play(pitch: int, start: float, length: float, louder: int = 0) -> None:
        loudness = int(np.clip(velocity + louder + rng.integers(-4, 5), 15, 120))
        piano.notes.append(pretty_midi.Note(loudness, pitch + transposition, start, start + length))

    for number, (bass, *upper) in enumerate(chords):
        start = number * seconds
        play(bass - 12, start, seconds, 4)
        for place, voice in enumerate(figure):
            play(upper[min(voice, len(upper) - 1)], start + seconds * place / len(figure), seconds / len(figure))
        for pitch in () if figure else upper:
            play(pitch, start, seconds)
        if with_melody and figure:
            play(upper[-1] + 12, start, seconds, 12)
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(piano)
    return midi


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--most", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    paths = sorted(music21.corpus.getComposer("bach"))
    order = np.random.default_rng(args.seed).permutation(len(paths))[: args.most]
    for number in map(int, order):
        target = args.out / f"{paths[number].stem}.mid"
        chords = [] if target.exists() else beats(music21.corpus.parse(paths[number]))
        if len(chords) >= 24:
            arrange(chords, np.random.default_rng([args.seed, number])).write(str(target))


if __name__ == "__main__":
    main()
