"""Soft moods of a source of the pool, by the mood CNN: a table that recipes take as the teacher of a data set.

    python -m m2e.training.encoder.moods POOL OUT.csv --source emopia-FluidR3_GM --like 4Q

`label` must have run with the teacher "mood_cnn". OUT.csv gets `path`, the name of a track's file, and `mood_LABEL` for
MTG-Jamendo's 56 moods: the mean of the track's clips. Log-odds are moved as in 4Q, where a mood that AllMusic words
mean gets the words' prevalence over the training clips, so that a mood is as probable in both data sets.
"""

import argparse
import csv
import io
from collections import defaultdict
from pathlib import Path

import numpy as np

from m2e.datasets.encoder.labels import load_labels
from m2e.datasets.encoder.pool import read_index
from m2e.datasets.registry import read_dataset
from m2e.evaluation.data import labels_of
from m2e.storage import write_text
from m2e.training.soft_labels import prevalence_shift, read_soft_labels
from modeling_m2e.configuration_m2e import JAMENDO_MOODS
from modeling_m2e.output_m2e import sigmoid

TEACHER = "mood_cnn"


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    bounded = np.clip(probabilities, 1e-6, 1 - 1e-6)
    return np.log(bounded) - np.log1p(-bounded)


def by_file(pool: Path, source: str) -> dict[str, np.ndarray]:
    """{name of a file: mean log-odds (56,) over its clips}. Raises DataError."""
    clips = read_index(pool, [source])
    labels = load_labels(pool, clips, TEACHER)
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for row in np.flatnonzero(labels.present).tolist():
        tags = labels.tags[row].astype(np.float64).mean(0)
        found[Path(clips[row].path).name].append(log_odds(tags))
    return {name: np.mean(each, axis=0) for name, each in found.items()}


def shifts(folder: Path) -> np.ndarray:
    """(56,) what is added to log-odds so that the training clips of the 4Q folder, with the teacher's moods in
    soft_labels.npz, have the prevalence of their words; 0 where no word means the mood. Raises TrainingError."""
    tracks = read_dataset("4q", folder).to_list()
    ids, audio = ([track[name] for track in tracks] for name in ("id", "audio"))
    columns = {name: [track[name] for track in tracks] for name in ("moods", "valence", "arousal", "quadrant")}
    train = np.array([track["split"] == "train" for track in tracks])
    labels = np.nan_to_num(labels_of(columns, JAMENDO_MOODS)[0].moods[train])
    odds = log_odds(read_soft_labels(folder / "soft_labels.npz", ids, audio, JAMENDO_MOODS).moods[train])
    return np.array(
        [prevalence_shift(odds[:, tag], share) if 0 < share < 1 else 0.0 for tag, share in enumerate(labels.mean(0))]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--source", required=True, help="of the pool")
    parser.add_argument("--like", type=Path, required=True, help="4Q folder with soft_labels.npz")
    args = parser.parse_args()
    moved = shifts(args.like)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", *(f"mood_{mood}" for mood in JAMENDO_MOODS)])
    for name, odds in sorted(by_file(args.pool, args.source).items()):
        table.writerow([name, *np.round(sigmoid(odds + moved), 5).tolist()])
    write_text(args.out, text.getvalue())


if __name__ == "__main__":
    main()
