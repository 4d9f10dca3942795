"""What support vector machines read of emotion from an encoder and from its teachers, on the clips of Panda 4Q.

    python benchmarks/probes.py POOL 4Q [ENCODER ...]

POOL is that of the encoder, labelled by the three taggers. ENCODER is a folder of an m2e-encoder (default: that of the
package). Macro F1 of the quadrants, R2 of valence and of arousal: of the validation clips, learnt from the training
clips, and in five folds of both, by artist. An encoder has learnt the audio of the folds, not that of validation clips.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.metrics import f1_score, r2_score
from sklearn.model_selection import StratifiedGroupKFold

from m2e.checkpoints.load import embedded_model
from m2e.datasets.encoder.emotions import FOLDS, RATED, TAGGERS, annotated, fitted, predicted
from m2e.datasets.encoder.labels import load_labels
from m2e.datasets.encoder.pool import Clip, clip_samples, read_index
from modeling_m2e.modeling_encoder import M2EEncoderModel
from modeling_m2e.scale_m2e import QUADRANTS


def embed(folder: Path, pool: Path, clips: Sequence[Clip]) -> np.ndarray:
    """(clips, width) the mean embedding of each clip by the encoder in a folder."""
    model = M2EEncoderModel.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False).eval()
    waveforms = (torch.from_numpy(clip_samples(pool, clip) / np.float32(32767))[None] for clip in clips)
    with torch.inference_mode():
        return np.concatenate([model(waveform).pooler_output for waveform in waveforms])


def taught(pool: Path, clips: Sequence[Clip], teachers: Sequence[str]) -> np.ndarray:
    """(clips, width) the mean embeddings by some teachers, side by side."""
    labels = [load_labels(pool, clips, name) for name in teachers]
    return np.concatenate([each.embeddings.astype(np.float32).mean(1) for each in labels], axis=1)


def scores(embeddings: np.ndarray, tracks: Mapping[str, np.ndarray]) -> list[str]:
    """Of the validation clips and of the folds: F1, R2 of valence, R2 of arousal, in words.

    tracks: `va` (n, 2), `quadrant`, `split` and `artist` (n,).
    """
    va, quadrant = tracks["va"], tracks["quadrant"]

    def probed(learnt: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        heads = fitted(embeddings[learnt], va[learnt], quadrant[learnt], np.ones(len(learnt)))
        return predicted(heads, embeddings[held_out])

    def row(rows: np.ndarray, values: np.ndarray) -> str:
        names = np.array(QUADRANTS)[values[:, 2:].argmax(1)]
        r2 = [r2_score(va[rows, axis], values[:, axis]) for axis in (0, 1)]
        return " / ".join(f"{score:.3f}" for score in (f1_score(quadrant[rows], names, average="macro"), *r2))

    train, validation = (np.flatnonzero(tracks["split"] == name) for name in ("train", "validation"))
    out_of_fold = np.empty((len(va), 2 + len(QUADRANTS)))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    for learnt, held_out in folds.split(embeddings, quadrant, tracks["artist"]):
        out_of_fold[held_out] = probed(learnt, held_out)
    return [row(validation, probed(train, validation)), row(np.arange(len(va)), out_of_fold)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("panda4q", type=Path, metavar="4Q")
    parser.add_argument("encoders", type=Path, nargs="*", metavar="ENCODER")
    args = parser.parse_args()
    clips = read_index(args.pool, [RATED])
    _, va, quadrant, artist = annotated(clips, args.panda4q)
    tracks = {"va": va, "quadrant": quadrant, "artist": artist, "split": np.array([clip.split for clip in clips])}
    table = Table("on", "validation", "folds", title="quadrant F1 / valence R2 / arousal R2")
    musicnn = taught(args.pool, clips, TAGGERS[:1])
    for folder in args.encoders or [embedded_model() / "encoder"]:
        own = embed(folder, args.pool, clips)
        table.add_row(str(folder), *scores(own, tracks))
        table.add_row("and MusiCNN beside it", *scores(np.concatenate([own, musicnn], axis=1), tracks))
    table.add_row("the three taggers", *scores(taught(args.pool, clips, TAGGERS), tracks))
    table.add_row("MusiCNN alone", *scores(musicnn, tracks))
    Console().print(table)


if __name__ == "__main__":
    main()
