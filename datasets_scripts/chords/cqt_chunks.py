"""Training material for the chord recogniser: POP909 renderings as CQT chunks with one chord label per frame.

    python -m datasets_scripts.chords.cqt_chunks POP909_FOLDER OUT_FOLDER --fonts A.sf2 B.sf2 --split train

Writes one ``.npz`` per rendering. The same command resumes an interrupted run.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from m2e.datasets.chords.pop909 import AS_COMPOSED, Song, arrange, degrade, excerpt, read_songs
from m2e.datasets.midi_audio import RATE, render
from m2e.errors import M2EError
from m2e.storage import write_whole
from modeling_m2e.chord_labels_m2e import VOCABULARY, parse_chord
from modeling_m2e.chords_m2e import BINS, BINS_PER_OCTAVE, CHUNK_FRAMES, CHUNK_SAMPLES, CHUNK_SECONDS, FLOOR, HOP
from modeling_m2e.cqt_m2e import C1, cqt_magnitude

MARGIN = 12  # extra bins on either side of the network's input: half an octave of transposition each way
ON_TOP = 2 * MARGIN  # computed above and cut off: octaves are filtered from the highest bin down
FMIN = C1 * 2 ** (-MARGIN / BINS_PER_OCTAVE)
N = VOCABULARY.index("N")


def class_index(label: str, semitones: int = 0) -> int:
    """Index of a Harte label in the 170-class vocabulary after a transposition."""
    return parse_chord(label).transposed(semitones).index


def chunk_features(waveform: np.ndarray) -> np.ndarray:
    """(chunks, 108, 168) log-magnitude CQT of consecutive 10-s pieces, half an octave wider than the network reads."""
    pieces = waveform[: len(waveform) // CHUNK_SAMPLES * CHUNK_SAMPLES].reshape(-1, CHUNK_SAMPLES)
    bins = MARGIN + BINS + ON_TOP
    cqt = cqt_magnitude(pieces, RATE, HOP, bins, BINS_PER_OCTAVE, FMIN)
    return np.log(cqt[:, :, : BINS + 2 * MARGIN] + FLOOR)


def segment_index(spans: list[tuple[float, float]], chunks: int, offset: float = 0.0) -> np.ndarray:
    """(chunks, 108) index of the span (start, end in seconds) that holds the middle of each frame, -1 if none does.

    ``offset`` seconds were cut from the beginning.
    """
    times = offset + (np.arange(chunks)[:, None] + (np.arange(CHUNK_FRAMES) + 0.5) / CHUNK_FRAMES) * CHUNK_SECONDS
    index = np.searchsorted([end for _, end in spans], times, side="right")
    return np.where((times < spans[0][0]) | (index == len(spans)), -1, index)


def frame_labels(
    chords: list[tuple[float, float, str]], chunks: int, semitones: int, offset: float = 0.0
) -> np.ndarray:
    """(chunks, 108) class index of each frame, N before the first chord and after the last one."""
    classes = np.array([class_index(label, semitones) for _, _, label in chords] + [N], dtype=np.uint8)
    return classes[segment_index([(start, end) for start, end, _ in chords], chunks, offset)]


def make_rendering(
    song: Song, target: Path, fonts: list[str], take: int, seconds: float, as_composed: float = AS_COMPOSED
) -> Path:
    """Renders one take of a song and writes its chunks; the seed is the song number and the take."""
    rng = np.random.default_rng([int(song.id), take])
    arrangement = excerpt(arrange(song, rng, as_composed), seconds, rng)
    waveform = degrade(render(arrangement.midi, fonts[rng.integers(len(fonts))], rng), rng)
    offset = float(rng.uniform(0, 10))  # so that chunk borders fall anywhere
    features = chunk_features(waveform[int(offset * RATE) :])
    labels = frame_labels(arrangement.chords, len(features), arrangement.semitones, offset)
    write_chunks(target, features=features.astype(np.float16), labels=labels)
    return target


def write_chunks(target: Path, **arrays: np.ndarray) -> None:
    """Writes one ``.npz``, whole or not at all."""

    def write(path: Path) -> None:
        with open(path, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    write_whole(target, write)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pop909", help="unpacked POP909 folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--fonts", nargs="+", required=True, help="sounds to draw from: .sf2, .sf3, .cfg, additive")
    parser.add_argument("--split", choices=["train", "validation", "test"], required=True)
    parser.add_argument("--take", type=int, default=0, help="another take is another production of every song")
    parser.add_argument("--seconds", type=float, default=600, help="length of the random excerpt of each song, at most")
    parser.add_argument(
        "--as-composed", type=float, default=AS_COMPOSED, help="share of productions with the instruments of the score"
    )
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        songs = [song for song in read_songs(args.pop909) if song.split == args.split]
    except M2EError as error:
        sys.exit(str(error))
    jobs = [(song, args.out / f"{args.split}-{song.id}-{args.take}.npz") for song in songs]
    jobs = [job for job in jobs if not job[1].exists()]
    with ProcessPoolExecutor(args.workers) as pool:
        settings = args.fonts, args.take, args.seconds, args.as_composed
        done = [pool.submit(make_rendering, song, path, *settings) for song, path in jobs]
        for count, future in enumerate(done, 1):
            print(f"{count}/{len(done)} {future.result().name}", flush=True)


if __name__ == "__main__":
    main()
