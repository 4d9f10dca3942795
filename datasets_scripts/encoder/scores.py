"""Audio of scores in random productions: more music for the encoder's pool, in many sounds.

    python -m datasets_scripts.encoder.scores OUT MIDI_FOLDER --sounds FluidR3_GM.sf2 additive [--most 500]

Each MIDI file below MIDI_FOLDER, up to `--most` drawn at random, gives one excerpt of 30 s as `OUT/NAME.flac`.
Instruments, key, tempo, drums, sound font and recording are random, but the same for the same seed. The same command
resumes an interrupted run. Use OUT as `--folder NAME=OUT` of `datasets_scripts.encoder.pool`.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from m2e.datasets.chords.pop909 import Song, arrange, degrade, excerpt
from m2e.datasets.encoder.pool import CLIP_SECONDS, MIN_SECONDS
from m2e.datasets.midi_audio import RATE, read_midi, render
from m2e.errors import DataError, first_line
from m2e.storage import write_whole


def produce(path: Path, sounds: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """(samples,) at 22,050 Hz of a random production of an excerpt. Raises DataError, also for a short score."""
    end = read_midi(path).get_end_time()
    if end < MIN_SECONDS:
        raise DataError(f"{path} lasts {end:.0f} s: give scores of at least {MIN_SECONDS:.0f} s.")
    arrangement = excerpt(arrange(Song(path.stem, path, [(0.0, end, "N")], []), rng), CLIP_SECONDS, rng)
    waveform = render(arrangement.midi, str(rng.choice(np.asarray(sounds))), rng)
    return degrade(waveform[: round(CLIP_SECONDS * RATE)], rng)


def produce_file(number: int, path: Path, out: Path, sounds: Sequence[str], seed: int) -> None:
    target = out / f"{path.stem}.flac"
    if target.exists():
        return
    try:
        waveform = produce(path, sounds, np.random.default_rng([seed, number]))
    except DataError as error:
        print(f"skipped: {first_line(error)}", flush=True)
        return
    write_whole(target, partial(soundfile.write, data=waveform, samplerate=RATE, format="FLAC"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("midis", type=Path, metavar="MIDI_FOLDER")
    parser.add_argument("--sounds", nargs="+", required=True, help="sound fonts, or 'additive'")
    parser.add_argument("--most", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="renderings at once")
    args = parser.parse_args()
    paths = sorted(args.midis.rglob("*.mid"))
    if not paths:
        raise DataError(f"{args.midis} holds no .mid file: give a folder of MIDI files.")
    order = np.random.default_rng(args.seed).permutation(len(paths))[: args.most]
    args.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.workers) as pool:  # each runs a program
        list(pool.map(lambda n: produce_file(int(n), paths[n], args.out, args.sounds, args.seed), order))


if __name__ == "__main__":
    main()
