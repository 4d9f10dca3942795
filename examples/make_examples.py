"""Renders the example clips of this folder from the notes below.

    python examples/make_examples.py [--sound-font FluidR3_GM.sf2] [--midi-only] [--out FOLDER]

Three public-domain compositions, typed in as notes, played by FluidSynth with the sound font FluidR3 GM (on Debian:
`apt-get install fluidsynth fluid-soundfont-gm`). The same versions of FluidSynth and libvorbis give the same samples;
only the serial number that Ogg puts into its pages differs from run to run.

Notation: notes follow each other; `C4+E4/2` is a chord of two beats; a duration holds until the next one is written;
`r` is a rest; `(...)*4` repeats. Durations are beats, `C4/1:3` lasts a third of one. Middle C is C4.
"""

import argparse
import re
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile as sf

SAMPLING_RATE = 44100
PEAK = 10 ** (-1.5 / 20)  # leaves Vorbis 1.5 dB for what it overshoots
TAIL_SECONDS = 1.5  # the room after the last note
SOUND_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")

# Programs of General MIDI, counted from 0.
PIANO, BRIGHT_PIANO, BASSOON, PICCOLO = 0, 1, 70, 72
CONTRABASS, TREMOLO, PIZZICATO, STRINGS = 43, 44, 45, 48
TROMBONE, BRASS, TIMPANI = 57, 61, 47
DRUMS = -1  # the drum channel, where C2 is the bass drum and C#3 a crash cymbal

Note = tuple[Fraction, Fraction, int]  # start and duration in beats, MIDI pitch


@dataclass(frozen=True)
class Part:
    """One voice: `notes` in the notation above; every note sounds `gate` of its duration at MIDI `velocity` (1-127)."""

    program: int
    notes: str
    velocity: int
    gate: float = 0.95
    transpose: int = 0


@dataclass(frozen=True)
class Section:
    """Parts that begin together, at `tempo` beats per minute; the next section begins when the longest part ends."""

    tempo: float
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Piece:
    """A clip; `key` is the tonic and mode it was written in."""

    name: str
    key: tuple[str, str]
    sections: tuple[Section, ...]


def parse(text: str) -> tuple[list[Note], Fraction]:
    """Notes of a part and its length in beats."""
    while repeat := re.search(r"\(([^()]*)\)\*(\d+)", text):
        text = text[: repeat.start()] + " ".join([repeat[1]] * int(repeat[2])) + text[repeat.end() :]
    notes, now, duration = [], Fraction(0), Fraction(1)
    for token in text.replace("|", " ").split():
        pitches, _, length = token.partition("/")
        if length:
            duration = Fraction(length.replace(":", "/"))
        if pitches != "r":
            notes += [(now, duration, pretty_midi.note_name_to_number(name)) for name in pitches.split("+")]
        now += duration
    return notes, now


def to_midi(piece: Piece) -> pretty_midi.PrettyMIDI:
    """The piece as MIDI, one track per program; times in seconds."""
    midi = pretty_midi.PrettyMIDI(resolution=960)
    instruments: dict[int, pretty_midi.Instrument] = {}
    start = 0.0
    for section in piece.sections:
        beat = 60.0 / section.tempo
        longest = 0.0
        for part in section.parts:
            track = instruments.setdefault(part.program, _instrument(part.program))
            notes, length = parse(part.notes)
            for begin, duration, pitch in notes:
                accent = 6 if begin.denominator == 1 and begin % 2 == 0 else 0  # strong beats are a shade louder
                on = start + float(begin) * beat
                off = on + float(duration) * beat * part.gate
                velocity = min(127, part.velocity + accent)
                track.notes.append(pretty_midi.Note(velocity, pitch + part.transpose, on, off))
            longest = max(longest, float(length) * beat)
        start += longest
    midi.instruments = list(instruments.values())
    return midi


def _instrument(program: int) -> pretty_midi.Instrument:
    return pretty_midi.Instrument(max(program, 0), is_drum=program == DRUMS)


def render(midi: pretty_midi.PrettyMIDI, sound_font: Path) -> np.ndarray:
    """(samples, 2) float64 at 44.1 kHz, peak at -1.5 dB, the last half second faded out."""
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder) / "score.mid", Path(folder) / "sound.wav"
        midi.write(str(score))
        command = ["fluidsynth", "-ni", "-q", "-g", "0.4", "-r", str(SAMPLING_RATE), "-F", str(sound)]
        subprocess.run([*command, str(sound_font), str(score)], check=True, capture_output=True)
        samples, _ = sf.read(sound, always_2d=True)
    samples = samples[: round((midi.get_end_time() + TAIL_SECONDS) * SAMPLING_RATE)]
    fade = SAMPLING_RATE // 2
    samples[-fade:] *= np.linspace(1, 0, fade)[:, None]
    return samples * (PEAK / np.abs(samples).max())


# Ludwig van Beethoven (1770-1827), Piano Sonata op. 27 no. 2 "Moonlight", first movement, bars 1-9, for piano.
MOONLIGHT = Piece(
    "moonlight_sonata",
    ("C#", "minor"),
    (
        Section(
            63,
            (
                Part(
                    PIANO,
                    """(G#3/1:3 C#4 E4)*4 | (G#3 C#4 E4)*4 | (A3 C#4 E4)*2 (A3 D4 F#4)*2
                    | G#3 B#3 F#4 G#3 C#4 E4 G#3 C#4 D#4 F#3 B#3 D#4 | E3 G#3 C#4 (G#3 C#4 E4)*3 | (G#3 D#4 F#4)*4
                    | (G#3 C#4 E4)*2 (A3 C#4 F#4)*2 | (G#3 B3 E4)*2 (A3 B3 D#4)*2 | (G#3 B3 E4)*2""",
                    44,
                    gate=1.6,  # the pedal stays down
                ),
                Part(
                    PIANO,
                    """C#2+C#3/4 | B1+B2 | A1+A2/2 F#1+F#2 | G#1+G#2 G#1+G#2 | C#2+G#2+C#3/4 | B#1+G#2+B#2
                    | C#2+C#3/2 F#1+F#2 | B1+B2 B1+B2 | E2+E3""",
                    50,
                    gate=1.0,
                ),
                Part(PIANO, "r/19 G#4/0.75 G#4/0.25 | G#4/3 G#4/0.75 G#4/0.25 | G#4/2 A4 | G#4 F#4/1 B4 | E4/2", 66),
            ),
        ),
    ),
)


# Scott Joplin (1868-1917), The Entertainer (1902), introduction and first strain, for piano; left hand simplified.
_RAG = "E4/.25 C5/.5 E4/.25 C5/.5 E4/.25 C5/1.25"  # bar 1 and the tied note of bar 2
_RAG_RISE = "r/.25 E5+C6 F5+D6 F#5+D#6 | G5+E6 E5+C6 F5+D6 G5+E6/.5 D5+B5/.25 F5+D6/.5 | E5+C6/1.5"
_RAG_TURN = "| G5+E6/.25 E5+C6 F5+D6 G5+E6/.5 E5+C6/.25 F5+D6 E5+C6"
_OOM_PAH = {
    "C": "C2+C3/.5 E3+G3+C4",
    "C/Bb": "A#1+A#2/.5 E3+G3+C4",
    "F/A": "A1+A2/.5 F3+A3+C4",
    "Fm/Ab": "G#1+G#2/.5 F3+G#3+C4",
    "C/G": "G1+G2/.5 E3+G3+C4",
    "G7": "G1+G2/.5 F3+G3+B3",
    "D7": "D2+D3/.5 F#3+A3+C4",
}
_RAG_CHORDS = """C C/Bb F/A C/G C/G G7 C C | C C/Bb F/A C/G D7 D7 G7 G7 | C C/Bb F/A C/G C/G G7 C C
    | C C/Bb F/A Fm/Ab C/G G7""".replace("|", "")
ENTERTAINER = Piece(
    "entertainer",
    ("C", "major"),
    (
        Section(
            84,
            (
                Part(
                    BRIGHT_PIANO,
                    "D5+D6/.25 E5+E6 C5+C6 A4+A5/.5 B4+B5/.25 G4+G5/.5"
                    "| D4+D5/.25 E4+E5 C4+C5 A3+A4/.5 B3+B4/.25 G3+G4/.5"
                    "| D3+D4/.25 E3+E4 C3+C4 A2+A3/.5 B2+B3/.25 A2+A3 G#2+G#3 | G2+G3/.5 r G3+B3+F4+G4 D4/.25 D#4 |"
                    f"{_RAG} {_RAG_RISE} D4/.25 D#4"
                    f"| {_RAG} r/.25 r A5 G5 | F#5 A5 C6 E6/.5 D6/.25 C6 A5 | F5+B5+D6/1.5 D4/.25 D#4"
                    f"| {_RAG} {_RAG_RISE} C6/.25 D6 {_RAG_TURN} {_RAG_TURN}"
                    "| G5+E6 E5+C6 F5+D6 G5+E6/.5 D5+B5/.25 F5+D6/.5 | E5+G5+C6/1",
                    92,
                ),
                Part(
                    BRIGHT_PIANO,
                    "r/6 G1+G2/1 G2+B2+D3+F3 "
                    + " ".join(_OOM_PAH[chord] for chord in _RAG_CHORDS.split())
                    + " C2+C3/.5 G2+E3+G3+C4",
                    76,
                    gate=0.8,
                ),
            ),
        ),
    ),
)


# Edvard Grieg (1843-1907), Peer Gynt suite no. 1 op. 46, In the Hall of the Mountain King: the theme and its answer,
# first low and plucked, then by the whole orchestra, faster. Arranged for this clip.
_THEME = """B2/.5 C#3 D3 E3 F#3 D3 F#3/1 | E#3/.5 C#3 E#3/1 E3/.5 C3 E3/1 | B2/.5 C#3 D3 E3 F#3 D3 F#3 B3
    | A3 F#3 D3 F#3 A3/2"""
_ANSWER = """| F#3/.5 G#3 A#3 B3 C#4 A#3 C#4/1 | D4/.5 A#3 D4/1 C#4/.5 A#3 C#4/1 | F#3/.5 G#3 A#3 B3 C#4 A#3 C#4/1
    | D4/.5 A#3 D4/1 C#4/2"""
_THEME_CHORDS = """(r/1 F#3+B3+D4)*2 | r E#3+G#3+C#4 r E3+G3+C4 | (r F#3+B3+D4)*2 | (r F#3+A3+D4)*2"""
_ANSWER_CHORDS = "| ((r/1 F#3+A#3+C#4)*2 | r F#3+B3+D4 r F#3+A#3+C#4)*2"
_TUTTI = _THEME + _ANSWER + "|" + _THEME + "| B2/.5 r/1.5 B2/.5 r/1.5 B2/2"
MOUNTAIN_KING = Piece(
    "mountain_king",
    ("B", "minor"),
    (
        Section(
            144,
            (
                Part(PIZZICATO, f"{_THEME} r/16", 92, gate=0.6),
                Part(CONTRABASS, f"{_THEME} r/16", 60, gate=0.5, transpose=-12),
                Part(BASSOON, f"r/16 {_ANSWER}", 116, gate=0.55),
                Part(PIZZICATO, f"r/16 {_ANSWER_CHORDS}", 84, gate=0.5),
            ),
        ),
        Section(
            192,
            (
                Part(STRINGS, _TUTTI, 120, gate=0.7, transpose=24),
                Part(TREMOLO, _TUTTI, 112, gate=0.8, transpose=12),
                Part(PICCOLO, _TUTTI, 84, gate=0.6, transpose=36),
                Part(TROMBONE, _TUTTI, 100, gate=0.6),
                Part(
                    BRASS,
                    f"{_THEME_CHORDS} {_ANSWER_CHORDS} | {_THEME_CHORDS} | (B3+D4+F#4/.5 r/1.5)*2 B3+D4+F#4/2",
                    100,
                    gate=0.5,
                ),
                Part(CONTRABASS, "(B1/1)*16 (F#1)*16 (B1)*16 | B1/.5 r/1.5 B1/.5 r/1.5 B1/2", 108, gate=0.6),
                Part(TIMPANI, "(B2/1 r)*8 (F#2 r)*8 (B2 r)*8 | B2/.5 r/1.5 B2/.5 r/1.5 (B2/.125)*16", 96),
                Part(DRUMS, "(C2+C#3/4 | C2/2 C2)*6 | C2+C#3 C2+C#3 C2+C#3", 84),
            ),
        ),
    ),
)

PIECES = (MOONLIGHT, ENTERTAINER, MOUNTAIN_KING)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sound-font", type=Path, default=SOUND_FONT)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--midi-only", action="store_true", help="write the notes, render nothing")
    args = parser.parse_args()
    for piece in PIECES:
        midi = to_midi(piece)
        if args.midi_only:
            midi.write(str(args.out / f"{piece.name}.mid"))
            continue
        path = args.out / f"{piece.name}.ogg"
        sf.write(
            path, render(midi, args.sound_font), SAMPLING_RATE, format="OGG", subtype="VORBIS", compression_level=1.0
        )
        print(f"{path.name}: {sf.info(path).duration:.1f} s, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
