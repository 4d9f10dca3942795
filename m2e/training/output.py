"""What comes of a training: a model folder that can be used and published as it is."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils import SAFE_WEIGHTS_NAME

from m2e.datasets.registry import DATASETS, SLUGS
from m2e.publish.card import card
from m2e.publish.facts import FILE as CARD
from m2e.publish.facts import Facts
from m2e.publish.scores import EVALUATION
from m2e.training.checkpoint import write_text
from m2e.training.log import FILE as LOG
from m2e.training.recipe import OWN, START, Recipe
from modeling_m2e import M2EForMusicEmotion, M2EProcessor, MusicEmotionPipeline
from modeling_m2e.weights_m2e import halve_file

TASK_NAMES = {"mood": "moods", "va": "valence and arousal", "quadrant": "quadrants"}


def save_model(
    out: Path,
    model: M2EForMusicEmotion,
    processor: M2EProcessor,
    evaluation: Mapping[str, Any],
    facts: Facts | None,
    chords: Path | None = None,
) -> None:
    """Writes model, encoder, chord recogniser, evaluation, facts and card; the evaluation comes last but one.

    facts: None where another one writes them, and the card.  chords: folder that the recogniser was loaded from, whose
    facts go with it.
    """
    MusicEmotionPipeline(model=model, processor=processor, device="cpu").save_pretrained(out)
    halve_file(out / SAFE_WEIGHTS_NAME, model)
    _copy_chord_facts(chords, out / "chords")
    write_text(out / EVALUATION, json.dumps(evaluation, indent=1, ensure_ascii=False) + "\n")
    if facts is not None:
        facts.save(out)
        write_text(out / "README.md", card(out))


@torch.no_grad()
def as_stored(model: torch.nn.Module) -> torch.nn.Module:
    """The model, its parameters rounded to what half precision holds, so that `save_model` stores them in half the
    space; what is scored is then what is saved."""
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
    training, objective = recipe.training, recipe.objective
    slugs = [SLUGS.get(entry.reader, entry.reader) for entry in recipe.datasets.values()]
    data = "; ".join(
        f"{name} " + " / ".join(str(found[split]) for split in ("train", "validation", "test"))
        for name, found in counts.items()
    )
    teachers = [entry.teacher for entry in recipe.datasets.values() if entry.teacher and objective.distillation]
    named = {OWN: "a teacher for each data set", START: "the model that training started from"}
    taught = {named.get(teacher, Path(teacher).name) for teacher in teachers}
    losses = f"moods: {'class-weighted ' * objective.class_balanced}binary cross-entropy; valence and arousal: " + (
        "mean squared error" if objective.va == "mse" else "1 - concordance correlation"
    )
    chosen = (
        f"Weights of epoch {epoch} of {training.epochs}"
        + (", the best on the validation sets" if training.choose == "best" else "")
        + (f"; moving average with decay {training.ema}" if training.ema else "")
        + f". Seed {recipe.seeds[0]}, whatever it scored."
    )
    folders = " ".join(f"{name}={name.upper()}" for name in recipe.datasets)
    changed = "".join(f" {name}" for name in ["--ablation", *ablations]) if ablations else ""
    unlearnt = [TASK_NAMES[task] for task in ("mood", "va") if task not in tasks]
    limits = (
        "Trained on what is listed above: expect less of other repertoires, of speech and of very short sounds. "
        "Not for decisions about people."
    )
    if unlearnt:
        limits = f"It has not learnt {' and '.join(unlearnt)}: what it says of them means nothing. {limits}"
    return Facts(
        name=recipe.name,
        license=recipe.license,
        summary=f"Learnt here: {', '.join(TASK_NAMES[task] for task in tasks)}.",
        training=[
            f"Data, training / validation / test tracks: {data}. Protocol {recipe.protocol}.",
            *([f"Continued from {Path(recipe.start).name}."] if recipe.start else []),
            f"Losses: {losses}.",
            *(
                [
                    f"Distillation ({objective.distillation}) from {', '.join(sorted(taught))} with weight "
                    f"{objective.teacher_weight} and temperature {objective.temperature}."
                ]
                if taught
                else []
            ),
            chosen,
            f"Command: `python train.py configuration/{file} --data {folders} --out {recipe.name}{changed}`",
        ],
        limits=limits,
        datasets=[slug for slug in slugs if slug in DATASETS],
        evaluation=f"m2e evaluate --data NAME --folder FOLDER --model {recipe.name}",
    )
