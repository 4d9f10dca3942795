"""Audio of scores in random productions: more music for the encoder's pool, in many sounds.

    python -m datasets_scripts.encoder.scores OUT MIDI_FOLDER --sounds FluidR3_GM.sf2 additive [--most 500]

Each MIDI file below MIDI_FOLDER, up to `--most` drawn at random, gives one excerpt of 30 s as `OUT/NAME.flac`.
Instruments, key, tempo, drums, sound font and recording are random, but the same for the same seed. `--tempo 0.6
--semitones -12 --as-composed 1` gives slow low pieces in their own instruments. The same command resumes an interrupted
run. Use OUT as `--folder NAME=OUT` of `datasets_scripts.encoder.pool`.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from m2e.datasets.chords.pop909 import AS_COMPOSED, Song, arrange, degrade, excerpt, stretch_midi
from m2e.datasets.encoder.pool import CLIP_SECONDS, MIN_SECONDS
from m2e.datasets.midi_audio import RATE, read_midi, render
from m2e.datasets.rendered import write_flac
from m2e.errors import DataError, first_line


@dataclass(frozen=True)
class Style:
    """What productions have in common. tempo: times that of the score. semitones: added to all notes but drums.
    as_composed: share of productions in the instruments of the score."""

    tempo: float = 1.0
    semitones: int = 0
    as_composed: float = AS_COMPOSED


def produce(path: Path, sounds: Sequence[str], rng: np.random.Generator, style: Style = Style()) -> np.ndarray:
    """(samples,) at 22,050 Hz of a random production of an excerpt. Raises DataError, also for a short score."""
    end = read_midi(path).get_end_time()
    if end < MIN_SECONDS:
        raise DataError(f"{path} lasts {end:.0f} s: give scores of at least {MIN_SECONDS:.0f} s.")
    song = Song(path.stem, path, [(0.0, end, "N")], [])
    arrangement = excerpt(arrange(song, rng, style.as_composed), CLIP_SECONDS * style.tempo, rng)
    stretch_midi(arrangement.midi, 1 / style.tempo)
    for note in (note for track in arrangement.midi.instruments if not track.is_drum for note in track.notes):
        note.pitch = int(np.clip(note.pitch + style.semitones, 0, 127))
    waveform = render(arrangement.midi, str(rng.choice(np.asarray(sounds))), rng)
    return degrade(waveform[: round(CLIP_SECONDS * RATE)], rng)


def produce_file(number: int, path: Path, out: Path, sounds: Sequence[str], seed: int, style: Style) -> None:
    target = out / f"{path.stem}.flac"
    if target.exists():
        return
    try:
        waveform = produce(path, sounds, np.random.default_rng([seed, number]), style)
    except DataError as error:
        print(f"skipped: {first_line(error)}", flush=True)
        return
    write_flac(target, waveform)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("midis", type=Path, metavar="MIDI_FOLDER")
    parser.add_argument("--sounds", nargs="+", required=True, help="sound fonts, or 'additive'")
    parser.add_argument("--most", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tempo", type=float, default=1.0, help="times that of the score")
    parser.add_argument("--semitones", type=int, default=0, help="added to all notes")
    parser.add_argument("--as-composed", type=float, default=AS_COMPOSED, help="share in the instruments of the score")
    parser.add_argument("--workers", type=int, default=1, help="renderings at once")
    args = parser.parse_args()
    paths = sorted(args.midis.rglob("*.mid"))
    if not paths:
        raise DataError(f"{args.midis} holds no .mid file: give a folder of MIDI files.")
    style = Style(args.tempo, args.semitones, args.as_composed)
    order = np.random.default_rng(args.seed).permutation(len(paths))[: args.most]
    args.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.workers) as pool:  # each runs a program
        list(pool.map(lambda n: produce_file(int(n), paths[n], args.out, args.sounds, args.seed, style), order))


if __name__ == "__main__":
    main()
