"""Trains the chord recogniser (BTC) on cached CQT chunks.

    python train_chords.py configuration/chords.yaml --features RENDERED LABELLED --out runs/chords

The folders are those of datasets_scripts.chords.cqt_chunks and, optionally, datasets_scripts.chords.pseudo_labels.
Read top to bottom: data, augmentation, validation, loop. The same command resumes an interrupted run.
"""

import argparse
import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, set_seed
from torch.nn.functional import cross_entropy

from m2e.datasets.chords.cqt_chunks import MARGIN
from m2e.publish.facts import Facts
from m2e.training.checkpoint import write_text
from modeling_m2e.chord_decoding_m2e import THIRDS
from modeling_m2e.chord_labels_m2e import QUALITIES, ROOTS
from modeling_m2e.chords_m2e import BINS
from modeling_m2e.modeling_btc import BTCConfig, BTCModel

CHORDS = len(ROOTS) * len(QUALITIES)  # the classes before X and N


def load_chunks(folder: Path, split: str, least_confidence: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 108, 168) float16 features and (n, 108) uint8 classes of all files of a split; 255 where a label that was
    heard, not annotated, is less certain than ``least_confidence``."""
    features, labels = [], []
    for path in sorted(folder.glob(f"{split}-*.npz")):
        with np.load(path) as data:
            features.append(data["features"])
            labels.append(data["labels"])
            if "confidence" in data:
                labels[-1] = np.where(data["confidence"] < least_confidence, 255, labels[-1]).astype(np.uint8)
    if not features:
        raise FileNotFoundError(f"{folder} holds no {split}-*.npz: run datasets_scripts.chords.cqt_chunks first.")
    return np.concatenate(features), np.concatenate(labels)


def quality_weights(labels: np.ndarray, exponent: float) -> torch.Tensor:
    """(170,) loss weights: (share of the most frequent quality / share of a class's quality) ** exponent, at most 5,
    so that rare qualities are learnt too. The same for all roots, as every song is heard in every key."""
    counts = np.bincount(labels.ravel(), minlength=256)[: CHORDS + 2].astype(float)
    qualities = np.append(np.tile(counts[:CHORDS].reshape(-1, len(QUALITIES)).sum(0), len(ROOTS)), counts[CHORDS:])
    weights = (qualities.max() / np.maximum(qualities, 1)) ** exponent
    return torch.from_numpy(np.minimum(weights, 5.0)).float()


def prior(offsets: dict[str, float]) -> torch.Tensor:
    """(170,) what is added to the log-probability of each class, given by quality, or N."""
    per_quality = torch.tensor([offsets.get(quality, 0.0) for quality in QUALITIES])
    return torch.cat([per_quality.repeat(len(ROOTS)), torch.tensor([offsets.get(name, 0.0) for name in ("X", "N")])])


def crop(features: np.ndarray, labels: np.ndarray, shifts: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Chunks transposed by ``shifts`` semitones (-6...6): another crop of the CQT, other roots. X and N stay."""
    starts = MARGIN - 2 * shifts
    cropped = np.stack([chunk[:, start : start + BINS] for chunk, start in zip(features, starts, strict=True)])
    classes = labels.astype(np.int64)
    moved = (classes + len(QUALITIES) * shifts[:, None]) % CHORDS
    # 255 marks frames without a trusted label
    classes = np.where(classes == 255, -100, np.where(classes < CHORDS, moved, classes))
    return torch.from_numpy(cropped.astype(np.float32)), torch.from_numpy(classes)


def batches(features, labels, batch_size: int, rng: np.random.Generator, rank: int, ranks: int):
    """One epoch in random order, every chunk in a random key; each process sees its share."""
    order = rng.permutation(len(features))
    shifts = rng.integers(-6, 6, len(features))
    order = order[: len(order) // (batch_size * ranks) * (batch_size * ranks)]
    for step in range(rank, len(order) // batch_size, ranks):
        pick = np.sort(order[step * batch_size : (step + 1) * batch_size])
        yield crop(features[pick], labels[pick], shifts[pick])


def augment(x: torch.Tensor, recipe: dict) -> torch.Tensor:
    """Log-magnitudes (batch, frames, bins) as other mixes would have them: another level, equaliser and noise floor.

    The equaliser is a sum of slow cosines over the bins; half of the chunks get a noise floor, uneven in time.
    """
    batch, frames, bins = x.shape
    orders = torch.arange(1, 6)
    phases = torch.rand(batch, len(orders), 1) * 2 * math.pi
    waves = torch.cos(math.pi * orders[:, None] * torch.arange(bins) / bins + phases)
    depths = torch.randn(batch, len(orders), 1) * recipe["equalizer"] / orders[:, None]
    x = x + torch.randn(batch, 1, 1) * recipe["gain"] + (waves * depths).sum(1, keepdim=True)
    low, high = recipe["noise_floor"]
    floor = low + (high - low) * torch.rand(batch, 1, 1) + 0.5 * torch.randn(batch, frames, 1)
    return torch.logaddexp(x, torch.where(torch.rand(batch, 1, 1) < 0.5, floor, -math.inf))


def learning_rate(steps: int, epochs: int) -> Callable[[int], float]:
    """The share of the peak rate at a step: a warm-up of half an epoch of ``steps`` steps, then a cosine to zero."""

    def share(step: int) -> float:
        return min(1.0, 2 * (step + 1) / steps) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / (steps * epochs))))

    return share


@torch.no_grad()
def deepen(model: BTCModel, settings: dict) -> BTCModel:
    """The model with other settings: layers that it lacks come behind its own and begin as nearly the identity."""
    deeper = BTCModel(BTCConfig.from_dict(model.config.to_dict() | settings))
    deeper.load_state_dict(model.state_dict(), strict=False)
    half = torch.eye(model.config.hidden_size) / 2
    for layer in deeper.layers[model.config.num_hidden_layers :]:
        for block in (layer.forward_block, layer.backward_block):
            block.attention.output.weight.zero_()
            block.feed_forward.conv_out.weight.mul_(0.01)
            block.feed_forward.conv_out.bias.zero_()
        layer.projection.weight.copy_(torch.cat([half, half], dim=1))
        layer.projection.bias.zero_()
    return deeper


def finished_epochs(folder: Path) -> int:
    """The number of epochs that were finished in a stage's folder."""
    return 1 + max((int(p.name.split("_")[1]) for p in (folder / "checkpoints").glob("checkpoint_*")), default=-1)


@torch.inference_mode()
def frame_accuracy(model, features, labels, mean: float, std: float) -> dict[str, float]:
    """Share of labelled frames whose class (all 170) and whose root and major/minor third (majmin) are right."""
    model.eval()
    right = third = total = 0
    quality_third = torch.from_numpy(THIRDS)
    for start in range(0, len(features), 64):
        x, y = crop(
            features[start : start + 64], labels[start : start + 64], np.zeros(len(features[start : start + 64]), int)
        )
        guess = model(((x - mean) / std).to(model.device)).logits.argmax(-1).cpu()
        known = y != -100
        root_ok = (guess // len(QUALITIES) == y // len(QUALITIES)) & (guess < CHORDS) & (y < CHORDS)
        third_ok = quality_third[guess % len(QUALITIES)] == quality_third[y % len(QUALITIES)]
        right += ((guess == y) & known).sum().item()
        third += (((root_ok & third_ok) | ((guess == y) & (y >= CHORDS))) & known).sum().item()
        total += known.sum().item()
    return {"accuracy": right / total, "root_third": third / total}


def stages(recipe: dict) -> list[dict]:
    """The recipe of each stage: the whole one, with what this stage and those before it say otherwise."""
    merged, common = [], recipe
    for stage in recipe["stages"]:
        model = common["model"] | stage.get("model", {})
        common = common | stage | {"model": model}
        merged.append(common)
    return merged


def add_row(log: Path, row: dict) -> None:
    """Appends a row, in place of one of the same epoch that a stopped run has left."""
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    rows = [old for old in rows if (old.get("stage"), old["epoch"]) != (row["stage"], row["epoch"])]
    write_text(log, "".join(json.dumps(each) + "\n" for each in [*rows, row]))


def train(recipe: dict, start: BTCModel | None, folders: list[Path], out: Path, log: Path) -> BTCModel:
    """One stage: a model from ``start``, or a new one, trained for ``recipe["epochs"]``; goes on where it was in
    ``out``. A row per epoch is appended to ``log``."""
    first = finished_epochs(out)
    project = ProjectConfiguration(str(out), automatic_checkpoint_naming=True, total_limit=2, iteration=first)
    accelerator = Accelerator(mixed_precision=recipe["mixed_precision"], project_config=project)

    held = {folder.name: load_chunks(folder, "validation") for folder in folders}
    parts = [load_chunks(folder, "train", recipe["least_confidence"]) for folder in folders]
    sample = parts[0][0][:: max(1, len(parts[0][0]) // 500), :, MARGIN : MARGIN + BINS].astype(np.float32)
    mean, std = float(sample.mean()), float(sample.std())
    parts = [part for part, repeats in zip(parts, recipe["repeats"], strict=False) for _ in range(repeats)]
    features, labels = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    weights = quality_weights(labels, recipe["balance"])

    if start is None:
        model = BTCModel(BTCConfig(**recipe["model"], feature_mean=mean, feature_std=std))
    else:
        model = deepen(start, recipe["model"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe["learning_rate"], weight_decay=recipe["weight_decay"])
    steps = len(features) // (recipe["batch_size"] * accelerator.num_processes)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate(steps, recipe["epochs"]))
    model, optimizer = accelerator.prepare(model, optimizer)
    accelerator.register_for_checkpointing(schedule)
    if first:
        accelerator.load_state()
        accelerator.print(f"{out.name}: resumed after epoch {first}")
    plain = accelerator.unwrap_model(model)

    for epoch in range(first, recipe["epochs"]):
        model.train()
        rng = np.random.default_rng([recipe["seed"], *out.name.encode(), epoch])
        began, losses = time.perf_counter(), []
        epoch_batches = batches(
            features, labels, recipe["batch_size"], rng, accelerator.process_index, accelerator.num_processes
        )
        for step, (x, y) in enumerate(epoch_batches):
            x = ((augment(x, recipe) - mean) / std).to(accelerator.device)
            logits = model(x).logits.float().flatten(0, 1)
            y = y.flatten().to(accelerator.device)
            loss = cross_entropy(logits, y, weights.to(accelerator.device), ignore_index=-100, reduction="sum")
            loss = loss / (y != -100).sum().clamp(min=1)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), recipe["clip_norm"])
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            if step % 50 == 0:
                accelerator.print(f"epoch {epoch + 1} step {step}/{steps} loss {np.mean(losses[-50:]):.4f}", flush=True)
        if accelerator.is_main_process:
            row = {"stage": out.name, "epoch": epoch + 1, "loss": float(np.mean(losses))}
            row |= {"seconds": time.perf_counter() - began}
            row |= {name: frame_accuracy(plain, *chunks, mean, std) for name, chunks in held.items()}
            print(json.dumps(row), flush=True)
            add_row(log, row)
            state = plain.state_dict()  # a prior that part of the weighting is taken out of again
            offsets = prior(recipe["prior"]) - recipe["take_back"] * weights.log()
            state["classifier.bias"] = state["classifier.bias"] + offsets.to(state["classifier.bias"])
            halves = {name: weight.half() for name, weight in state.items()}  # heard alike, half the size
            plain.save_pretrained(out.parent / "chords", state_dict=halves)
            Facts(**recipe["card"]).save(out.parent / "chords")
            shutil.copy(log, out.parent / "chords" / "training.jsonl")
        accelerator.save_state()  # last: an epoch is done when all of it is written
    return plain.cpu()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--features", type=Path, nargs="+", required=True, help="the first one scales the input")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    recipe = yaml.safe_load(args.recipe.read_text())
    set_seed(recipe["seed"])
    steps = [(stage, args.out / f"stage{number}") for number, stage in enumerate(stages(recipe), 1)]
    begun = [index for index, (_, out) in enumerate(steps) if finished_epochs(out)]
    model = None
    for stage, out in steps[max(begun, default=0) :]:  # its checkpoint holds all that earlier ones have left
        model = train(stage, model, args.features, out, args.out / "log.jsonl")


if __name__ == "__main__":
    main()
