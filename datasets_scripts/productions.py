"""EMOPIA's pieces in productions of different arousal: calm, moderate and driving, as a data set.

    python -m datasets_scripts.productions OUT EMOPIA --sounds FluidR3_GM.sf2 TimGM6mb.sf2 [--per-quadrant 20]

Pieces of the training split are produced in every style. Styles differ in what listeners agree on (Gabrielsson &
Lindström 2010): tempo, loudness of the touch, articulation, instruments, register and drums. OUT gets `audio/*.flac`
and `labels.csv` for the reader "folder": the arousal of the style, the valence of the piece's quadrant, and for calm
and driving ones the quadrant of both. The same command resumes an interrupted run; equal seeds give equal audio.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi

from m2e.datasets import emopia
from m2e.datasets.chords.pop909 import BASS, Song, arrange, bass_line, degrade, drum_track, excerpt, stretch_midi
from m2e.datasets.midi_audio import RATE, read_midi, render
from m2e.datasets.rendered import MIDDLE, Rendered, audio_file, write_flac, write_labels
from m2e.errors import DataError, first_line
from modeling_m2e.scale_m2e import quadrant

SECONDS = 30.0
VALENCE = {"Q1": 6.2, "Q2": 4.0, "Q3": 4.0, "Q4": 6.2}  # of pieces, a point from the middle
FEWEST_NOTES = 24  # in an excerpt


@dataclass(frozen=True)
class Style:
    """arousal: 1 to 9.  tempo: times that of the score, from and to.  velocity: times that of the score, likewise.
    length: of notes.  octaves: added to all notes.  programs: General MIDI.  drums, bass: share of productions."""

    arousal: float
    tempo: tuple[float, float]
    velocity: tuple[float, float]
    length: float
    octaves: tuple[int, ...]
    programs: tuple[int, ...]
    drums: float
    bass: float


STYLES = {
    "calm": Style(3.2, (0.5, 0.75), (0.35, 0.6), 1.1, (-1, 0), (0, 4, 24, 46, 48, 70, 89, 91), 0.0, 0.2),
    "moderate": Style(4.6, (0.85, 1.1), (0.7, 0.9), 1.0, (0,), (0, 1, 4, 24, 25, 48, 60, 73), 0.25, 0.5),
    "driving": Style(6.2, (1.25, 1.7), (1.0, 1.5), 0.7, (0, 1), (0, 1, 27, 29, 30, 45, 48, 61, 62, 81), 0.8, 0.9),
}


def produce(path: Path, style: Style, sounds: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """(samples,) at 22,050 Hz of an excerpt in a style. Raises DataError, also for an excerpt with few notes."""
    tempo = rng.uniform(*style.tempo)
    end = read_midi(path).get_end_time()
    arrangement = arrange(Song(path.stem, path, [(0.0, end, "N")], []), rng, as_composed_share=1.0)
    midi = excerpt(arrangement, SECONDS * tempo, rng).midi
    if sum(len(track.notes) for track in midi.instruments) < FEWEST_NOTES:
        raise DataError(f"{path} has too few notes: give scores of at least {SECONDS:.0f} s.")
    beats = np.arange(0, SECONDS * tempo + 4, 60 / float(np.clip(midi.estimate_tempo(), 60, 180)))
    program, velocity = int(rng.choice(style.programs)), rng.uniform(*style.velocity)
    octave = 12 * int(rng.choice(style.octaves))
    played = [note for track in midi.instruments for note in track.notes]
    bass = bass_line(played, rng) if rng.random() < style.bass else []
    for track in midi.instruments:
        track.program = program
        for note in track.notes:
            note.velocity = int(np.clip(note.velocity * velocity * rng.uniform(0.9, 1.1), 12, 127))
            note.pitch = int(np.clip(note.pitch + octave, 21, 108))
            note.end = note.start + style.length * (note.end - note.start)
    if bass:
        midi.instruments.append(pretty_midi.Instrument(int(rng.choice(BASS)), name="BASS"))
        midi.instruments[-1].notes = bass
    if rng.random() < style.drums:
        midi.instruments.append(drum_track(beats, rng))
    stretch_midi(midi, 1 / tempo)
    return degrade(render(midi, str(rng.choice(np.asarray(sounds))), rng)[: round(SECONDS * RATE)], rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("emopia", type=Path, help="EMOPIA folder")
    parser.add_argument("--sounds", nargs="+", required=True, help="sound fonts, or 'additive'")
    parser.add_argument("--per-quadrant", type=int, default=20, help="pieces of each quadrant")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    pieces = emopia.read(args.emopia, check="off", per_quadrant=args.per_quadrant).to_list()
    tracks = []
    for number, piece in enumerate(piece for piece in pieces if piece["split"] == "train"):
        for place, (name, style) in enumerate(STYLES.items()):
            track = f"{piece['id']}-{name}"
            target = audio_file(args.out, track)
            if not target.exists():
                path = args.emopia / "midis" / f"{piece['id']}.mid"
                rng = np.random.default_rng([args.seed, number, place])
                try:
                    write_flac(target, produce(path, style, args.sounds, rng))
                except DataError as error:
                    print(f"skipped: {first_line(error)}", flush=True)
                    continue
            valence = VALENCE[piece["quadrant"]]
            place_of = quadrant(valence, style.arousal, *MIDDLE) if name != "moderate" else None
            tracks.append(Rendered(track, piece["artist"], valence, style.arousal, place_of))
    write_labels(args.out, tracks)


if __name__ == "__main__":
    main()
