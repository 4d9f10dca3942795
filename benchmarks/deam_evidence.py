"""Evidence that DEAM swaps valence and arousal for ids up to 1000, as a Markdown table.

    python benchmarks/deam_evidence.py FEATURES_CSV [--deam FOLDER --emomusic FOLDER]

FEATURES_CSV: song_id, valence_mean and arousal_mean as published, and audio features, one row per song. The two folders
hold the static annotations of both releases; with them, the releases are compared too.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict

from m2e.datasets.archive import need, read_table
from m2e.datasets.deam import SWAPPED_UP_TO
from m2e.errors import M2EError

TREES = 300
LABELS = ("song_id", "valence_mean", "arousal_mean")
Table = list[tuple[str, ...]]


def by_audio(path: Path, trees: int = TREES) -> Table:
    """Header and rows: how well audio features explain arousal, as published and with the swap undone."""
    rows = read_table(path)
    features = np.array([[float(cell) for name, cell in row.items() if name not in LABELS] for row in rows])
    songs, valence, arousal = (np.array([float(row[name]) for row in rows]) for name in LABELS)
    old = songs <= SWAPPED_UP_TO
    corrected = np.where(old, valence, arousal)
    forest = RandomForestRegressor(trees, max_features=1 / 3, min_samples_leaf=2, random_state=0)
    predicted = forest.fit(features[~old], arousal[~old]).predict(features[old])
    folds = KFold(5, shuffle=True, random_state=0)
    table: Table = [("arousal predicted from audio", "as published", "swapped back")]
    pairs = arousal[old], corrected[old]
    where = f"trained on the {(~old).sum()} ids > {SWAPPED_UP_TO}, on the {old.sum()} others"
    table += [
        (f"{where}: correlation", *(f"{np.corrcoef(predicted, labels)[0, 1]:.3f}" for labels in pairs)),
        (f"{where}: R2", *(f"{r2_score(labels, predicted):.3f}" for labels in pairs)),
    ]
    scores = [r2_score(y, cross_val_predict(forest, features, y, cv=folds)) for y in (arousal, corrected)]
    return [*table, ("five folds of all: R2", *(f"{score:.3f}" for score in scores))]


def by_release(deam: Path, emomusic: Path) -> Table:
    """Header and rows: correlations between the columns of the two releases, over the songs of both."""
    ours, theirs = (
        {row["song_id"]: row for row in read_table(need(folder, *names))}
        for folder, names in (
            (deam, ("static_annotations_averaged_songs_1_2000.csv", "static_annotations.csv")),
            (emomusic, ("static_annotations.csv",)),
        )
    )
    songs = sorted(ours.keys() & theirs.keys(), key=int)
    quantities = [(dimension, moment) for dimension in ("valence", "arousal") for moment in ("mean", "std")]

    def column(rows: dict[str, dict[str, str]], dimension: str, moment: str) -> np.ndarray:
        names = f"{dimension}_{moment}", f"{moment}_{dimension}"
        return np.array([float(next(rows[song][name] for name in names if name in rows[song])) for song in songs])

    table: Table = [(f"DEAM's, {len(songs)} songs", *(f"EmoMusic's {d} {m}" for d, m in quantities))]
    for quantity in quantities:
        ratings = column(ours, *quantity)
        correlations = [np.corrcoef(ratings, column(theirs, *other))[0, 1] for other in quantities]
        table.append((" ".join(quantity), *(f"{r:.4f}" for r in correlations)))
    return table


def markdown(table: Table) -> str:
    """The table in Markdown."""
    header, *rows = table
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--deam", type=Path, help="DEAM's annotations")
    parser.add_argument("--emomusic", type=Path, help="EmoMusic's annotations")
    args = parser.parse_args()
    try:
        print(markdown(by_audio(args.features)))
        if args.deam and args.emomusic:
            print("\n" + markdown(by_release(args.deam, args.emomusic)))
    except M2EError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
