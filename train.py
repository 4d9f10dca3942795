"""Trains the models of this project from a recipe: emotion models, each after its teachers, and chord recognisers.

    python train.py configuration/fine-tune.yaml --data FOLDER --out runs/mine
    python train.py configuration/mert-95m.yaml --data mtg-jamendo=J deam=D emomusic=E pmemo=P --out runs/mert-95m
    python train.py configuration/m2e-small.yaml --data 4q=4Q emopia=EMOPIA emotify=EMOTIFY \
        productions=PRODUCTIONS compositions=COMPOSITIONS --out runs/m2e-small
    python train.py configuration/chords.yaml --features RENDERED LABELLED --out runs/chords

Features are computed once and cached. The same command resumes an interrupted run; use torchrun for several processes
or GPUs. See docs/training.md.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from m2e.errors import M2EError, TrainingError

try:  # the packages of the extra first
    import datasets  # noqa: F401
    from accelerate import Accelerator  # noqa: F401
except ImportError as error:
    sys.exit(f'train: training needs {error.name}: install it with pip install "m2e[train]".')

from transformers.utils.logging import disable_progress_bar

from m2e.checkpoints.load import embedded_model
from m2e.features.cache import ROOT, default_folder
from m2e.training import chords
from m2e.training.data import load_parts, read_datasets, with_features
from m2e.training.loop import make_accelerator
from m2e.training.model import Run, teacher_folder, train_model
from m2e.training.recipe import OWN, Recipe, recipe_of
from m2e.training.settings import parse_setting, read_settings

TASKS = ("emotion", "chords")  # of a recipe; the first is the default


def train_emotion(args: argparse.Namespace, content: Mapping[str, Any]) -> None:
    """Trains the teachers of a recipe, then its model."""
    recipe = recipe_of(args.recipe, content)
    folders = data_folders(recipe, args.data or [])
    if args.features and len(args.features) > 1:
        raise TrainingError("--features names several folders: give the one where features are cached.")
    cache = args.features[0] if args.features else ROOT
    accelerator = make_accelerator(recipe.training.mixed_precision)
    with accelerator.main_process_first():  # it may have to render or to download
        tables, ids = read_datasets(recipe, folders)
    processor, start = load_parts(recipe, args.encoder, args.chords)
    source = args.chords or (embedded_model() if start is None else Path(str(start.name_or_path)))
    run = Run(accelerator, processor, start, source, folders, args.recipe, args.ablation)
    data = {}
    for name, table in tables.items():
        folder = default_folder(recipe.datasets[name].reader, folders[name], cache)
        data[name] = with_features(name, table, processor, folder, accelerator, run.report, folders[name], ids[name])
    for name, entry in recipe.datasets.items():
        if entry.teacher == OWN and recipe.objective.distillation:
            train_model(recipe.alone(name), {name: data[name]}, teacher_folder(args.out, name), run)
    train_model(recipe, data, args.out, run)
    run.report(f"The model is in {args.out}: m2e predict --model {args.out} song.mp3")


def train_chords(args: argparse.Namespace, content: Mapping[str, Any]) -> None:
    """Trains a chord recogniser."""
    if not args.features:
        raise TrainingError("A chord recogniser is trained on features: give their folders by --features.")
    chords.train(chords.recipe_of(args.recipe, content), args.features, args.out)
    print(f"The chord recogniser is in {args.out / 'chords'}: m2e chords --model {args.out} song.mp3", file=sys.stderr)


def data_folders(recipe: Recipe, given: Sequence[str]) -> dict[str, str]:
    """Folder by data set, of NAME=FOLDER or, where the recipe has one data set, FOLDER. Raises TrainingError."""
    wanted = list(recipe.datasets)
    if len(wanted) == 1 and len(given) == 1:
        return {wanted[0]: given[0].removeprefix(f"{wanted[0]}=")}
    if wrong := [each for each in given if "=" not in each]:
        raise TrainingError(f"--data {wrong[0]} does not say which data set it is: give NAME=FOLDER.")
    folders = dict(each.split("=", 1) for each in given)
    if missing := set(wanted) - folders.keys():
        raise TrainingError(f"{recipe.name} is trained on {', '.join(sorted(missing))} too: give --data NAME=FOLDER.")
    return folders


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("recipe", type=Path, help="YAML file, see configuration/")
    options.add_argument(
        "--data", action="extend", nargs="+", metavar="[NAME=]FOLDER", help="your copies of the data sets"
    )
    options.add_argument("--out", type=Path, required=True, help="folder of the model; teachers are saved next to it")
    options.add_argument(
        "--features",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help=f"feature cache (default: {ROOT}); for chords, the folders of CQT chunks, the first scales the input",
    )
    options.add_argument(
        "--encoder",
        type=Path,
        metavar="FOLDER",
        help="folder of an m2e-encoder (default: that of the package), or of published tagger weights",
    )
    options.add_argument("--chords", type=Path, help="folder with a chord recogniser (default: that of m2e-small)")
    options.add_argument(
        "--ablation", action="extend", nargs="+", default=[], metavar="NAME", help="apply ablations of the recipe"
    )
    options.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change settings of the recipe: training.epochs=3",
    )
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    args = parser().parse_args(arguments)
    disable_progress_bar()  # of every file that is read and written
    try:
        content = read_settings(args.recipe, args.ablation, dict(map(parse_setting, args.set)))
        task = content.pop("task", TASKS[0])
        if task not in TASKS:
            raise TrainingError(f"{args.recipe} has the task {task!r}: choose {' or '.join(TASKS)}.")
        (train_chords if task == "chords" else train_emotion)(args, content)
    except M2EError as error:
        sys.exit(f"train: {error}")
    except KeyboardInterrupt:
        sys.exit("train: interrupted; the same command resumes after the last finished epoch.")


if __name__ == "__main__":
    main()
