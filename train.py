"""Trains music emotion models from a recipe: a teacher per data set where the recipe says so, then the model itself.

    python train.py configuration/fine-tune.yaml --data FOLDER --out runs/mine
    python train.py configuration/mert-95m.yaml --data mtg-jamendo=J deam=D emomusic=E pmemo=P --out runs/mert-95m
    python train.py configuration/m2e-small.yaml --data 4q=4Q emopia=EMOPIA --taggers WEIGHTS --chords runs/chords \
        --out runs/m2e-small

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

from m2e.errors import TrainingError

try:  # those of the extra come first
    import datasets  # noqa: F401
    from accelerate import Accelerator
    from accelerate.utils import set_seed
except ImportError as error:
    sys.exit(f'train: training needs {error.name}: install it with pip install "m2e[train]".')

import numpy as np
from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from m2e.checkpoints.load import embedded_model
from m2e.evaluation.metrics import summary
from m2e.evaluation.report import report, result
from m2e.evaluation.score import Evaluation
from m2e.features.cache import ROOT, default_folder
from m2e.training import folds
from m2e.training.calibration import calibrate
from m2e.training.data import Material, load_parts, moods_of, read_datasets, with_features
from m2e.training.loop import Fitted, fit, make_accelerator
from m2e.training.network import continued, fit_scale, new_network, silence
from m2e.training.output import make_facts, save_model
from m2e.training.packed import Source, learnt_tasks, mood_frequencies
from m2e.training.recipe import OWN, START, Recipe, parse_setting, read_recipe
from m2e.training.teachers import TABLES, ModelTeacher, Teacher, model_teacher, table_teacher
from m2e.training.validation import evaluate, predict
from modeling_m2e import M2EForMusicEmotion, M2EProcessor
from modeling_m2e.configuration_m2e import JAMENDO_MOODS

SPLITS = ("train", "validation", "test")
RESAMPLES = 1000  # of the bootstrap of the scores' intervals


@dataclass(frozen=True)
class Run:
    """What all models of a run share.

    start: the model that they continue, if any.  chords: where the recogniser came from.  folders: of the data sets.
    file: of the recipe.  ablations: those that were asked for.
    """

    accelerator: Accelerator
    processor: M2EProcessor
    start: M2EForMusicEmotion | None
    chords: Path | None
    folders: Mapping[str, str]
    file: Path
    ablations: Sequence[str] = ()

    def tell(self, sentence: str) -> None:
        """Once, whatever the number of processes; on stderr, where a progress bar makes room for it."""
        if self.accelerator.is_main_process:
            print(sentence, file=sys.stderr, flush=True)


# --- one training -----------------------------------------------------------------------------------------------------


def train(
    recipe: Recipe, data: Mapping[str, Material], moods: Sequence[str], seed: int, out: Path, folder: Path, run: Run
) -> tuple[Fitted, tuple[str, ...]]:
    """The model of one seed, calibrated, and the tasks that it has learnt.

    out: of the first seed's model, by which its teachers are found.  folder: for this seed's checkpoint and log.
    """
    learnt, held_out = ([s for each in data.values() if len(s := each.source(split, moods))] for split in SPLITS[:2])
    if not learnt:
        raise TrainingError(f"No track of {', '.join(data)} is in the split train.")
    frequencies = mood_frequencies(learnt) if recipe.objective.class_balanced and moods else None
    settings = {"num_quadrants": 4} if "quadrant" in learnt_tasks(learnt) else {}
    set_seed(seed)
    if run.start is None:
        model = new_network(settings | recipe.model, moods, frequencies, learnt)
    else:
        model = continued(run.start, settings | recipe.model, moods, frequencies)
        fit_scale(model, learnt)
    if recipe.objective.distillation:
        learnt = [with_teacher(source, recipe, data[source.name], model.config, out, run) for source in learnt]
    if mute := [source.name for source in learnt if not learnt_tasks([source])]:
        raise TrainingError(f"No training track of {', '.join(mute)} has a label, and no teacher knows one.")
    fitted = fit(
        model,
        learnt,
        recipe.training,
        recipe.objective,
        seed,
        run.accelerator,
        held_out,
        folder,
        report=lambda row: run.tell(describe(recipe, row)),
        visible=run.accelerator.is_main_process and sys.stderr.isatty(),
    )
    tasks = learnt_tasks(learnt)
    silence(fitted.model, tasks)
    if recipe.calibrate:
        tagged = [source for source in held_out if "mood" in source.tasks]
        pairs = [(predict(fitted.model, each)["mood_logits"], each.labels.moods[each.rows]) for each in tagged]
        if pairs:
            calibrate(fitted.model.config, *map(np.concatenate, zip(*pairs, strict=True)))
    return fitted, tasks


def with_teacher(source: Source, recipe: Recipe, data: Material, config, out: Path, run: Run) -> Source:
    """The source with what else says how its tracks feel, to a student of this configuration."""
    reference = recipe.datasets[source.name].teacher
    found: Teacher
    if reference is None:
        return source
    if Path(reference).suffix in TABLES:
        found = table_teacher(reference, data.dataset["id"][:], data.dataset["audio"][:], config)
    elif reference == START:
        found = ModelTeacher(copy.deepcopy(run.start), config)
    else:
        place = teacher_folder(out, source.name) if reference == OWN else reference
        found = model_teacher(place, run.processor, config)
    return replace(source, teacher=found.to(run.accelerator.device))


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


def train_model(recipe: Recipe, data: Mapping[str, Material], out: Path, run: Run) -> None:
    """Leaves the model of the first seed in ``out``, whatever it scores, with the scores of all on the test sets."""
    moods = moods_of(recipe, [each.dataset for each in data.values()], run.start)
    judged = [source for each in data.values() if (source := each.source("test", moods)).tasks]
    over_seeds, shipped = [], None
    for seed in recipe.seeds:
        fitted, tasks = train(recipe, data, moods, seed, out, out / "seeds" / str(seed) if shipped else out, run)
        found = {source.name: evaluate(fitted.model, source, 0 if shipped else RESAMPLES) for source in judged}
        over_seeds.append({f"{name}.{key}": value for name, e in found.items() for key, value in e.scores.items()})
        shipped = shipped or (fitted, tasks, found)

    fitted, tasks, found = shipped
    evaluation = {"results": [_result(recipe, name, scored, run) for name, scored in found.items()]}
    if len(recipe.seeds) > 1:
        evaluation |= {"seeds": list(recipe.seeds), "over_seeds": summary(over_seeds)}
    if run.accelerator.is_main_process:
        counts = {name: {split: len(each.rows(split)) for split in SPLITS} for name, each in data.items()}
        facts = make_facts(recipe, run.file.name, run.ablations, counts, tasks, fitted.epoch)
        save_model(out, fitted.model, run.processor, evaluation, facts, run.chords)
        for name, scored in found.items():
            Console().print(report(f"{recipe.name} on {name}, test: {scored.tracks} tracks", scored))
    run.accelerator.wait_for_everyone()  # a student may wait for it


def _result(recipe: Recipe, name: str, evaluation: Evaluation, run: Run) -> dict:
    entry = recipe.datasets[name]
    return result(recipe.name, entry.reader, run.folders[name], "test", recipe.protocol, entry.options, evaluation)


# --- the run ----------------------------------------------------------------------------------------------------------


def train_recipe(args: argparse.Namespace) -> None:
    recipe = read_recipe(args.recipe, args.ablation, dict(map(parse_setting, args.set)))
    folders = data_folders(recipe, args.data)
    accelerator = make_accelerator(recipe.training.mixed_precision)
    processor, start = load_parts(recipe, args.taggers, args.chords)
    chords = args.chords or (embedded_model() if start is None else Path(start.name_or_path))
    run = Run(accelerator, processor, start, chords, folders, args.recipe, args.ablation)
    with accelerator.main_process_first():  # it may have to render or to download
        datasets = read_datasets(recipe, folders)
    if recipe.folds:  # nothing else of them is heard
        for name, each in datasets.items():
            datasets[name] = each.select(np.flatnonzero(np.array(each["split"][:]) == "train"))
    data = {}
    for name, dataset in datasets.items():
        cache = default_folder(recipe.datasets[name].reader, folders[name], args.features)
        data[name] = with_features(name, dataset, processor, cache, accelerator, run.tell)
    if recipe.folds:
        beside = [each.source("train", JAMENDO_MOODS) for each in data.values()]
        folder, cache = Path(folders[folds.NAME]), args.features / folds.NAME
        folds.run(recipe, folder, processor, cache, args.out, accelerator, beside, chords, run.tell)
        return
    for name, entry in recipe.datasets.items():
        if entry.teacher == OWN and recipe.objective.distillation:
            train_model(recipe.alone(name), {name: data[name]}, teacher_folder(args.out, name), run)
    train_model(recipe, data, args.out, run)
    run.tell(f"The model is in {args.out}: m2e predict --model {args.out} song.mp3")


def data_folders(recipe: Recipe, given: Sequence[str]) -> dict[str, str]:
    """Folder by data set, of NAME=FOLDER or, where the recipe has one data set, FOLDER. Raises TrainingError."""
    wanted = [folds.NAME] * bool(recipe.folds) + list(recipe.datasets)
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
    options.add_argument("recipe", type=Path, help="see configuration/")
    options.add_argument("--data", nargs="+", required=True, metavar="[NAME=]FOLDER", help="your copies of the data")
    options.add_argument("--out", type=Path, required=True, help="folder of the model; teachers lie beside it")
    options.add_argument("--features", type=Path, default=ROOT, help="where features are cached")
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
        train_recipe(args)
    except (ValueError, OSError, TrainingError) as error:
        sys.exit(f"train: {error}")
    except KeyboardInterrupt:
        sys.exit("train: interrupted; the same command goes on after the last finished epoch.")


if __name__ == "__main__":
    main()
