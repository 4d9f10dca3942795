"""How long the models of all tables of the paper take, on features of the real size: the plan against the clock.

    python benchmarks/paper_hours.py [--threads 2] [--epochs 1] [--scale 1]

The features are those of `benchmarks/training.py`, with a planted signal. Every model that `benchmarks/paper.py` trains
is trained for a few epochs with the paper's recipe, its students by the teachers among them; the hours of all epochs
follow, because every epoch has the same tracks. Nothing else may run. Computing the features takes longer and depends
on the machine: `paper.py --plan` tells. At full size the table in docs/paper.md is written.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from documents import put
from paper import RECIPE
from paper_plan import track_seconds
from training import SIZES, Planted, plant, train

from m2e.evaluation import paper_tables as tables
from m2e.training.recipe import Recipe, read_recipe
from m2e.training.teachers import ModelTeacher
from modeling_m2e.configuration_m2e import JAMENDO_MOODS

DOCS = Path(__file__).resolve().parent.parent / "docs" / "paper.md"


def measured(rows: list[tables.Row], planted: Mapping[str, Planted], epochs: int) -> list[tuple[tables.Row, float]]:
    """(model, seconds) of training with validation."""
    found, teachers = [], {}
    for row in rows:
        recipe = read_recipe(RECIPE, settings=row.settings | {"training.epochs": epochs})
        own = {name: planted[name] for name in row.datasets}
        model, took = train(recipe, own, teachers if row.taught else {}, list(JAMENDO_MOODS))
        found.append((row, took["with_validation_s"]))
        print(f"{row.name:22}{found[-1][1]:8.1f} s", flush=True)
        if row in tables.SINGLE:
            (name,) = row.datasets
            model.config.trained_tasks = list(planted[name].sources["train"].tasks)
            teachers[name] = lambda config, model=model: ModelTeacher(model, config)
    return found


def table(found: list[tuple[tables.Row, float]], recipe: Recipe, planted: Mapping[str, Planted], about: str) -> str:
    """Hours by the plan and by the clock, for all epochs of the recipe."""
    epochs, lines, sums = recipe.training.epochs, [], [0.0, 0.0]
    for row, seconds in found:
        tracks = sum(len(planted[name].sources["train"]) for name in row.datasets)
        hours = tracks * epochs * track_seconds(recipe, row) / 3600, seconds * epochs / 3600
        sums = [total + each for total, each in zip(sums, hours, strict=True)]
        lines.append([row.name, f"{tracks:,}", *(f"{each:.2f}" for each in hours), f"{hours[1] / hours[0]:.2f}"])
    lines.append(["all", "", *(f"{each:.1f}" for each in sums), f"{sums[1] / sums[0]:.2f}"])
    return about + "\n\n" + tables.grid(["model", "tracks", "planned, hours", "measured, hours", "ratio"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=1, help="of every model")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of tracks")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    planted = {}
    for name, size in SIZES.items():
        planted[name] = plant(name, replace(size, tracks=tuple(round(args.scale * count) for count in size.tracks)))
    recipe = read_recipe(RECIPE)
    found = measured(tables.rows_of(tables.TABLES), planted, args.epochs)
    shared = [(row, seconds / args.epochs) for row, seconds in found]
    about = (
        f"Training of all models, {recipe.training.epochs} epochs each, on {args.threads} CPU cores; measured: "
        f"{args.epochs} epoch of each, on simulated features of the real size (`python benchmarks/paper_hours.py`):"
    )
    text = table(shared, recipe, planted, about)
    print(text)
    if args.scale == 1:
        put(DOCS, {"numbers: hours": text})


if __name__ == "__main__":
    main()
