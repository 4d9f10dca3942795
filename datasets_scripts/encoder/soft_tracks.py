"""Clips of the encoder's pool as a data set: audio files, and the quadrant that teachers predict for them.

    python -m datasets_scripts.encoder.soft_tracks POOL OUT --heads HEADS --like 4Q --sources NAME ...

OUT gets `audio/*.flac` and `labels.csv` for the reader "folder". Valence is that of the teacher "emotion" (see
`emotions`). Arousal is that of a linear head on MusiCNN's embedding (HEADS, a .npz file), which learnt people's
ratings; it is moved to the mean and the deviation of the ratings in the 4Q folder. The quadrant is that of the place;
clips near its borders are left out.
"""

import argparse
import csv
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from m2e.datasets.archive import read_table
from m2e.datasets.encoder.emotions import HEADED, RATED, TEACHER, by_heads
from m2e.datasets.encoder.labels import load_labels
from m2e.datasets.encoder.pool import SAMPLING_RATE, Clip, clip_samples, read_index
from m2e.errors import DataError
from m2e.storage import write_text, write_whole
from modeling_m2e.scale_m2e import quadrant

NEUTRAL = (5.1, 4.8)  # valence and arousal where 4Q's quadrants meet
BORDER = 0.2  # a clip whose valence or arousal is nearer to its neutral value is left out
AROUSAL = 1  # column of the heads


def head_arousal(pool: Path, clips: Sequence[Clip], heads: Path, name: str) -> np.ndarray:
    """(n,) arousal of clips by the head `name` in the file `heads`, NaN where MusiCNN has not labelled the clip."""
    embeddings = load_labels(pool, clips, HEADED).embeddings.astype(np.float32).mean(1)
    return by_heads(embeddings, heads, [name])[:, AROUSAL]


def scaled_like(values: np.ndarray, ours: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """`values` by the line that gives `ours` the mean and the deviation of `ratings`, kept within 1 to 9."""
    return ((values - ours.mean()) / ours.std() * ratings.std() + ratings.mean()).clip(1.0, 9.0)


def on_scale_of_4q(pool: Path, arousal: np.ndarray, heads: Path, name: str, folder: Path) -> np.ndarray:
    """(n,) arousal on the scale of the ratings of 4Q's training and validation clips."""
    ratings = {row["song_id"]: float(row["arousal"]) for row in read_table(folder / "metadata.csv")}
    clips = read_index(pool, [RATED])
    ours = head_arousal(pool, clips, heads, name)
    known = ~np.isnan(ours)
    theirs = np.array([ratings[Path(clip.path).stem] for clip in clips])
    return scaled_like(arousal, ours[known], theirs[known])


def head_valence(pool: Path, clips: Sequence[Clip]) -> np.ndarray:
    """(n,) valence of clips by the teacher "emotion", NaN where it is unknown."""
    return load_labels(pool, clips, TEACHER).embeddings[:, 0, 0].astype(np.float64).clip(1.0, 9.0)


def chosen(clips: Sequence[Clip], va: np.ndarray, most: int, seed: int = 0) -> list[int]:
    """Indices of at most `most` training clips of a source whose va (n, 2) is known, drawn at random."""
    rows = [row for row, clip in enumerate(clips) if clip.split == "train" and np.isfinite(va[row]).all()]
    return sorted(np.random.default_rng(seed).permutation(rows)[:most].tolist())


def export(pool: Path, out: Path, clips: Sequence[Clip], va: np.ndarray) -> None:
    """Writes the audio of the clips, and a table of the quadrants of va (n, 2)."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "audio", "artist", "split", "quadrant"])
    for clip, (valence, arousal) in zip(clips, va, strict=True):
        if min(abs(valence - NEUTRAL[0]), abs(arousal - NEUTRAL[1])) < BORDER:
            continue
        track = f"{clip.shard}-{clip.row:02}"
        path = out / "audio" / f"{track}.flac"
        if not path.exists():
            samples = clip_samples(pool, clip)
            write_whole(path, partial(soundfile.write, data=samples, samplerate=SAMPLING_RATE, format="FLAC"))
        place = quadrant(valence, arousal, *NEUTRAL)
        table.writerow([track, f"audio/{track}.flac", clip.group, "train", place])
    write_text(out / "labels.csv", text.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--heads", type=Path, required=True, help=".npz with NAME_weight (200, 2) and NAME_bias (2,)")
    parser.add_argument("--head", default="emomusic", metavar="NAME")
    parser.add_argument("--like", type=Path, required=True, help="4Q folder, whose scale of arousal is taken over")
    parser.add_argument("--sources", nargs="+", required=True)
    parser.add_argument("--most", type=int, default=80, help="clips of each source")
    args = parser.parse_args()
    picked: list[Clip] = []
    parts: list[np.ndarray] = []
    for source in args.sources:
        clips = read_index(args.pool, [source])
        arousal = head_arousal(args.pool, clips, args.heads, args.head)
        arousal = on_scale_of_4q(args.pool, arousal, args.heads, args.head, args.like)
        va = np.stack([head_valence(args.pool, clips), arousal], axis=1)
        rows = chosen(clips, va, args.most)
        picked += [clips[row] for row in rows]
        parts.append(va[rows])
    if not picked:
        raise DataError(f"{args.pool} has no clips of these sources that {HEADED} has labelled: run label first.")
    export(args.pool, args.out, picked, np.concatenate(parts))


if __name__ == "__main__":
    main()
