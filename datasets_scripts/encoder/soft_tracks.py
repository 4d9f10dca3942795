"""Clips of the encoder's pool as a data set: audio files and the emotion that teachers predict for them.

    python -m datasets_scripts.encoder.soft_tracks POOL OUT --heads HEADS --like 4Q --sources NAME ... [--model MODEL]

OUT gets `audio/*.flac` and `labels.csv` for the reader "folder" (valence, arousal), and `moods.csv`, a table of soft
labels for a recipe's `teacher:`. Valence and moods are those of an m2e model; arousal is that of a linear head on
MusiCNN's embedding (HEADS, a .npz file), moved to the mean and the deviation of the ratings in the 4Q folder. The same
command resumes an interrupted run.
"""

import argparse
import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from m2e.datasets.archive import read_table
from m2e.datasets.encoder.label import levelled
from m2e.datasets.encoder.pool import SAMPLING_RATE, Clip, read_index
from m2e.errors import DataError
from m2e.storage import write_text, write_whole
from m2e.training.encoder.data import load_labels
from modeling_m2e import MusicEmotion

TEACHER = "musicnn_msd"  # what the heads were fitted to
AROUSAL = 1  # column of the heads


def head_arousal(pool: Path, clips: Sequence[Clip], heads: Path, name: str) -> np.ndarray:
    """(n,) arousal of clips by the head `name` in the file `heads`, NaN where MusiCNN has not labelled the clip."""
    with np.load(heads) as arrays:
        weight, bias = arrays[f"{name}_weight"][:, AROUSAL], arrays[f"{name}_bias"][AROUSAL]
    embeddings = load_labels(pool, clips, TEACHER).embeddings.astype(np.float32).mean(1)
    return embeddings @ weight + bias


def scaled_like(values: np.ndarray, ours: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """`values` by the line that gives `ours` the mean and the deviation of `ratings`, kept within 1 to 9."""
    return ((values - ours.mean()) / ours.std() * ratings.std() + ratings.mean()).clip(1.0, 9.0)


def on_scale_of_4q(pool: Path, arousal: np.ndarray, heads: Path, name: str, folder: Path) -> np.ndarray:
    """(n,) arousal on the scale of the ratings of 4Q's training and validation clips."""
    ratings = {row["song_id"]: float(row["arousal"]) for row in read_table(folder / "metadata.csv")}
    clips = read_index(pool, ["panda4q"])
    ours = head_arousal(pool, clips, heads, name)
    known = ~np.isnan(ours)
    theirs = np.array([ratings[Path(clip.path).stem] for clip in clips])
    return scaled_like(arousal, ours[known], theirs[known])


def chosen(clips: Sequence[Clip], arousal: np.ndarray, most: int, seed: int = 0) -> list[int]:
    """Indices of at most `most` training clips of a source that have an arousal, drawn at random."""
    rows = [row for row, clip in enumerate(clips) if clip.split == "train" and not np.isnan(arousal[row])]
    return sorted(np.random.default_rng(seed).permutation(rows)[:most].tolist())


def write_table(path: Path, rows: Sequence[dict[str, object]]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())


def export(
    pool: Path, out: Path, clips: Sequence[Clip], arousal: np.ndarray, predict: Callable[..., MusicEmotion]
) -> None:
    """Writes the audio of the clips and the two tables."""
    labels: list[dict[str, object]] = []
    moods: list[dict[str, object]] = []
    for clip, value in zip(clips, arousal, strict=True):
        track = f"{clip.shard}-{clip.row:02}"
        samples = np.load(pool / "audio" / f"{clip.shard}.npy", mmap_mode="r")[clip.row]
        waveform = levelled(samples[: round(clip.seconds * SAMPLING_RATE)].astype(np.float32) / 32767)
        record = predict((waveform, SAMPLING_RATE))
        path = out / "audio" / f"{track}.flac"
        if not path.exists():
            write_whole(path, lambda partial, w=waveform: soundfile.write(partial, w, SAMPLING_RATE, format="FLAC"))
        place = {"id": track, "audio": f"audio/{track}.flac", "artist": clip.group, "split": "train"}
        labels.append(place | {"valence": round(record.valence, 3), "arousal": round(float(value), 3)})
        scores = {f"mood_{mood.label}": round(mood.score, 4) for mood in record.moods}
        moods.append({"id": track} | dict(sorted(scores.items())))
    write_table(out / "moods.csv", moods)
    write_table(out / "labels.csv", labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--heads", type=Path, required=True, help=".npz with NAME_weight (200, 2) and NAME_bias (2,)")
    parser.add_argument("--head", default="emomusic", metavar="NAME")
    parser.add_argument("--like", type=Path, required=True, help="4Q folder, whose scale of arousal is taken over")
    parser.add_argument("--sources", nargs="+", required=True)
    parser.add_argument("--most", type=int, default=80, help="clips of each source")
    parser.add_argument("--model", default="m2e-small")
    args = parser.parse_args()

    from m2e import load

    picked: list[Clip] = []
    arousal: list[np.ndarray] = []
    for source in args.sources:
        clips = read_index(args.pool, [source])
        values = head_arousal(args.pool, clips, args.heads, args.head)
        rows = chosen(clips, values, args.most)
        picked += [clips[row] for row in rows]
        arousal.append(on_scale_of_4q(args.pool, values[rows], args.heads, args.head, args.like))
    if not picked:
        raise DataError(f"{args.pool} has no clips of these sources that {TEACHER} has labelled: run label first.")
    export(args.pool, args.out, picked, np.concatenate(arousal), load(args.model))


if __name__ == "__main__":
    main()
