"""Tables I to IV of arXiv 2502.03979 and its students against their teachers, trained here, beside the paper's.

    python benchmarks/paper.py --data mtg-jamendo=J deam=D emomusic=E pmemo=P --out runs/paper
    python benchmarks/paper.py ... --only II III --protocol clean --seeds 0 1 2 --encoder configuration/clap.yaml

Prints a plan first (models, hours, disk, what exists), then trains what is missing and writes OUT/tables.md and
OUT/tables.json: paper, ours, difference, 95 % intervals, and whether the paper's claims hold (paired bootstrap over
test tracks). The same command resumes: features by track, models by epoch. Models that several tables need are trained
once. Table IV quotes other systems, and scores those whose predictions --mediaeval names (see benchmarks/mediaeval.py).
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from paper_plan import plan
from transformers.utils.logging import disable_progress_bar

from m2e.checkpoints.load import embedded_model
from m2e.errors import DataError, M2EError, TrainingError
from m2e.evaluation import paper_tables as tables
from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import NO_QUADRANT
from m2e.evaluation.paired import Sampled, sampled
from m2e.evaluation.paper_results import PUBLISHED
from m2e.features.cache import ROOT as FEATURES
from m2e.features.cache import default_folder
from m2e.storage import write_text, write_whole
from m2e.training.data import Material, load_parts, moods_of, read_datasets, with_features
from m2e.training.loop import make_accelerator
from m2e.training.model import Run, train_model
from m2e.training.recipe import Recipe, read_recipe
from m2e.training.settings import parse_setting, read_settings
from m2e.training.validation import emotions, predict
from modeling_m2e import M2EForMusicEmotion

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "configuration" / "mert-95m-paper.yaml"
PREDICTIONS = "predictions.npz"


def recipe_of(args: argparse.Namespace, changes: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe with the options of the command, then with changes."""
    settings: dict[str, Any] = dict(map(parse_setting, args.set)) | {"protocol": args.protocol}
    if args.encoder:
        settings |= {"encoder": encoder_of(args.encoder)}
    if args.partial:
        settings |= {f"datasets.{name}.options.check": "partial" for name in tables.PAPER_TRACKS}
    if args.protocol == "clean":
        settings |= {"datasets.deam.options.labels": "corrected"}
    return read_recipe(args.recipe, settings=settings | dict(changes or {}))


def encoder_of(text: str) -> dict[str, Any]:
    """The encoder in JSON, or that of a recipe. Raises TrainingError."""
    if text.endswith((".yaml", ".yml")):
        encoder = read_settings(text).get("encoder")
    else:
        encoder = parse_setting(f"encoder={text}")[1]
    if not isinstance(encoder, dict):
        raise TrainingError(f"--encoder {text} is neither JSON nor a recipe with an encoder.")
    return encoder


def place(out: Path, row: tables.Row, seed: int) -> Path:
    """The folder of a model."""
    return out / "models" / f"{row.name.replace(' ', '-')}-seed{seed}"


def train_row(row: tables.Row, seed: int, args: argparse.Namespace, data: Mapping[str, Material], run: Run) -> None:
    """Trains a model, and keeps its predictions for the test sets."""
    folder = place(args.out, row, seed)
    if (folder / PREDICTIONS).is_file():
        return
    recipe = recipe_of(args, row.settings | {"seeds": [seed], "name": f"paper-{row.name.replace(' ', '-')}"})
    if row.taught:
        single = {tables.INITIALS[each.data]: place(args.out, each, seed) for each in tables.SINGLE}
        entries = {name: replace(each, teacher=str(single[name])) for name, each in recipe.datasets.items()}
        recipe = replace(recipe, datasets=entries)
    own = {name: data[name] for name in recipe.datasets}
    train_model(recipe, own, folder, run)
    model, arrays = M2EForMusicEmotion.from_pretrained(folder), {}
    moods = moods_of(recipe, [each.dataset for each in own.values()], None)
    for name, each in own.items():
        rows = each.rows("test")
        found = emotions(predict(model, each.tracks(rows, moods)), model.config)
        labels = each.labels(moods)[rows]
        arrays |= {f"{name}/{key}": values for key, values in arrays_of(labels, found).items()}
    arrays["moods"] = np.array(moods, dtype=str)

    def write(partial: Path) -> None:
        with open(partial, "wb") as file:
            np.savez(file, **arrays)

    write_whole(folder / PREDICTIONS, write)


def arrays_of(labels: Emotions, found: Emotions) -> dict[str, np.ndarray]:
    """Labels and predictions as arrays by name."""
    both = {"labels": labels, "scored": found}
    return {f"{kind}_{key}": getattr(each, key) for kind, each in both.items() for key in ("moods", "va")}


def loaded(folder: Path, dataset: str) -> tuple[Emotions, Emotions, list[str]]:
    """(labels, predictions, moods) of a test set as `train_row` left them."""
    with np.load(folder / PREDICTIONS, allow_pickle=False) as arrays:
        kinds = {kind: [arrays[f"{dataset}/{kind}_{key}"] for key in ("moods", "va")] for kind in ("labels", "scored")}
        moods = arrays["moods"].tolist()
    none = np.full(len(kinds["labels"][0]), NO_QUADRANT)
    return Emotions(*kinds["labels"], none), Emotions(*kinds["scored"], none), moods


def scores_of(rows: Sequence[tables.Row], args: argparse.Namespace) -> dict[str, dict[str, dict[str, list[Sampled]]]]:
    """All scores of all models on their test sets."""
    made: dict[str, dict[str, dict[str, list[Sampled]]]] = {}
    for row in rows:
        for name in row.datasets:
            for seed in args.seeds:
                labels, found, _ = loaded(place(args.out, row, seed), name)
                each = sampled(labels, found, PUBLISHED[name].scores, args.resamples)
                for score, value in each.items():
                    made.setdefault(row.name, {}).setdefault(name, {}).setdefault(score, []).append(value)
    return made


# --- tables ---


def table_one(data: Mapping[str, Material]) -> str:
    """The tracks of every split, the paper's and ours."""
    rows = []
    for name, each in data.items():
        counts = [len(each.rows(split)) for split in ("train", "validation", "test")]
        paper = " / ".join(f"{count:,}" for count in tables.PAPER_TRACKS[name])
        rows.append([tables.NAMES[name], paper, " / ".join(f"{count:,}" for count in counts)])
    return "## Table I: data sets\n\n" + tables.grid(["data set", "paper: train / validation / test", "here"], rows)


def others(args: argparse.Namespace) -> dict[str, dict[str, Sampled]]:
    """The systems of Table IV whose predictions are there, on the same tracks as ours. Raises DataError."""
    if args.mediaeval is None:
        return {}
    from mediaeval import SYSTEMS
    from mediaeval import emotions as moods_alone

    labels, _, moods = loaded(place(args.out, tables.STUDENT, args.seeds[0]), "mtg-jamendo")
    truth = np.load(args.mediaeval / "groundtruth.npy", allow_pickle=False)
    if truth.shape != labels.moods.shape or not (truth == labels.moods).all():
        raise DataError(f"{args.mediaeval} holds other tracks or tags than the test split here: omit --mediaeval.")
    found = {}
    for system, file in SYSTEMS.items():
        predictions = moods_alone(np.load(args.mediaeval / f"{file}_predictions.npy", allow_pickle=False))
        found[system] = sampled(labels, predictions, PUBLISHED["mtg-jamendo"].scores, args.resamples)
    return found


def table_four(scores: tables.Scores, scored: Mapping[str, Mapping[str, Sampled]]) -> dict[str, Any]:
    """Ours among the systems on MTG-Jamendo; those that are scored are compared by paired resamples."""
    ours = scores[tables.ALL]["mtg-jamendo"]
    rows, claims = tables.cells(tables.ALL, "mtg-jamendo", scores), []
    for result in PUBLISHED["mtg-jamendo"].results:
        if result.table != "IV":
            continue
        for name, value in result.scores.items():
            each = scored.get(result.system, {}).get(name)
            interval = [float("nan")] * 2 if each is None else list(each.interval())
            rows.append(
                {
                    "row": result.system + ("" if each else " (quoted)"),
                    "dataset": "mtg-jamendo",
                    "score": name,
                    "paper": value,
                    "ours": None if each is None else each.value,
                    "difference": None if each is None else each.value - value,
                    "interval": interval,
                }
            )
    for system, by_score in scored.items():
        both = {tables.ALL: {"mtg-jamendo": ours}, system: {"mtg-jamendo": {n: [s] for n, s in by_score.items()}}}
        claims += tables.judged(tables.Claim("IV", system, tables.ALL, "mtg-jamendo"), both)
    return {"rows": rows, "claims": claims}


TITLES = {
    "II": "Table II: encoder, harmony, both",
    "III": "Table III: joint training",
    "IV": "Table IV: others on MTG-Jamendo",
    "students": "Students against their teachers, and without any",
}


def write_tables(data: Mapping[str, Material], args: argparse.Namespace, recipe: Recipe) -> str:
    """The tables as Markdown; both files are written."""
    scores = scores_of(tables.rows_of(args.only), args)
    content: dict[str, Any] = {"protocol": args.protocol, "seeds": args.seeds, "encoder": recipe.encoder, "tables": {}}
    texts = [f"Protocol {args.protocol}; seeds {', '.join(map(str, args.seeds))}; encoder {recipe.encoder}."]
    if "I" in args.only:
        texts.append(table_one(data))
    for name in (each for each in tables.TABLES if each in args.only and each != "I"):
        made = table_four(scores, others(args)) if name == "IV" else tables.table(name, scores)
        content["tables"][name] = made
        texts.append(tables.markdown(TITLES[name], made))
    write_text(args.out / "tables.json", json.dumps(content, indent=1) + "\n")
    text = "\n\n".join(texts) + "\n"
    write_text(args.out / "tables.md", text)
    return text


# --- the command ---


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--data", action="extend", nargs="+", required=True, metavar="NAME=FOLDER", help="your copies of the data sets"
    )
    options.add_argument("--out", type=Path, required=True, help="folder of the models and tables")
    options.add_argument("--only", nargs="+", choices=tables.TABLES, default=list(tables.TABLES), help="tables to make")
    options.add_argument("--protocol", choices=("paper", "clean"), default="paper", help="splits (default: paper)")
    options.add_argument("--seeds", type=int, nargs="+", default=[0], help="train every model with each (default: 0)")
    options.add_argument("--encoder", help="recipe whose encoder is used, or an encoder in JSON (default: the paper's)")
    options.add_argument("--recipe", type=Path, default=RECIPE, help="how models are trained (default: as the paper's)")
    options.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="change settings of the recipe"
    )
    options.add_argument("--features", type=Path, default=FEATURES, help=f"feature cache (default: {FEATURES})")
    options.add_argument("--chords", type=Path, help="folder of a chord recogniser (default: that of m2e-small)")
    options.add_argument("--mediaeval", type=Path, help="folder of groundtruth.npy and SYSTEM_predictions.npy")
    options.add_argument("--partial", action="store_true", help="skip missing and unreadable files of the data sets")
    options.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default: 1000)")
    options.add_argument("--plan", action="store_true", help="print the plan and stop")
    return options


def run(args: argparse.Namespace) -> None:
    """All steps."""
    args.out = args.out / args.protocol
    recipe = recipe_of(args)
    from train import data_folders

    folders = data_folders(recipe, args.data)
    try:
        splits, ids = read_datasets(recipe, folders)
    except DataError as error:
        raise DataError(f"{str(error).partition(' with --set ')[0].rstrip('.')} (--partial).") from None
    processor, _ = load_parts(recipe, None, args.chords)
    rows = tables.rows_of(args.only)
    todo = [
        (row, seed) for row in rows for seed in args.seeds if not (place(args.out, row, seed) / PREDICTIONS).is_file()
    ]
    caches = {name: default_folder(recipe.datasets[name].reader, folders[name], args.features) for name in splits}
    print(plan(recipe, splits, processor, caches, rows, todo, args.seeds), flush=True)
    if args.plan:
        return
    accelerator: Accelerator = make_accelerator(recipe.training.mixed_precision)
    shared = Run(accelerator, processor, None, args.chords or embedded_model(), folders, args.recipe)
    data = {
        name: with_features(name, table, processor, caches[name], accelerator, shared.report, folders[name], ids[name])
        for name, table in splits.items()
    }
    for row, seed in todo:
        train_row(row, seed, args, data, shared)
    print(write_tables(data, args, recipe))
    print(f"The tables are in {args.out}.")


def main(arguments: Sequence[str] | None = None) -> None:
    args = parser().parse_args(arguments)
    disable_progress_bar()
    try:
        run(args)
    except M2EError as error:
        sys.exit(f"paper: {error}")
    except KeyboardInterrupt:
        sys.exit("paper: interrupted; the same command resumes.")


if __name__ == "__main__":
    sys.path.append(str(ROOT))  # of train.py
    main()
