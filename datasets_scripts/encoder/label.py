"""What published networks compute of every clip of the encoder's pool, cached once.

    python -m datasets_scripts.encoder.label POOL WEIGHTS [--teachers NAME ...] [--sources NAME ...]

POOL gets `labels/TEACHER/SHARD.npz`: `embeddings` (clips, cells, width) and `tags` (clips, cells, tags), float16
probabilities; NaN for clips that cannot be used. The cells of a clip divide it evenly, see `cells`. The same command
resumes an interrupted run; sources and teachers are labelled in the order given.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import soxr
import torch

from m2e.datasets.encoder.pool import CLIP_SECONDS, Clip, by_shard, read_clip, read_index
from m2e.datasets.encoder.teachers import TEACHERS, Teacher
from m2e.storage import write_whole
from modeling_m2e.modeling_encoder import loudness

READING_RATE = 32000  # Hz; the highest of all teachers
LEVEL_DB = -14.0  # of full scale; what Panda 4Q's clips have in the median


def cells(waveform: np.ndarray, teacher: Teacher) -> np.ndarray:
    """(cells, samples) pieces of `cell_seconds`: as many as fit in a whole clip, spread evenly over this one.

    Those of a shorter clip overlap; a clip that is shorter than a piece is repeated.
    """
    samples = round(teacher.cell_seconds * teacher.sampling_rate)
    waveform = np.resize(waveform, max(len(waveform), samples))
    count = round(CLIP_SECONDS / teacher.cell_seconds)
    starts = np.linspace(0, len(waveform) - samples, count).round().astype(int)
    return np.stack([waveform[start : start + samples] for start in starts])


def levelled(waveform: np.ndarray) -> np.ndarray:
    """The waveform at LEVEL_DB. The encoder does not know the level, and the taggers' answers depend on it."""
    power = loudness(torch.from_numpy(waveform)[None]).item()
    return waveform * np.float32(10 ** (LEVEL_DB / 20) / max(power, 1e-9) ** 0.5)


def label_shard(path: Path, waveforms: list[np.ndarray | None], teacher: Teacher) -> None:
    """Writes the labels of waveforms at `READING_RATE`."""
    labels: list[tuple[np.ndarray, np.ndarray] | None] = []
    for waveform in waveforms:
        if waveform is not None:
            resampled = soxr.resample(levelled(waveform), READING_RATE, teacher.sampling_rate, "HQ")
            labels.append(teacher.label(cells(resampled, teacher)))
        else:
            labels.append(None)
    shapes = next((tuple(part.shape for part in each) for each in labels if each is not None), None)
    if shapes is None:
        return
    arrays = [np.full((len(labels), *shape), np.nan, np.float16) for shape in shapes]
    for row, each in enumerate(labels):
        if each is not None:
            arrays[0][row], arrays[1][row] = each

    def write(partial_path: Path) -> None:
        with open(partial_path, "wb") as file:
            np.savez(file, embeddings=arrays[0], tags=arrays[1])

    write_whole(path, write)


def label(pool: Path, clips: list[Clip], teachers: dict[str, Teacher]) -> None:
    """Labels the clips that a teacher has not labelled yet."""
    shards = by_shard(clips)
    for number, (shard, members) in enumerate(shards.items(), 1):
        paths = {name: pool / "labels" / name / f"{shard}.npz" for name in teachers}
        missing = {name: path for name, path in paths.items() if not path.exists()}
        if not missing:
            continue
        waveforms = [read_clip(clip, READING_RATE) for clip in members]
        seconds = {}
        for name, path in missing.items():
            began = time.process_time()
            label_shard(path, waveforms, teachers[name])
            seconds[name] = round((time.process_time() - began) / len(members), 2)
        print(f"{number}/{len(shards)} {shard}, CPU seconds per clip: {seconds}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("weights", type=Path, help="folder with musicnn/, taggers/, teachers/ and teachers2/")
    parser.add_argument("--teachers", nargs="+", choices=list(TEACHERS), default=list(TEACHERS))
    parser.add_argument("--sources", nargs="+", default=[], help="all by default")
    args = parser.parse_args()
    torch.set_flush_denormal(True)  # some weights of fcn_msd are so small that it would take 18 times as long
    clips = read_index(args.pool, args.sources)
    label(args.pool, clips, {name: TEACHERS[name](args.weights) for name in args.teachers})


if __name__ == "__main__":
    main()
