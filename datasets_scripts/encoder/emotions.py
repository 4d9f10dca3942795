"""What heads on the teachers' embeddings predict of the emotion of every clip of the encoder's pool: one more teacher.

    python -m datasets_scripts.encoder.emotions POOL --like 4Q --heads HEADS

Support vector machines learn valence, arousal and the quadrants of 4Q's training and validation clips from the
embeddings that `label` has cached, and the quadrants of EMOPIA's pieces in any sound, with the mean valence and arousal
of 4Q's clips of the quadrant. HEADS (.npz) holds linear heads on MusiCNN's embedding, which learnt valence and arousal
from people's ratings: `emomusic_weight` (200, 2), `emomusic_bias` (2,), `deam_...`.

POOL gets `labels/emotion/SHARD.npz`: `embeddings` (clips, 1, 10), valence, arousal, a score of each quadrant, and
valence and arousal by each head; `tags` (clips, 1, 4), the softmax of the scores. What is learnt from is predicted out
of fold, by artist or video.
"""

import argparse
from collections.abc import Sequence
from itertools import compress
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from m2e.datasets.archive import read_table
from m2e.datasets.emopia import video
from m2e.datasets.encoder.labels import load_labels
from m2e.datasets.encoder.pool import Clip, by_shard, read_index
from m2e.storage import write_whole
from modeling_m2e.scale_m2e import QUADRANTS

TEACHER = "emotion"
RATED = "panda4q"  # the source with ratings
JUDGED = ("emopia-", "productions-emopia")  # first letters of sources whose files begin with a quadrant, "Q1_VIDEO_3"
JUDGED_WEIGHT = 0.2  # in the heads: its labels are coarse
FOLDS = 5
TAGGERS = ("musicnn_msd", "fcn_msd", "fcn_jamendo")
LISTENERS = ("emomusic", "deam")  # heads that learnt people's ratings
HEADED = "musicnn_msd"  # the teacher whose embedding they take


def fitted(embeddings: np.ndarray, va: np.ndarray, quadrants: np.ndarray, weights: np.ndarray) -> list[Pipeline]:
    """Heads of valence, arousal and the quadrants, from embeddings (n, width), va (n, 2), names (n,), weights (n,)."""
    width = 0.5 / embeddings.shape[1]
    values = [make_pipeline(StandardScaler(), SVR(C=1.0, gamma=width)) for _ in range(2)]
    scores = make_pipeline(StandardScaler(), SVC(C=3.0, gamma=width, decision_function_shape="ovr"))
    for axis, head in enumerate(values):
        head.fit(embeddings, va[:, axis], svr__sample_weight=weights)
    return [*values, scores.fit(embeddings, quadrants, svc__sample_weight=weights)]


def predicted(heads: Sequence[Pipeline], embeddings: np.ndarray) -> np.ndarray:
    """(n, 6): valence, arousal, and the scores of Q1 to Q4."""
    valence, arousal, scores = heads
    columns = [valence.predict(embeddings), arousal.predict(embeddings), *scores.decision_function(embeddings).T]
    return np.stack(columns, axis=1)


def emotions(
    embeddings: np.ndarray,
    va: np.ndarray,
    quadrants: np.ndarray,
    groups: np.ndarray,
    rated: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """(n, 6) of all clips. va, quadrants, groups, weights: where `rated` (n,) is true; those are out of fold."""
    values = predicted(fitted(embeddings[rated], va, quadrants, weights), embeddings)
    places = np.flatnonzero(rated)
    for learnt, held_out in StratifiedGroupKFold(FOLDS).split(places, quadrants, groups):
        heads = fitted(embeddings[places[learnt]], va[learnt], quadrants[learnt], weights[learnt])
        values[places[held_out]] = predicted(heads, embeddings[places[held_out]])
    return values


def annotated(clips: Sequence[Clip], folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which clips (n,) people have judged, and of those valence and arousal (k, 2), quadrants (k,), groups (k,).

    folder: 4Q's.
    """
    ratings = {row["song_id"]: row for row in read_table(folder / "metadata.csv")}

    def va_of(row: dict[str, str]) -> list[float]:
        return [float(row[name]) for name in ("valence", "arousal")]

    means = {
        name: np.mean(
            [va_of(row) for row in ratings.values() if row["quadrant"] == name and row["split"] != "test"], axis=0
        )
        for name in QUADRANTS
    }
    rated = [clip.source == RATED or clip.source.startswith(JUDGED) for clip in clips]
    va, quadrants, groups = [], [], []
    for clip in compress(clips, rated):
        stem = Path(clip.path).stem
        if clip.source == RATED:
            va.append(va_of(ratings[stem]))
            quadrants.append(ratings[stem]["quadrant"])
            groups.append(clip.group)
        else:
            va.append(means[stem[:2]])
            quadrants.append(stem[:2])
            groups.append(video(stem))
    return np.array(rated), np.array(va), np.array(quadrants), np.array(groups)


def by_heads(embeddings: np.ndarray, heads: Path) -> np.ndarray:
    """(n, 4) of embeddings (n, width) of `HEADED`: valence and arousal by the heads of `LISTENERS`."""
    with np.load(heads) as arrays:
        parts = [embeddings @ arrays[f"{name}_weight"] + arrays[f"{name}_bias"] for name in LISTENERS]
    return np.concatenate(parts, axis=1)


def write(pool: Path, clips: Sequence[Clip], values: dict[tuple[str, int], np.ndarray]) -> None:
    for shard, members in by_shard(clips).items():
        rows = max(clip.row for clip in members) + 1
        embeddings = np.full((rows, 1, len(next(iter(values.values())))), np.nan)
        for clip in members:
            embeddings[clip.row, 0] = values.get((shard, clip.row), np.nan)
        odds = np.exp(embeddings[..., 2 : 2 + len(QUADRANTS)])
        tags = odds / odds.sum(-1, keepdims=True)

        def save(partial: Path, arrays: tuple[np.ndarray, np.ndarray] = (embeddings, tags)) -> None:
            with open(partial, "wb") as file:
                np.savez(file, embeddings=arrays[0].astype(np.float16), tags=arrays[1].astype(np.float16))

        write_whole(pool / "labels" / TEACHER / f"{shard}.npz", save)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--like", type=Path, required=True, help="4Q folder with ratings and quadrants")
    parser.add_argument("--heads", type=Path, required=True, help=".npz of linear heads on MusiCNN's embedding")
    parser.add_argument("--teachers", nargs="+", default=list(TAGGERS), help="whose embeddings are used")
    args = parser.parse_args()
    clips = read_index(args.pool)
    labels = {name: load_labels(args.pool, clips, name) for name in dict.fromkeys([*args.teachers, HEADED])}
    known = np.all([each.present for each in labels.values()], axis=0)
    clips = [clip for clip, labelled in zip(clips, known, strict=True) if labelled]
    means = {name: each.embeddings[known].astype(np.float32).mean(1) for name, each in labels.items()}
    embeddings = np.concatenate([means[name] for name in args.teachers], axis=1)
    rated, va, quadrants, groups = annotated(clips, args.like)
    of_4q = np.array([clip.source == RATED for clip in clips])
    weights = np.where(of_4q[rated], 1.0, JUDGED_WEIGHT)
    values = emotions(embeddings, va, quadrants, groups, rated, weights)
    values = np.concatenate([values, by_heads(means[HEADED], args.heads)], axis=1)
    write(args.pool, clips, {(clip.shard, clip.row): each for clip, each in zip(clips, values, strict=True)})
    errors = values[of_4q, :2] - va[of_4q[rated]]
    right = quadrants == np.array(QUADRANTS)[values[rated, 2:6].argmax(1)]
    print(f"{len(clips)} clips; of 4Q out of fold: R2 {1 - errors.var(0) / va[of_4q[rated]].var(0)}")
    print(f"quadrants out of fold: 4Q {right[of_4q[rated]].mean():.3f}, EMOPIA {right[~of_4q[rated]].mean():.3f}")


if __name__ == "__main__":
    main()
