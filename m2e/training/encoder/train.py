"""Trains the encoder to predict the outputs of its teachers for the clips of an audio pool.

    python -m m2e.training.encoder.train configuration/encoder.yaml --pool POOL --out runs/encoder [--set steps=2000]

`datasets_scripts.encoder.pool` and `.label` fill POOL. Read top to bottom: recipe, student, loss, fidelity, loop. The
same command resumes an interrupted run. OUT gets `encoder/`, the model of the averaged weights, and `log.jsonl`.
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from m2e.datasets.encoder.pool import read_index
from m2e.storage import write_text
from m2e.training import checkpoint
from m2e.training.encoder.augmentation import equalize, mask, mix, wrong_levels
from m2e.training.encoder.data import Batch, Pool, Scale, Target
from m2e.training.encoder.output import write
from m2e.training.encoder.recipe import EncoderRecipe, read_recipe
from m2e.training.settings import parse_setting
from modeling_m2e.encoder_carried_m2e import DistilledEncoder
from modeling_m2e.modeling_encoder import M2EEncoderConfig, M2EEncoderModel
from modeling_m2e.weights_m2e import halve_weights

FEWEST_CLIPS = 10  # of a source, for correlations


# --- student ---


class Student(nn.Module):
    """The encoder and, for each teacher, a linear map that is discarded after training."""

    def __init__(self, encoder: M2EEncoderModel, scales: Mapping[str, Scale]):
        super().__init__()
        self.encoder = encoder
        self.widths = {name: len(scale.mean) for name, scale in scales.items()}
        size = encoder.config.hidden_size
        heads = {}
        for name, scale in scales.items():
            heads[name] = head = nn.Linear(size, len(scale.mean) + len(scale.prior))
            with torch.no_grad():  # begins near the teacher's means
                prior = scale.prior.clamp(1e-4, 1 - 1e-4).logit()
                head.bias.copy_(torch.cat([torch.zeros_like(scale.mean), prior]))
                head.weight.mul_(0.1)
        self.heads = nn.ModuleDict(heads)

    def answers(self, pooled: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Teacher -> standardised embeddings (k, width) and tag logits (k, tags) of pooled embeddings."""
        outputs = {name: head(pooled) for name, head in self.heads.items()}
        return {name: (out[:, : self.widths[name]], out[:, self.widths[name] :]) for name, out in outputs.items()}


@torch.no_grad()
def average(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the averaged weights and statistics towards the model's."""
    for kept, new in zip(ema.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


# --- loss ---


def teacher_loss(
    answer: tuple[torch.Tensor, torch.Tensor], target: Target, scale: Scale, recipe: EncoderRecipe
) -> torch.Tensor:
    """Squared error of standardised embeddings plus cross-entropy of tags; each is 1 for the constant means."""
    embeddings, logits = answer
    present = target.present.float()[:, None]
    count = present.sum().clamp(min=1)
    error = ((embeddings - target.embeddings).square() * present).sum() / (count * embeddings.shape[1])
    softened = (target.tags.clamp(1e-5, 1 - 1e-5).logit() / recipe.temperature).sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits / recipe.temperature, softened, reduction="none")
    prior = (scale.prior.clamp(1e-5, 1 - 1e-5).logit() / recipe.temperature).sigmoid()
    baseline = F.binary_cross_entropy(prior, prior)
    return error + recipe.tag_weight * (entropy * present).sum() / (count * logits.shape[1]) / baseline


def batch_loss(student: Student, batch: Batch, scales: Mapping[str, Scale], recipe: EncoderRecipe) -> torch.Tensor:
    """The weighted mean over teachers, of augmented crops."""
    with torch.no_grad():
        waveforms, levels, targets = mix(batch.waveforms, batch.levels, batch.targets, recipe.augmentation)
        power = student.encoder.mel_power(waveforms, wrong_levels(levels, recipe.augmentation))
        power = mask(equalize(power, recipe.augmentation), recipe.augmentation)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.mixed_precision):
        maps = student.encoder.maps(power)
    seconds = student.encoder.encode_maps(maps.float())  # on CPUs depthwise convolutions are slower in bfloat16
    answers = student.answers(student.encoder.pool(seconds, waveforms.shape[-1]))
    total = sum(recipe.teachers.values())
    parts = [
        weight / total * teacher_loss(answers[name], targets[name], scales[name], recipe)
        for name, weight in recipe.teachers.items()
    ]
    return torch.stack(parts).sum()


# --- fidelity ---


def mean_correlation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The mean over columns of the correlation over rows; columns that are constant on either side do not count."""
    ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
    norms = np.linalg.norm(ours, axis=0) * np.linalg.norm(theirs, axis=0)
    counted = norms > 1e-6
    return float(((ours * theirs).sum(0)[counted] / norms[counted]).mean()) if counted.any() else math.nan


@torch.inference_mode()
def fidelity(student: Student, pool: Pool, most: int = 100) -> dict[str, dict[str, float]]:
    """Source ("all" = together) -> teacher -> mean correlation with its embedding on held-out clips, `most` of each."""
    student.eval()
    sources = sorted({clip.source for clip in pool.clips})
    rows = {source: pool.rows("validation", source)[:most] for source in sources}
    chosen = np.concatenate([*rows.values()])
    pooled = [student.encoder(torch.from_numpy(pool.waveform(row))[None]).pooler_output for row in chosen]
    if not pooled:
        return {}
    answers = student.answers(torch.cat(pooled))
    targets = pool.targets(chosen, np.zeros(len(chosen)), float(pool.seconds[chosen].max()))
    places = {"all": np.arange(len(chosen))}
    places |= {source: np.flatnonzero(np.isin(chosen, members)) for source, members in rows.items()}
    result: dict[str, dict[str, float]] = {}
    for source, members in places.items():
        for name, target in targets.items():
            labelled = members[target.present.numpy()[members]]
            if len(labelled) >= FEWEST_CLIPS:
                ours, theirs = answers[name][0].numpy()[labelled], target.embeddings.numpy()[labelled]
                result.setdefault(source, {})[name] = round(mean_correlation(ours, theirs), 4)
    return result


# --- loop ---


class Stateful(Protocol):
    """What a checkpoint holds: a module, an optimizer, a schedule."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> object: ...


def drawn_rows(pool: Pool, recipe: EncoderRecipe) -> tuple[np.ndarray, np.ndarray]:
    """Training clips and the probability of drawing each."""
    rows = pool.rows("train")
    if recipe.hours is not None:
        rows = np.random.default_rng(recipe.seed).permutation(rows)
        rows = np.sort(rows[: max(1, np.searchsorted(pool.seconds[rows].cumsum(), 3600 * recipe.hours, "right"))])
    weights = np.array([recipe.source_weights.get(pool.clips[row].source, 1.0) for row in rows])
    return rows, weights / weights.sum()


def learning_rate(step: int, recipe: EncoderRecipe) -> float:
    """The share of the peak: a linear rise, then half a cosine down to zero."""
    rise = max(1.0, recipe.warmup * recipe.steps)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, recipe.steps - rise)))


def first_encoder(recipe: EncoderRecipe) -> M2EEncoderModel:
    """What training begins with: random weights, or those of `start`. Raises ModelError."""
    if recipe.start is None:
        return M2EEncoderModel(M2EEncoderConfig(**recipe.model))
    encoder = DistilledEncoder.from_network(recipe.start).model.requires_grad_(True)
    assert isinstance(encoder, M2EEncoderModel)
    return encoder


def train(recipe: EncoderRecipe, pool: Pool, out: Path) -> M2EEncoderModel:
    """The encoder of the averaged weights, also saved in `out` after every `evaluate_every` steps."""
    torch.manual_seed(recipe.seed)
    student = Student(first_encoder(recipe), pool.scales)
    ema = copy.deepcopy(student).requires_grad_(False)
    decayed = [p for p in student.parameters() if p.ndim > 1]
    rest = [p for p in student.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, recipe))
    parts: dict[str, Stateful] = {"student": student, "ema": ema, "optimizer": optimizer, "schedule": schedule}
    mark = checkpoint.fingerprint(
        asdict(replace(recipe, evaluate_every=1)), [scale.mean for scale in pool.scales.values()]
    )
    saved = checkpoint.load(out, mark)
    first = 0
    if saved is not None:
        first = saved["step"]
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        print(f"resumed after step {first}", flush=True)
    rows, chances = drawn_rows(pool, recipe)
    hours = pool.seconds[rows].sum() / 3600
    print(f"{len(rows)} training clips, {hours:.2f} hours, {student.encoder.num_parameters()} parameters", flush=True)
    losses: list[float] = []
    began = time.monotonic()
    for step in range(first, recipe.steps):
        rng = np.random.default_rng([recipe.seed, step])
        torch.manual_seed(int(rng.integers(2**31)))
        seconds = float(rng.choice(recipe.crops))
        picked = rng.choice(rows, max(2, round(recipe.batch_seconds / seconds)), p=chances)
        speeds = 1 + recipe.augmentation.speed * rng.uniform(-1, 1, len(picked))
        student.train()
        loss = batch_loss(student, pool.crops(picked, seconds, speeds, rng), pool.scales, recipe)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), recipe.clip_norm)
        optimizer.step()
        schedule.step()
        average(ema, student, min(recipe.ema, (1 + step) / (10 + step)))
        losses.append(loss.item())
        if (step + 1) % recipe.evaluate_every == 0 or step + 1 == recipe.steps:
            row: dict[str, Any] = {
                "step": step + 1,
                "loss": round(float(np.mean(losses)), 4),
                "hours": round(float(hours), 2),
            }
            row |= {"seconds_per_step": round((time.monotonic() - began) / len(losses), 3)}
            row |= {"fidelity": fidelity(ema, pool)}
            print(json.dumps(row), flush=True)
            ema.encoder.save_pretrained(out / "encoder")
            add_row(out / "log.jsonl", row)
            state = {name: part.state_dict() for name, part in parts.items()}
            checkpoint.save(out, {"fingerprint": mark, "step": step + 1, **state})
            losses, began = [], time.monotonic()
    halve_weights(ema).float()  # what is measured is what is stored
    write(out / "encoder", ema.encoder, recipe, pool, rows, fidelity(ema, pool))
    return ema.encoder


def add_row(log: Path, row: dict[str, Any]) -> None:
    """Appends a row in place of those of the same or later steps, which an interrupted run has left."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    kept = [old for old in rows if old["step"] < row["step"]]
    write_text(log, "".join(json.dumps(each) + "\n" for each in [*kept, row]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="change a setting")
    args = parser.parse_args()
    recipe = read_recipe(args.recipe, dict(parse_setting(text) for text in args.set))
    torch.set_flush_denormal(True)
    pool = Pool(args.pool, read_index(args.pool, recipe.sources), recipe.teachers)
    train(recipe, pool, args.out)


if __name__ == "__main__":
    main()
