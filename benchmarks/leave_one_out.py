"""Does what is learnt on some data sets hold on another? Each is left out in turn, with harmony and without.

    python benchmarks/leave_one_out.py configuration/leave-one-out.yaml --data 4q=4Q emopia=EMOPIA emotify=EMOTIFY \
        --out runs/leave-one-out

The networks learn the training and validation splits of all data sets but one (training alone, where the recipe
chooses the best epoch by validation), without songs and artists of the one that is left out; they are scored on all its
tracks. This is the question of arXiv 2510.04688. "Without" is the same recipe with `model.use_harmony: false`: no
chords, key or statistics of harmony. Predictions are the mean over the seeds of the recipe. Only what both sides have
labels of is scored: tasks, and moods that occur in training. Intervals are of 95 %, by bootstrap over tracks; that of a
difference is by paired resamples. Features are cached, and the same command resumes. OUT gets leave-one-out.json and
leave-one-out.md.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from documents import put
from transformers.utils.logging import disable_progress_bar

from m2e.datasets.protocols import shared_with
from m2e.errors import M2EError, TrainingError
from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import NO_QUADRANT
from m2e.evaluation.paired import difference, sampled
from m2e.evaluation.paper_tables import bounds, grid, number
from m2e.evaluation.score import SCORE_NAMES
from m2e.features.cache import ROOT as FEATURES
from m2e.features.cache import default_folder
from m2e.storage import write_text
from m2e.training.data import Material, load_parts, moods_of, read_datasets, with_features
from m2e.training.folds import Rows
from m2e.training.loop import make_accelerator
from m2e.training.model import Run, Trainer
from m2e.training.recipe import Recipe, parse_setting, read_recipe
from m2e.training.validation import emotions, predict

ROOT = Path(__file__).resolve().parent.parent
SCORES = {  # by task
    "quadrant": ("quadrant_f1",),
    "va": ("pearson_valence", "pearson_arousal", "r2_valence", "r2_arousal"),
    "mood": ("mood_roc_auc", "mood_pr_auc"),
}
HARMONY = {"with": {}, "without": {"use_harmony": False}}  # settings of the model


def case(recipe: Recipe, left_out: str, model: Mapping[str, Any]) -> Recipe:
    """The recipe of the networks that never see a data set."""
    kept = {name: replace(each, train_only=False) for name, each in recipe.datasets.items() if name != left_out}
    return replace(recipe, datasets=kept, folds=None, calibrate=False, model=recipe.model | dict(model))


def rows_of(trainer: Trainer, shared: Mapping[str, Sequence[int]]) -> tuple[Rows, Rows]:
    """(learnt, held out to choose the best epoch by): the rows of every data set, without the shared ones."""
    last = trainer.recipe.training.choose == "last"
    learnt = trainer.rows("train", "validation") if last else trainer.rows("train")
    learnt = {name: np.setdiff1d(rows, shared[name]) for name, rows in learnt.items()}
    return learnt, {} if last else trainer.rows("validation")


def comparable(labels: Emotions, learnt: Sequence[Emotions], tasks: Sequence[str]) -> Emotions:
    """The labels of the tasks and moods that the networks have learnt; all others are missing."""
    known = np.sum([np.nansum(each.moods, axis=0) for each in learnt], axis=0) > 0
    moods = np.where(known & ("mood" in tasks), labels.moods, np.nan)
    va = labels.va if "va" in tasks else np.full_like(labels.va, np.nan)
    quadrants = labels.quadrants if "quadrant" in tasks else np.full_like(labels.quadrants, NO_QUADRANT)
    return Emotions(moods, va, quadrants)


def scored_names(labels: Emotions) -> list[str]:
    """The scores that these labels allow."""
    there = {
        "quadrant": (labels.quadrants != NO_QUADRANT).any(),
        "va": not np.isnan(labels.va).all(),
        "mood": not np.isnan(labels.moods).all(),
    }
    return [name for task, names in SCORES.items() if there[task] for name in names]


def measure(
    recipe: Recipe, left_out: str, data: Mapping[str, Material], out: Path, run: Run, resamples: int
) -> list[dict[str, Any]]:
    """A row for every score on the data set that is left out."""
    moods = moods_of(recipe, [each.dataset for name, each in data.items() if name != left_out], run.start)
    target, found, counts = data[left_out], {}, {}
    tracks = target.tracks(np.arange(len(target.dataset)), moods)
    shared = shared_with(left_out, {name: each.dataset for name, each in data.items()})
    for harmony, model in HARMONY.items():
        chosen = case(recipe, left_out, model)
        sources = {name: data[name] for name in chosen.datasets}
        trainer, outputs = Trainer(chosen, sources, moods, out / left_out / harmony, run), []
        learnt, held_out = rows_of(trainer, shared)
        for seed in recipe.seeds:
            fitted, tasks = trainer.train(learnt, held_out, seed, trainer.out / str(seed))
            outputs.append(predict(fitted.model, tracks))
        mean = {name: np.mean([each[name] for each in outputs], axis=0) for name in outputs[0]}
        seen = [each.labels(moods)[learnt[name]] for name, each in sources.items()]
        labels, counts = comparable(tracks.labels, seen, tasks), {name: len(rows) for name, rows in learnt.items()}
        found[harmony] = sampled(labels, emotions(mean, fitted.model.config), scored_names(labels), resamples)
    rows = []
    for name, with_harmony in found["with"].items():
        gain = difference(found["without"][name], with_harmony)
        rows.append(
            {
                "left_out": left_out,
                "learnt": counts,
                "tracks": len(tracks),
                "score": name,
                **{key: {"value": each[name].value, "interval": each[name].interval()} for key, each in found.items()},
                "difference": {"value": gain.value, "interval": [gain.low, gain.high], "harmony_helps": gain.verdict},
            }
        )
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table."""
    header = ["left out", "tracks", "learnt", "score", "with harmony", "without", "difference", "harmony helps"]
    lines = []
    for row in rows:
        cells = [f"{number(row[key]['value'])} ({bounds(row[key]['interval'])})" for key in HARMONY]
        gain = row["difference"]
        cells += [f"{number(gain['value'], signed=True)} ({bounds(gain['interval'])})", gain["harmony_helps"]]
        learnt = ", ".join(f"{name} {count:,}" for name, count in row["learnt"].items())
        lines.append([row["left_out"], f"{row['tracks']:,}", learnt, SCORE_NAMES[row["score"]], *cells])
    return grid(header, lines)


def run(args: argparse.Namespace) -> None:
    """All steps."""
    from train import data_folders

    recipe = read_recipe(args.recipe, settings=dict(map(parse_setting, args.set)))
    if len(recipe.datasets) < 2:
        raise TrainingError(f"{recipe.name} has one data set: to leave one out, give a recipe with several.")
    folders = data_folders(recipe, args.data)
    whole = {name: replace(each, train_only=False) for name, each in recipe.datasets.items()}
    tables, ids = read_datasets(replace(recipe, datasets=whole), folders)
    processor, start = load_parts(recipe, args.encoder, args.chords)
    shared = Run(make_accelerator(recipe.training.mixed_precision), processor, start, args.chords, folders, args.recipe)
    data = {}
    for name, table in tables.items():
        cache = default_folder(recipe.datasets[name].reader, folders[name], args.features)
        data[name] = with_features(
            name, table, processor, cache, shared.accelerator, shared.report, folders[name], ids[name]
        )
    rows = []
    for left_out in data:
        rows += measure(recipe, left_out, data, args.out, shared, args.resamples)
        content = {"recipe": args.recipe.name, "settings": args.set, "seeds": list(recipe.seeds), "rows": rows}
        write_text(args.out / "leave-one-out.json", json.dumps(content, indent=1) + "\n")
    write_text(args.out / "leave-one-out.md", markdown(rows) + "\n")
    print(markdown(rows))
    if args.publish:
        put(ROOT / "docs" / "results.md", {"numbers: leave-one-out": markdown(rows)})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="names the encoder, the data sets and the network")
    parser.add_argument(
        "--data", action="extend", nargs="+", required=True, metavar="NAME=FOLDER", help="your copies of the data sets"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the networks and results")
    parser.add_argument("--features", type=Path, default=FEATURES, help=f"feature cache (default: {FEATURES})")
    parser.add_argument("--encoder", type=Path, help="folder of an m2e-encoder, or of published tagger weights")
    parser.add_argument("--chords", type=Path, help="folder of a chord recogniser (default: that of m2e-small)")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="change settings of the recipe"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default: 1000)")
    parser.add_argument("--publish", action="store_true", help="put the table into docs/results.md")
    args = parser.parse_args(arguments)
    disable_progress_bar()
    try:
        run(args)
    except M2EError as error:
        sys.exit(f"leave_one_out: {error}")
    except KeyboardInterrupt:
        sys.exit("leave_one_out: interrupted; the same command resumes.")


if __name__ == "__main__":
    sys.path.append(str(ROOT))  # of train.py
    main()
