"""Coverage of the intervals of valence and arousal, by data set, seconds and spread of the members; their reliability.

    python benchmarks/uncertainty.py runs/m2e-small [--test 4q=4Q emotify=EMOTIFY] [--plot uncertainty.png]

RUN is a model that train.py wrote with its held-out predictions. Intervals are fitted on half of the tracks and
measured on the other half, many times; so each number is of tracks that neither the networks nor the intervals have
learnt. --test predicts the test splits of data sets of m2e-small's recipe and counts the labels inside the intervals
of the records; of data sets without a test split of the recipe's own (`train_only`) it takes validation and test.
Labels of a `relative` data set have no level of their own: they are counted as they are, and moved by the mean
difference of the tracks that were learnt.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from m2e import load
from m2e.datasets.registry import read_dataset
from m2e.training import held_out
from m2e.training.answers import LEVEL, MIN_LABELS, intervals
from m2e.training.held_out import HeldOut
from m2e.training.recipe import read_recipe
from modeling_m2e import M2EConfig
from modeling_m2e.answers_m2e import DIMENSIONS, FULL_SECONDS, Answers, Width

RECIPE = Path(__file__).resolve().parent.parent / "configuration" / "m2e-small.yaml"
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)
REPEATS = 20  # random halves
WHOLE = "whole tracks"


def half(each: HeldOut, rows: np.ndarray) -> HeldOut:
    """Some tracks of a data set."""
    parts = {name: array[rows] for name, array in vars(each).items() if name != "excerpt_seconds"}
    return replace(each, **parts)


def measured(
    tracks: Mapping[str, HeldOut], answers: Answers, level: float, rng: np.random.Generator
) -> dict[tuple[str, str, str], list[tuple[float, float]]]:
    """{(data set, dimension, group): (share inside, mean width) of each random half}."""
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for _ in range(REPEATS):
        orders = {name: rng.permutation(len(each)) for name, each in tracks.items()}
        learnt = [half(each, orders[name][: len(each) // 2]) for name, each in tracks.items()]
        fitted = intervals(learnt, answers, level)
        if fitted is None:
            raise SystemExit(f"uncertainty: too few tracks with valence and arousal, {MIN_LABELS} are needed.")
        for name, each in tracks.items():
            rest = half(each, orders[name][len(each) // 2 :])
            for axis, dimension in enumerate(DIMENSIONS):
                width: Width = getattr(fitted, dimension)
                for group, values, spread, seconds in groups(rest, axis):
                    predictions = answers.calibrated(values)[:, axis]
                    scale = width.scale(spread, seconds)
                    errors = rest.labels[:, axis] - predictions
                    known = ~np.isnan(errors)
                    if known.sum() < MIN_LABELS / 2:
                        continue
                    inside = (-width.below * scale <= errors) & (errors <= width.above * scale)
                    mean_width = float((scale * (width.below + width.above))[known].mean())
                    found.setdefault((name, dimension, group), []).append((float(inside[known].mean()), mean_width))
    return found


def groups(each: HeldOut, axis: int) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """(name, values (n, 2), spread (n,), seconds (n,)) of whole tracks, of thirds by spread, and of excerpts.

    Values are NaN where a track is in no such group."""
    spread = each.spread[:, axis]
    rows = [(WHOLE, each.va, spread, each.seconds)]
    if np.ptp(spread) > 0:
        low, high = np.quantile(spread, [1 / 3, 2 / 3])
        for name, inside in (("members agree", spread <= low), ("members disagree", spread >= high)):
            rows.append((name, np.where(inside[:, None], each.va, np.nan), spread, each.seconds))
    for place, seconds in enumerate(each.excerpt_seconds.tolist()):
        if seconds < FULL_SECONDS:
            values, part = each.excerpt_va[:, place], each.excerpt_spread[:, place, axis]
            rows.append((f"{seconds:g} s", values, part, np.full(len(each), seconds)))
    return rows


def of_records(pipe: Any, folders: Mapping[str, str]) -> list[dict[str, Any]]:
    """Share of the labels of unlearnt tracks inside the intervals of their records, and the mean width."""
    rows, recipe = [], read_recipe(RECIPE)
    for name, folder in folders.items():
        entry = recipe.datasets[name]
        splits = ("validation", "test") if entry.train_only else ("test",)
        every = read_dataset(entry.reader, folder, **entry.options).to_list()
        tracks = [each for each in every if each["split"] in splits]
        learnt = [each for each in every if each["split"] == "train"] if entry.relative else []
        records, of_learnt = ([pipe(each["audio"], harmony=True) for each in some] for some in (tracks, learnt))
        for dimension in DIMENSIONS:
            ends = np.array([getattr(record, f"{dimension}_interval") for record in records])
            labels = np.array([each[dimension] for each in tracks], dtype=np.float64)
            about = {"dataset": name, "dimension": dimension}
            width = float(np.ptp(ends, axis=1).mean())
            levels = {f"{', '.join(splits)}: {len(tracks)}": 0.0}
            if learnt:  # only differences were learnt; these tracks tell where they lie
                pairs = zip(of_learnt, learnt, strict=True)
                levels["the same, moved as the tracks that were learnt"] = float(
                    np.mean([getattr(record, dimension) - each[dimension] for record, each in pairs])
                )
            for which, level in levels.items():
                inside = (ends[:, 0] <= labels + level) & (labels + level <= ends[:, 1])
                rows.append(about | {"tracks": which, "coverage": float(inside.mean()), "width": width})
    return rows


def plot(shares: Mapping[tuple[str, str], Sequence[float]], file: Path) -> None:
    """The reliability diagram: share of labels inside, by the level of the intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 3.4))
    axes = figure.add_axes((0.16, 0.15, 0.8, 0.8))
    axes.plot([0.45, 0.95], [0.45, 0.95], color="#59636e", linewidth=0.8, label="as promised")
    lines = {"valence": ("#0072B2", "o", "-"), "arousal": ("#D55E00", "s", "--")}
    for index, ((name, dimension), values) in enumerate(shares.items()):
        color, marker, style = lines[dimension]
        fade = 1 - 0.5 * (index // 2) / max(1, len(shares) // 2)
        axes.plot(LEVELS, values, style, color=color, marker=marker, alpha=fade, label=f"{name}, {dimension}", ms=4)
    axes.set(xlim=(0.45, 0.95), ylim=(0.45, 0.95), aspect="equal", xlabel="level", ylabel="share of labels inside")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=7, loc="upper left")
    figure.savefig(file, dpi=200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--plot", type=Path, help="draw the reliability diagram")
    parser.add_argument("--output", type=Path, help="write the numbers as JSON")
    parser.add_argument("--test", nargs="+", default=[], metavar="NAME=FOLDER", help="data sets to predict")
    args = parser.parse_args()
    config = M2EConfig.from_pretrained(args.run)
    answers = replace(Answers.read(config.answers, config.num_labels), intervals=None)
    tracks = held_out.load(args.run)
    by_level = {level: measured(tracks, answers, level, np.random.default_rng(0)) for level in LEVELS}
    table = Table("data set", "", "tracks", "share inside", "mean width", title=f"{LEVEL:.0%} intervals")
    rows = []
    for (name, dimension, group), pairs in by_level[LEVEL].items():
        inside, mean_width = np.mean(pairs, axis=0).round(3).tolist()
        rows.append({"dataset": name, "dimension": dimension, "tracks": group, "coverage": inside, "width": mean_width})
        table.add_row(name, dimension, group, f"{inside:.3f}", f"{mean_width:.2f}")
    for row in of_records(load(args.run), dict(each.split("=", 1) for each in args.test)) if args.test else ():
        rows.append(row)
        table.add_row(row["dataset"], row["dimension"], row["tracks"], f"{row['coverage']:.3f}", f"{row['width']:.2f}")
    Console().print(table)
    shares = {
        (name, dimension): [float(np.mean(by_level[level][name, dimension, WHOLE], axis=0)[0]) for level in LEVELS]
        for name, dimension, group in by_level[LEVEL]
        if group == WHOLE
    }
    if args.output:
        reliability = [{"dataset": a, "dimension": b, "levels": LEVELS, "shares": c} for (a, b), c in shares.items()]
        args.output.write_text(json.dumps({"intervals": rows, "reliability": reliability}, indent=1) + "\n")
    if args.plot:
        plot(shares, args.plot)


if __name__ == "__main__":
    main()
