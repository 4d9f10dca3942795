"""The model folder that a training leaves: ready to use and to publish."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers.utils import SAFE_WEIGHTS_NAME

from m2e.datasets.registry import DATASETS, SLUGS
from m2e.publish.card import card
from m2e.publish.facts import FILE as CARD
from m2e.publish.facts import Facts
from m2e.publish.scores import EVALUATION
from m2e.storage import write_text
from m2e.training.log import FILE as LOG
from m2e.training.recipe import OWN, START, WEIGHTED, Recipe
from modeling_m2e import M2EForMusicEmotion, M2EProcessor, MusicEmotionPipeline
from modeling_m2e.weights_m2e import halve_file

Network = TypeVar("Network", bound=torch.nn.Module)
TASK_NAMES = {"mood": "moods", "va": "valence and arousal", "quadrant": "quadrants"}


def save_model(
    out: Path,
    model: M2EForMusicEmotion,
    processor: M2EProcessor,
    evaluation: Mapping[str, Any],
    facts: Facts,
    chords: Path | None = None,
) -> None:
    """Writes model, encoder, chord recogniser, evaluation, facts and card, in this order.

    chords: folder that the recogniser was loaded from; its facts are copied.
    """
    MusicEmotionPipeline(model=model, processor=processor, device="cpu").save_pretrained(out)
    halve_file(out / SAFE_WEIGHTS_NAME, model)
    _copy_chord_facts(chords, out / "chords")
    write_text(out / EVALUATION, json.dumps(evaluation, indent=1, ensure_ascii=False) + "\n")
    facts.save(out)
    write_text(out / "README.md", card(out))


@torch.no_grad()
def as_stored(model: Network) -> Network:
    """The model, its parameters rounded to half precision in place. The scores are then those of the saved weights,
    which `save_model` stores in half the space."""
    for parameter in model.parameters():
        parameter.copy_(parameter.half())
    return model


def _copy_chord_facts(source: Path | None, target: Path) -> None:
    folders = [] if source is None else [source / "chords", source]
    home = next((folder for folder in folders if (folder / CARD).is_file()), None)
    if home is not None and target.is_dir():
        for name in (CARD, EVALUATION, LOG):
            if (home / name).is_file():
                shutil.copy(home / name, target / name)


def make_facts(
    recipe: Recipe,
    file: str,
    ablations: Sequence[str],
    counts: Mapping[str, Mapping[str, int]],
    tasks: Sequence[str],
    epoch: int,
) -> Facts:
    """The facts of a model.

    file, ablations: of the recipe.  counts: tracks by data set and split.  epoch: whose weights these are.
    """
    training, notes = recipe.training, recipe.card
    slugs = [SLUGS.get(entry.reader, entry.reader) for entry in recipe.datasets.values()]
    losses = f"moods: {'class-weighted ' * recipe.objective.class_balanced}binary cross-entropy; valence and arousal: "
    losses += "mean squared error" if recipe.objective.va == "mse" else "1 - concordance correlation"
    best = ", the best on the validation sets" if training.choose == "best" else ""
    average = f"; moving average with decay {training.ema}" if training.ema else ""
    folders = " ".join(f"{name}={name.upper()}" for name in recipe.datasets)
    encoder = " --encoder WEIGHTS" if "nets" in (recipe.encoder or {}) else ""
    changed = "".join(f" {name}" for name in ["--ablation", *ablations]) if ablations else ""
    untrained = [TASK_NAMES[task] for task in ("mood", "va") if task not in tasks]
    limits = notes.limits or (
        "Trained on what is listed above: expect less of other repertoires, of speech and of very short sounds."
    )
    limits = f"{limits} Not for decisions about people."
    if untrained:
        limits = f"It was not trained on {' and '.join(untrained)}: ignore its predictions of them. {limits}"
    return Facts(
        name=recipe.name,
        license=recipe.license,
        summary=f"Trained on: {', '.join(TASK_NAMES[task] for task in tasks)}.",
        training=[
            *_data(recipe, counts),
            *notes.training,
            *([f"Continued from {Path(recipe.start).name}."] if recipe.start else []),
            f"Losses: {losses}.",
            *_teachers(recipe),
            f"Weights of epoch {epoch} of {training.epochs}{best}{average}. {_seeds(recipe)}",
            *_protocol(recipe),
            f"Command: `python train.py configuration/{file} --data {folders}{encoder} --out {recipe.name}{changed}`",
        ],
        limits=limits,
        license_notes=list(notes.license_notes),
        datasets=list(dict.fromkeys([*(slug for slug in slugs if slug in DATASETS), *notes.datasets])),
        evaluation=f"m2e evaluate --data NAME --folder FOLDER --model {recipe.name}",
    )


def _data(recipe: Recipe, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    full = {name: each for name, each in counts.items() if not recipe.datasets[name].train_only}
    data = "; ".join(f"{name} " + " / ".join(map(str, each.values())) for name, each in full.items())
    extra = [f"{name} {each['train']}" for name, each in counts.items() if name not in full]
    return [
        f"Data, training / validation / test tracks: {data}. Protocol {recipe.protocol}.",
        *([f"Training tracks alone, learnt in addition and never scored: {'; '.join(extra)}."] if extra else []),
    ]


def _teachers(recipe: Recipe) -> list[str]:
    objective = recipe.objective
    teachers = [entry.teacher for entry in recipe.datasets.values() if entry.teacher and objective.distillation]
    if not teachers:
        return []
    named = {OWN: "a teacher for each data set", START: "the model that training started from"}
    sources = ", ".join(sorted({named.get(teacher, Path(teacher).name) for teacher in teachers}))
    if objective.distillation == "targets":
        weights = ", ".join(f"{name} {objective.weight(name):g}" for name in WEIGHTED)
        scale = ", on the labels' prevalence, mean and deviation" if objective.align_teacher else ""
        return [f"Targets: labels mixed with the soft labels of {sources}{scale}; weights of the latter: {weights}."]
    return [
        f"Distillation ({objective.distillation}) from {sources} with weight {objective.loss_weight} and temperature "
        f"{objective.temperature}."
    ]


def _seeds(recipe: Recipe) -> str:
    if recipe.ensemble:
        return (
            f"Seeds {', '.join(map(str, recipe.seeds))}; these weights are the networks of all seeds, whose "
            "outputs are averaged (deep ensemble, Lakshminarayanan et al. 2017)."
        )
    return f"Seed {recipe.seeds[0]}, whatever it scored."


def _protocol(recipe: Recipe) -> list[str]:
    folds = recipe.folds and (
        f"Protocol: every choice was made on {recipe.folds} folds of train + validation, grouped by artist; the model "
        "learnt train + validation and was evaluated once on the test split."
    )
    calibrated = recipe.calibrate and (
        f"Calibration: Platt scaling on {'predictions out of fold' if recipe.folds else 'the validation sets'}; a "
        "mood's threshold selects as many tracks as carry it."
    )
    return [sentence for sentence in (folds, calibrated) if sentence]
