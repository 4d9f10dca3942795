"""Trains music emotion models from a recipe: a teacher per data set where the recipe says so, then the model itself.

    python train.py configuration/fine-tune.yaml --data FOLDER --out runs/mine
    python train.py configuration/mert-95m.yaml --data mtg-jamendo=J deam=D emomusic=E pmemo=P --out runs/mert-95m
    python train.py configuration/m2e-small.yaml --data 4Q --taggers WEIGHTS --chords runs/chords --out runs/m2e-small

Features are computed once and cached. A run that is stopped at any moment goes on by the same command; on several
processes or GPUs it runs under torchrun. See docs/training.md.

Read top to bottom: one training, one model (several seeds, scores, a folder), the run (data, teachers, the model).
"""

import argparse
import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed
from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from m2e.evaluation import Evaluation
from m2e.evaluation_report import report
from m2e.hub import embedded_model
from m2e.metrics import summary
from m2e.training import panda4q
from m2e.training.calibration import calibrate
from m2e.training.loop import Fitted, TrainingError, fit, make_accelerator
from m2e.training.material import Heard, feature_folder, hear, load_parts, moods_of, read_datasets
from m2e.training.network import continued, fit_scale, new_network, silence
from m2e.training.output import make_facts, result, save_model
from m2e.training.recipe import OWN, START, Recipe, RecipeError, parse_setting, read_recipe
from m2e.training.teachers import TABLES, ModelTeacher, Teacher, model_teacher, table_teacher
from m2e.training.tracks import learnt_tasks, mood_frequencies
from m2e.training.validation import evaluate, predict
from modeling_m2e import M2EForMusicEmotion, M2EProcessor

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Workshop:
    """What all models of a run share.

    start: the model that they continue, if any.  chords: where the recogniser came from.  folders: of the data sets.
    file: of the recipe.  resamples: of the scores' intervals.
    """

    accelerator: Accelerator
    processor: M2EProcessor
    start: M2EForMusicEmotion | None
    chords: Path | None
    folders: Mapping[str, str]
    file: Path
    resamples: int = 1000


# --- one training -----------------------------------------------------------------------------------------------------


def train(
    recipe: Recipe, heard: Mapping[str, Heard], moods: Sequence[str], seed: int, out: Path, folder: Path, shop: Workshop
) -> tuple[Fitted, tuple[str, ...]]:
    """The model of one seed, calibrated, and the tasks that it has learnt.

    out: of the first seed's model, by which its teachers are found.  folder: for this seed's checkpoint and log.
    """
    learnt, held_out = (
        [source for each in heard.values() if len(source := each.source(split, moods))] for split in SPLITS[:2]
    )
    if not learnt_tasks(learnt):
        raise RecipeError(f"No training track of {', '.join(heard)} has a label.")
    frequencies = mood_frequencies(learnt) if recipe.objective.class_balanced and moods else None
    settings = {"num_quadrants": 4} if "quadrant" in learnt_tasks(learnt) else {}
    set_seed(seed)
    if shop.start is None:
        model = new_network(settings | recipe.model, moods, frequencies, learnt)
    else:
        model = continued(shop.start, settings | recipe.model, moods, frequencies)
        fit_scale(model, learnt)
    if recipe.objective.distillation:
        learnt = [
            replace(source, teacher=teacher(recipe, heard[source.name], model.config, out, shop)) for source in learnt
        ]
    main = shop.accelerator.is_main_process
    fitted = fit(
        model,
        learnt,
        recipe.training,
        recipe.objective,
        seed,
        shop.accelerator,
        held_out,
        folder,
        report=lambda row: print(describe(recipe, row), flush=True),
        visible=main and sys.stderr.isatty(),
    )
    tasks = learnt_tasks(learnt)
    silence(fitted.model, tasks)
    if recipe.calibrate:
        tagged = [source for source in held_out if "mood" in source.tasks]
        pairs = [(predict(fitted.model, each)["mood_logits"], each.labels.moods[each.rows]) for each in tagged]
        if pairs:
            calibrate(fitted.model.config, *map(np.concatenate, zip(*pairs, strict=True)))
    return fitted, tasks


def teacher(recipe: Recipe, heard: Heard, config, out: Path, shop: Workshop) -> Teacher | None:
    """What else says how the tracks of a data set feel, to a student of this configuration."""
    reference = recipe.datasets[heard.name].teacher
    if reference is None:
        return None
    if Path(reference).suffix in TABLES:
        return table_teacher(reference, heard.dataset["id"][:], heard.dataset["audio"][:], config)
    if reference == START:
        found = ModelTeacher(copy.deepcopy(shop.start), config)
    else:
        found = model_teacher(
            teacher_folder(out, heard.name) if reference == OWN else reference, shop.processor, config
        )
    found.model.to(shop.accelerator.device)
    return found


def teacher_folder(out: Path, dataset: str) -> Path:
    """Where the teacher of one data set lies: beside the model."""
    return out.with_name(f"{out.name}-teacher-{dataset}")


def describe(recipe: Recipe, row: dict) -> str:
    """A row of the log in a line."""
    losses = ", ".join(f"{name} {task} {v:.3f}" for name, by in row["losses"].items() for task, v in by.items())
    score = "" if row.get("score") is None else f"; score {row['score']:.4f}"
    rate = f"{row['tracks_per_second']:.0f} tracks a second"
    return f"{recipe.name}: epoch {row['epoch']} of {recipe.training.epochs}: {losses}{score}; {rate}"


# --- one model --------------------------------------------------------------------------------------------------------


def train_model(recipe: Recipe, heard: Mapping[str, Heard], out: Path, shop: Workshop) -> dict[str, Evaluation]:
    """The scores on the test sets of what is then in ``out``: the model of the first seed, whatever it scores."""
    moods = moods_of(recipe, [each.dataset for each in heard.values()], shop.start)
    judged = [source for each in heard.values() if (source := each.source("test", moods)).tasks]
    over_seeds, shipped = [], None
    for seed in recipe.seeds:
        fitted, tasks = train(recipe, heard, moods, seed, out, out / "seeds" / str(seed) if shipped else out, shop)
        resamples = 0 if shipped else shop.resamples
        found = {source.name: evaluate(fitted.model, source, resamples) for source in judged}
        over_seeds.append({f"{name}.{key}": value for name, e in found.items() for key, value in e.scores.items()})
        shipped = shipped or (fitted, tasks, found)

    fitted, tasks, found = shipped
    results = [result(recipe, name, shop.folders[name], "test", evaluation) for name, evaluation in found.items()]
    evaluation = {"results": results}
    if len(recipe.seeds) > 1:
        evaluation |= {"seeds": list(recipe.seeds), "over_seeds": summary(over_seeds)}
    if shop.accelerator.is_main_process:
        counts = {name: {split: len(each.rows(split)) for split in SPLITS} for name, each in heard.items()}
        facts = make_facts(recipe, shop.file.name, counts, tasks, fitted.epoch)
        save_model(out, fitted.model, shop.processor, evaluation, facts, shop.chords)
        for name, scored in found.items():
            Console().print(report(f"{recipe.name} on {name}, test: {scored.tracks} tracks", scored))
    shop.accelerator.wait_for_everyone()  # a student may wait for it
    return found


# --- the run ----------------------------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> None:
    recipe = read_recipe(args.recipe, args.ablation, dict(map(parse_setting, args.set)))
    accelerator = make_accelerator(recipe.training.mixed_precision)

    def tell_once(sentence: str) -> None:
        if accelerator.is_main_process:
            print(sentence, flush=True)

    processor, start = load_parts(recipe, args.taggers, args.chords)
    chords = args.chords or (embedded_model() if start is None else Path(start.name_or_path))
    if recipe.folds is not None:
        folder, cache = Path(args.data[0].removeprefix(f"{panda4q.NAME}=")), args.features / panda4q.NAME
        panda4q.run(recipe, folder, processor, cache, args.out, accelerator, chords, tell_once)
        return

    folders = data_folders(recipe, args.data)
    heard = {}
    for name, dataset in read_datasets(recipe, folders).items():
        cache = feature_folder(args.features, name, recipe.datasets[name].reader, folders[name])
        heard[name] = hear(name, dataset, processor, cache, accelerator, tell_once)
    shop = Workshop(accelerator, processor, start, chords, folders, args.recipe)
    for name, entry in recipe.datasets.items():
        if entry.teacher == OWN and recipe.objective.distillation:
            train_model(recipe.alone(name), {name: heard[name]}, teacher_folder(args.out, name), shop)
    train_model(recipe, heard, args.out, shop)
    tell_once(f"The model is in {args.out}: m2e predict --model {args.out} song.mp3")


def data_folders(recipe: Recipe, given: Sequence[str]) -> dict[str, str]:
    """Folder by data set, of NAME=FOLDER or, where the recipe has one data set, FOLDER. Raises RecipeError."""
    if len(recipe.datasets) == 1 and len(given) == 1:
        name = next(iter(recipe.datasets))
        return {name: given[0].removeprefix(f"{name}=")}
    if wrong := [each for each in given if "=" not in each]:
        raise RecipeError(f"--data {wrong[0]} does not say which data set it is: give NAME=FOLDER.")
    return dict(each.split("=", 1) for each in given)


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("recipe", type=Path, help="see configuration/")
    options.add_argument("--data", nargs="+", required=True, metavar="[NAME=]FOLDER", help="your copies of the data")
    options.add_argument("--out", type=Path, required=True, help="folder of the model; teachers lie beside it")
    options.add_argument("--features", type=Path, default=Path("runs/features"), help="where features are cached")
    options.add_argument("--taggers", type=Path, metavar="WEIGHTS", help="folder with the published tagger weights")
    options.add_argument("--chords", type=Path, help="folder with a chord recogniser; m2e-small's if not given")
    options.add_argument("--ablation", nargs="+", default=[], metavar="NAME", help="of the recipe's ablations")
    options.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="another value in the recipe: training.epochs=3"
    )
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    args = parser().parse_args(arguments)
    disable_progress_bar()  # of every file that is read and written
    try:
        run(args)
    except (ValueError, OSError, TrainingError) as error:
        sys.exit(f"train: {error}")
    except KeyboardInterrupt:
        sys.exit("train: interrupted; the same command goes on after the last finished epoch.")


if __name__ == "__main__":
    main()
