"""Trains the chord recogniser (BTC) on cached CQT chunks.

    python train.py configuration/chords.yaml --features RENDERED LABELLED --out runs/chords

The folders are those of datasets_scripts.chords.cqt_chunks and, optionally, datasets_scripts.chords.pseudo_labels.
Read top to bottom: recipe, data, augmentation, validation, loop. The same command resumes an interrupted run.
"""

import copy
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, set_seed
from torch.nn.functional import cross_entropy
from transformers.utils import SAFE_WEIGHTS_NAME

from m2e.datasets.chords.cqt_chunks import MARGIN
from m2e.errors import TrainingError
from m2e.publish.facts import Facts
from m2e.training import checkpoint
from m2e.training.log import FILE as LOG
from m2e.training.log import Log
from m2e.training.output import as_stored
from m2e.training.settings import above_zero, one_of, section, within
from modeling_m2e.chord_decoding_m2e import THIRDS
from modeling_m2e.chord_labels_m2e import QUALITIES, ROOTS
from modeling_m2e.chords_m2e import BINS
from modeling_m2e.modeling_btc import BTCConfig, BTCModel
from modeling_m2e.weights_m2e import halve_file

CHORDS = len(ROOTS) * len(QUALITIES)  # the classes before X and N
UNTRUSTED, IGNORED = 255, -100  # class of a frame without a trusted label: in files, in the loss

# --- recipe ---


@dataclass(frozen=True)
class Stage:
    """One stage of the training, in which the learning rate falls to zero once.

    batch_size: chunks of 108 frames.  learning_rate: the peak, AdamW.  clip_norm: of the gradient.
    repeats: how often an epoch passes the chunks of each feature folder.
    least_confidence: labels by another recogniser are ignored below this probability.
    balance: exponent of the loss weights of rare qualities; 0: none.  take_back: how much of these weights is removed
    from the saved biases.  prior: what is added to the saved biases, by quality or N.
    gain, equalizer, noise_floor: of `augment`.  mixed_precision: "no", "bf16" or "fp16".  model: fields of BTCConfig.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    clip_norm: float
    repeats: tuple[int, ...]
    least_confidence: float
    balance: float
    take_back: float
    prior: dict[str, float]
    gain: float
    equalizer: float
    noise_floor: tuple[float, ...]
    mixed_precision: str
    model: dict[str, Any]

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "clip_norm"):
            above_zero(name, getattr(self, name))
        within("least_confidence", self.least_confidence, 0, 1)
        one_of("mixed_precision", self.mixed_precision, ("no", "bf16", "fp16"))
        if len(self.noise_floor) != 2:
            raise TrainingError(f"noise_floor is {list(self.noise_floor)}: give the lowest and the highest level.")


@dataclass(frozen=True)
class ChordRecipe:
    """One chord recogniser. card: the facts for its model card."""

    seed: int
    stages: tuple[Stage, ...]
    card: Facts


def recipe_of(path: str | Path, content: Mapping[str, Any]) -> ChordRecipe:
    """The recipe with the content of a YAML file. What a stage sets holds for the later ones. Raises TrainingError."""
    parts = {name: content[name] for name in ("seed", "stages", "card") if name in content}
    common = {name: value for name, value in content.items() if name not in parts}
    given = parts.get("stages")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise TrainingError(f"{path} has no list of stages: give settings for each, at least its epochs.")
    stages = []
    for number, each in enumerate(given, 1):
        common = common | each | {"model": (common.get("model") or {}) | (each.get("model") or {})}
        stages.append(section(Stage, common, f"{path}, stage {number}"))
    return section(ChordRecipe, parts | {"stages": stages}, str(path))


# --- data ---


def load_chunks(folder: Path, split: str, least_confidence: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 108, 168) float16 features and (n, 108) uint8 classes of all files of a split; UNTRUSTED where another
    recogniser's label is less certain than `least_confidence`. Raises TrainingError."""
    features, labels = [], []
    for path in sorted(folder.glob(f"{split}-*.npz")):
        with np.load(path) as data:
            features.append(data["features"])
            labels.append(data["labels"])
            if "confidence" in data:
                labels[-1] = np.where(data["confidence"] < least_confidence, UNTRUSTED, labels[-1]).astype(np.uint8)
    if not features:
        raise TrainingError(f"{folder} holds no {split}-*.npz: run datasets_scripts.chords.cqt_chunks first.")
    return np.concatenate(features), np.concatenate(labels)


def quality_weights(labels: np.ndarray, exponent: float) -> torch.Tensor:
    """(170,) loss weights: (share of the most frequent quality / share of a class's quality) ** exponent, at most 5,
    so that rare qualities are learnt too. The same for all roots, as every song is trained in every key."""
    counts = np.bincount(labels.ravel(), minlength=256)[: CHORDS + 2].astype(float)
    qualities = np.append(np.tile(counts[:CHORDS].reshape(-1, len(QUALITIES)).sum(0), len(ROOTS)), counts[CHORDS:])
    weights = (qualities.max() / np.maximum(qualities, 1)) ** exponent
    return torch.from_numpy(np.minimum(weights, 5.0)).float()


def prior(offsets: Mapping[str, float]) -> torch.Tensor:
    """(170,) what is added to the log-probability of each class, given by quality, or N."""
    per_quality = torch.tensor([offsets.get(quality, 0.0) for quality in QUALITIES])
    return torch.cat([per_quality.repeat(len(ROOTS)), torch.tensor([offsets.get(name, 0.0) for name in ("X", "N")])])


def crop(features: np.ndarray, labels: np.ndarray, shifts: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Chunks transposed by ``shifts`` semitones (-6...6): another crop of the CQT, other roots. X and N stay."""
    starts = MARGIN - 2 * shifts
    cropped = np.stack([chunk[:, start : start + BINS] for chunk, start in zip(features, starts, strict=True)])
    classes = labels.astype(np.int64)
    moved = (classes + len(QUALITIES) * shifts[:, None]) % CHORDS
    classes = np.where(classes == UNTRUSTED, IGNORED, np.where(classes < CHORDS, moved, classes))
    return torch.from_numpy(cropped.astype(np.float32)), torch.from_numpy(classes)


def batches(
    features: np.ndarray, labels: np.ndarray, batch_size: int, rng: np.random.Generator, rank: int, ranks: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch in random order, every chunk in a random key; each process gets its share."""
    order = rng.permutation(len(features))
    shifts = rng.integers(-6, 6, len(features))
    order = order[: len(order) // (batch_size * ranks) * (batch_size * ranks)]
    for step in range(rank, len(order) // batch_size, ranks):
        pick = np.sort(order[step * batch_size : (step + 1) * batch_size])
        yield crop(features[pick], labels[pick], shifts[pick])


def augment(x: torch.Tensor, stage: Stage) -> torch.Tensor:
    """Log-magnitudes (batch, frames, bins) with another level, equaliser and noise floor.

    stage: gain and equalizer are deviations in natural logarithms of the magnitude, of the level and of the slowest
    wave over the bins. Half of the chunks get a noise floor between the two levels of noise_floor, uneven in time.
    """
    batch, frames, bins = x.shape
    orders = torch.arange(1, 6)
    phases = torch.rand(batch, len(orders), 1) * 2 * math.pi
    waves = torch.cos(math.pi * orders[:, None] * torch.arange(bins) / bins + phases)
    depths = torch.randn(batch, len(orders), 1) * stage.equalizer / orders[:, None]
    x = x + torch.randn(batch, 1, 1) * stage.gain + (waves * depths).sum(1, keepdim=True)
    low, high = stage.noise_floor
    floor = low + (high - low) * torch.rand(batch, 1, 1) + 0.5 * torch.randn(batch, frames, 1)
    return torch.logaddexp(x, torch.where(torch.rand(batch, 1, 1) < 0.5, floor, -math.inf))


def learning_rate(steps: int, epochs: int) -> Callable[[int], float]:
    """The share of the peak rate at a step: a warm-up of half an epoch of ``steps`` steps, then a cosine to zero."""

    def share(step: int) -> float:
        return min(1.0, 2 * (step + 1) / steps) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / (steps * epochs))))

    return share


@torch.no_grad()
def deepen(model: BTCModel, settings: Mapping[str, Any]) -> BTCModel:
    """The model with other settings. Additional layers follow its own and start close to the identity."""
    deeper = BTCModel(BTCConfig.from_dict(model.config.to_dict() | dict(settings)))
    deeper.load_state_dict(model.state_dict(), strict=False)
    half = torch.eye(model.config.hidden_size) / 2
    layers: Any = deeper.layers[model.config.num_hidden_layers :]
    for layer in layers:
        for block in (layer.forward_block, layer.backward_block):
            block.attention.output.weight.zero_()
            block.feed_forward.conv_out.weight.mul_(0.01)
            block.feed_forward.conv_out.bias.zero_()
        layer.projection.weight.copy_(torch.cat([half, half], dim=1))
        layer.projection.bias.zero_()
    return deeper


@torch.inference_mode()
def frame_accuracy(
    model: BTCModel, features: np.ndarray, labels: np.ndarray, mean: float, std: float
) -> dict[str, float]:
    """Share of labelled frames whose class (of all 170), and whose root and third (majmin) are right."""
    model.eval()
    right, third, total = 0.0, 0.0, 0.0
    quality_third = torch.from_numpy(THIRDS)
    for start in range(0, len(features), 64):
        part = slice(start, start + 64)
        x, y = crop(features[part], labels[part], np.zeros(len(features[part]), int))
        guess = model(((x - mean) / std).to(model.device)).logits.argmax(-1).cpu()
        known = y != IGNORED
        root_ok = (guess // len(QUALITIES) == y // len(QUALITIES)) & (guess < CHORDS) & (y < CHORDS)
        third_ok = quality_third[guess % len(QUALITIES)] == quality_third[y % len(QUALITIES)]
        right += ((guess == y) & known).sum().item()
        third += (((root_ok & third_ok) | ((guess == y) & (y >= CHORDS))) & known).sum().item()
        total += known.sum().item()
    return {"accuracy": right / total, "root_third": third / total}


# --- loop ---


def train(recipe: ChordRecipe, folders: Sequence[Path], out: Path) -> None:
    """Leaves the recogniser in `out`/chords, after every epoch. Resumes from the checkpoints of its stages.

    folders: of features; the mean and deviation of the first scale the input. Raises TrainingError.
    """
    set_seed(recipe.seed)
    steps = [(stage, out / f"stage{number}") for number, stage in enumerate(recipe.stages, 1)]
    begun = [index for index, (_, folder) in enumerate(steps) if (folder / checkpoint.FILE).is_file()]
    model: BTCModel | None = None
    rows: list[dict] = []
    for stage, folder in steps[max(begun, default=0) :]:  # its checkpoint holds all that earlier stages have left
        model, rows = train_stage(recipe, stage, model, rows, folders, folder)


def train_stage(
    recipe: ChordRecipe, stage: Stage, start: BTCModel | None, rows: list[dict], folders: Sequence[Path], out: Path
) -> tuple[BTCModel, list[dict]]:
    """The model of one stage, from `start` or new, and the log, a row per epoch after those of earlier stages."""
    held = {folder.name: load_chunks(folder, "validation") for folder in folders}
    parts = [load_chunks(folder, "train", stage.least_confidence) for folder in folders]
    accelerator = Accelerator(mixed_precision=stage.mixed_precision)
    sample = parts[0][0][:: max(1, len(parts[0][0]) // 500), :, MARGIN : MARGIN + BINS].astype(np.float32)
    mean, std = float(sample.mean()), float(sample.std())
    if len(stage.repeats) < len(parts):
        raise TrainingError(f"repeats has {len(stage.repeats)} numbers: give one for each of {len(parts)} folders.")
    parts = [part for part, repeats in zip(parts, stage.repeats, strict=False) for _ in range(repeats)]
    features, labels = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    weights = quality_weights(labels, stage.balance)

    if start is None:
        model = BTCModel(BTCConfig(**stage.model, feature_mean=mean, feature_std=std))
    else:
        model = deepen(start, stage.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay)
    steps = len(features) // (stage.batch_size * accelerator.num_processes)
    if not steps:
        raise TrainingError(f"{len(features)} chunks are fewer than a batch of {stage.batch_size}: add features.")
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate(steps, stage.epochs))
    learner, optimizer = accelerator.prepare(model, optimizer)
    fingerprint = checkpoint.fingerprint([asdict(stage), recipe.seed, features.shape], [labels])
    state = checkpoint.load(out, fingerprint)
    first, log = 0, Log(out, rows)
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        if accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(state["scaler"])
        if accelerator.process_index < len(state["random"]):
            checkpoint.set_random_state(state["random"][accelerator.process_index], accelerator.device)
        first, log.rows = state["epoch"], json.loads(state["log"])
        accelerator.print(f"{out.name}: resumed after epoch {first}")

    for epoch in range(first, stage.epochs):
        learner.train()
        rng = np.random.default_rng([recipe.seed, *out.name.encode(), epoch])
        began, losses = time.perf_counter(), []
        rank, ranks = accelerator.process_index, accelerator.num_processes
        for step, (x, y) in enumerate(batches(features, labels, stage.batch_size, rng, rank, ranks)):
            x = ((augment(x, stage) - mean) / std).to(accelerator.device)
            logits = learner(x).logits.float().flatten(0, 1)
            y = y.flatten().to(accelerator.device)
            loss = cross_entropy(logits, y, weights.to(accelerator.device), ignore_index=IGNORED, reduction="sum")
            loss = loss / (y != IGNORED).sum().clamp(min=1)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(learner.parameters(), stage.clip_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            if step % 50 == 0:
                accelerator.print(f"epoch {epoch + 1} step {step}/{steps} loss {np.mean(losses[-50:]):.4f}", flush=True)
        random_states = gather_object([checkpoint.random_state(accelerator.device)])
        if accelerator.is_main_process:
            row = {"stage": out.name, "epoch": epoch + 1, "loss": float(np.mean(losses))}
            row |= {"seconds": time.perf_counter() - began}
            row |= {name: frame_accuracy(model, *chunks, mean, std) for name, chunks in held.items()}
            print(json.dumps(row), flush=True)
            log.add(row)
            log.write()
            save(recipe, stage, model, weights, out)
            state = {
                "fingerprint": fingerprint,
                "epoch": epoch + 1,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "scaler": None if accelerator.scaler is None else accelerator.scaler.state_dict(),
                "random": random_states,
                "log": json.dumps(log.rows),
            }
            checkpoint.save(out, state)  # last: an epoch is done when all of it is written
        accelerator.wait_for_everyone()
    log.close()
    return model.cpu(), log.rows


def save(recipe: ChordRecipe, stage: Stage, model: BTCModel, weights: torch.Tensor, out: Path) -> None:
    """Writes the recogniser, its facts and its log into the folder chords next to that of the stage.

    The saved biases have the prior of the recipe, and part of the loss weights taken out again.
    """
    folder, saved = out.parent / "chords", copy.deepcopy(model).cpu()
    with torch.no_grad():
        saved.classifier.bias.add_(prior(stage.prior) - stage.take_back * weights.log())
    as_stored(saved).save_pretrained(folder)
    halve_file(folder / SAFE_WEIGHTS_NAME, saved)
    recipe.card.save(folder)
    shutil.copy(out / LOG, folder / LOG)
