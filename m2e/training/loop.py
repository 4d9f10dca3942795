"""The training loop: one network on the tracks of one or several data sets.

A seed decides everything. Every process draws the random numbers of the whole batch, so that two processes train the
same model as one, each on its share of every batch; only dropout and noise differ. After every epoch one file holds all
that the next one needs: a training that is killed and started again ends with the same weights.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, broadcast_object_list, gather_object
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel
from transformers import get_scheduler

from m2e.errors import TrainingError
from m2e.terminal import progress
from m2e.training import checkpoint
from m2e.training.augmentation import augmented, moments
from m2e.training.log import Log
from m2e.training.mixing import Mix
from m2e.training.objectives import at_level_of, training_loss
from m2e.training.packed import LabelledTracks, random_spans
from m2e.training.recipe import TASKS, Objective, Training
from m2e.training.validation import evaluate, selection_score
from modeling_m2e.modeling_m2e import M2EForMusicEmotion

Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


@dataclass(frozen=True)
class Fitted:
    """model: on the CPU, in eval mode, with the weights of `epoch`.  log: a row per epoch."""

    model: M2EForMusicEmotion
    epoch: int
    log: list[dict]


def make_accelerator(mixed_precision: str = "no") -> Accelerator:
    """Of one process, or of those that torchrun has started."""
    return Accelerator(
        mixed_precision=mixed_precision,
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=True),  # a batch updates its own tasks only
            InitProcessGroupKwargs(timeout=timedelta(days=1)),  # the first process may have much to compute
        ],
    )


def fit(
    model: M2EForMusicEmotion,
    sources: Sequence[LabelledTracks],
    training: Training,
    objective: Objective,
    seed: int,
    accelerator: Accelerator,
    held_out: Sequence[LabelledTracks] = (),
    folder: Path | None = None,
    report: Callable[[dict], Any] = lambda row: None,
    visible: bool = False,
) -> Fitted:
    """The model, trained on the rows of the sources.

    model: new, made under the same seed (`accelerate.utils.set_seed`), with its embedding statistics.
    held_out: what the best epoch is chosen by; none: the last one is taken.
    folder: for the checkpoint and the log; an interrupted training there is resumed, a finished one is not repeated.
    None: nothing is written.
    report: called with the row of every epoch, in the main process.  visible: show a bar on stderr.

    Raises TrainingError where the loss is no longer finite, or the checkpoint belongs to another training.
    """
    run = _Run(model, sources, training, objective, seed, accelerator, held_out, folder)
    run.resume()
    with progress(run.mix.steps * training.epochs, visible) as begin:
        while run.epoch < training.epochs:
            row = run.train_epoch(begin)
            if accelerator.is_main_process:
                run.conclude(row)
                report(run.log.rows[-1])
            run.save()
    return run.finish()


class _Learner(torch.nn.Module):
    """A network with its loss in one module, so that processes that share gradients see which weights a batch does not
    use."""

    def __init__(self, model: M2EForMusicEmotion, objective: Objective):
        super().__init__()
        self.model, self.objective = model, objective

    def forward(
        self, inputs: dict, labels: dict, teacher_outputs: dict, relative: bool
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        output = self.model(**inputs)
        if relative and "va" in labels:
            labels = labels | {"va": at_level_of(output.va.detach(), labels["va"])}
        loss, parts = training_loss(output, labels, teacher_outputs, self.model.config, self.objective)
        return loss, {task: part.detach() for task, part in parts.items()}


class _Run:
    """One training, from epoch to epoch."""

    def __init__(
        self,
        model: M2EForMusicEmotion,
        sources: Sequence[LabelledTracks],
        training: Training,
        objective: Objective,
        seed: int,
        accelerator: Accelerator,
        held_out: Sequence[LabelledTracks],
        folder: Path | None,
    ):
        self.model, self.sources, self.training, self.objective = model, sources, training, objective
        self.accelerator, self.folder = accelerator, folder
        self.held_out = [source for source in held_out if source.tasks]
        self.fingerprint = _fingerprint(model, sources, training, objective, seed, held_out)
        self.mix = Mix(
            [len(source) for source in sources],
            training.batch_size,
            np.random.default_rng(seed),
            training.mixing_temperature,
            training.max_passes,
        )
        self.moments = moments(sources, model.config, training)
        self.average = _moving_average(model, training.ema, accelerator.device)
        optimizer = torch.optim.AdamW(model.parameters(), training.learning_rate, weight_decay=training.weight_decay)
        self.schedule = _schedule(optimizer, training, self.mix.steps * training.epochs)
        self.learner, self.optimizer = accelerator.prepare(_Learner(model, objective), optimizer)
        if accelerator.num_processes > 1:  # dropout of their own
            torch.manual_seed(seed * accelerator.num_processes + accelerator.process_index)
        self.epoch, self.log = 0, Log(folder, [])
        self.best: dict[str, Any] | None = None  # epoch, score, weights

    # --- an epoch ---

    def train_epoch(self, begin: Callable[[int, str], Any]) -> dict:
        """The row of the log on the next epoch, without validation."""
        self.learner.train()
        began, tracks, text = time.perf_counter(), 0, f"epoch {self.epoch + 1}"
        totals = torch.zeros(len(self.sources), len(TASKS), 2, device=self.accelerator.device)  # sum, count
        for step, (index, places) in enumerate(self.mix.epoch()):
            begin(self.epoch * self.mix.steps + step, text)
            losses, count = self.train_step(self.sources[index], places)
            tracks += len(places)
            for task, loss in losses.items():
                totals[index, TASKS.index(task)] += torch.stack([loss * count, torch.full_like(loss, count)])
        self.epoch += 1
        totals = self.accelerator.reduce(totals, "sum").double().cpu()
        if not totals.isfinite().all():
            raise TrainingError(
                f"The loss is not finite in epoch {self.epoch}: lower the learning rate, or clip the gradient."
            )
        seconds = time.perf_counter() - began
        return {
            "epoch": self.epoch,
            "losses": {
                source.name: {
                    task: (sums[0] / sums[1]).item() for task, sums in zip(TASKS, each, strict=True) if sums[1]
                }
                for source, each in zip(self.sources, totals, strict=True)
            },
            "learning_rate": self.schedule.get_last_lr()[0],
            "seconds": round(seconds, 3),
            "tracks_per_second": round(tracks / seconds, 1),
        }

    def train_step(self, source: LabelledTracks, places: np.ndarray) -> tuple[Mapping[str, torch.Tensor], int]:
        """The losses of this process's share of a batch by task, and how many tracks it holds."""
        training, accelerator = self.training, self.accelerator
        rows, spans = source.rows[places], None
        if training.segments == "random":
            spans = random_spans(source.features.window_counts(rows), self.mix.rng)
        drop_harmony = self.mix.rng.random() < training.harmony_dropout  # so that the model also works without it

        share = np.array_split(np.arange(len(rows)), accelerator.num_processes)[accelerator.process_index]
        mine = share if len(share) else np.zeros(1, np.int64)  # all processes have to take part
        rows, spans = rows[mine], None if spans is None else spans[mine]
        inputs = source.features.batch(rows, spans)
        teacher = source.teacher if self.objective.distillation else None
        teacher_outputs = {} if teacher is None else teacher(rows, inputs)
        if drop_harmony:
            inputs |= {name: torch.zeros_like(each) for name, each in inputs.items() if name != "embeddings"}
            inputs.pop("harmony_statistics", None)
        inputs = augmented(inputs, self.moments, training)

        inputs, labels, teacher_outputs = (
            {name: each.to(accelerator.device) for name, each in part.items()}
            for part in (inputs, source.targets(rows), teacher_outputs)
        )
        loss, losses = self.learner(inputs, labels, teacher_outputs, source.relative)
        # processes average their gradients, whatever the sizes of their shares
        accelerator.backward(loss * (len(share) * accelerator.num_processes / len(places)))
        if training.clip_norm is not None:
            accelerator.clip_grad_norm_(self.learner.parameters(), training.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return losses, len(share)

    # --- between epochs ---

    @property
    def evaluated(self) -> M2EForMusicEmotion:
        """The network that is scored and saved: the moving average, if there is one."""
        return self.model if self.average is None else cast(M2EForMusicEmotion, self.average.module)

    def conclude(self, row: dict) -> None:
        """Scores the epoch, keeps its weights if they are the best so far, and logs it; main process only."""
        score = math.nan
        if self.held_out:
            row["validation"] = {source.name: evaluate(self.evaluated, source).scores for source in self.held_out}
            row["score"] = score = selection_score(row["validation"], self.training.select)
        if self._is_best(score):
            weights = {name: tensor.detach().cpu().clone() for name, tensor in self.evaluated.state_dict().items()}
            self.best = {"epoch": self.epoch, "score": score, "weights": weights}
        self.log.add(row)

    def _is_best(self, score: float) -> bool:
        """The last epoch is, as long as none has a score that is defined."""
        if self.best is None or self.training.choose == "last" or math.isnan(self.best["score"]):
            return True
        return score > self.best["score"]

    def save(self) -> None:
        """Writes what the next epoch needs."""
        if self.folder is None:
            return
        random_states = gather_object([checkpoint.random_state(self.accelerator.device)])
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            state = {
                "fingerprint": self.fingerprint,
                "epoch": self.epoch,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
                "scaler": None if scaler is None else scaler.state_dict(),
                "mix": self.mix.state_dict(),
                "random": random_states,
                "best": self.best,
                "log": json.dumps(self.log.rows),
            }
            checkpoint.save(self.folder, state)
            self.log.write()
        self.accelerator.wait_for_everyone()

    def resume(self) -> None:
        """Continues from the checkpoint, if there is one."""
        state = None if self.folder is None else checkpoint.load(self.folder, self.fingerprint)
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.mix.load_state_dict(state["mix"])
        if self.accelerator.process_index < len(state["random"]):
            checkpoint.set_random_state(state["random"][self.accelerator.process_index], self.accelerator.device)
        self.epoch, self.best, self.log.rows = state["epoch"], state["best"], json.loads(state["log"])
        if self.accelerator.is_main_process:
            self.log.write()  # a kill may have come before

    def finish(self) -> Fitted:
        """The chosen weights, the same in all processes."""
        self.log.close()
        best, rows = broadcast_object_list([self.best, self.log.rows])
        self.model.load_state_dict(best["weights"])
        self.accelerator.free_memory()
        return Fitted(self.model.cpu().eval(), best["epoch"], rows)


# --- parts ---


def _schedule(optimizer: torch.optim.Optimizer, training: Training, steps: int) -> LRScheduler:
    """Of the learning rate, stepped after every batch: linear warm-up, then constant or a cosine to zero; or one cycle
    (Smith & Topin 2018)."""
    if training.schedule == "one_cycle":
        share = training.warmup or 0.3
        if round(share * steps, 9) == 1:  # torch would divide by zero
            share /= 2
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, training.learning_rate, steps, pct_start=share)
    name = {"constant": "constant_with_warmup", "cosine": "cosine"}[training.schedule]
    return get_scheduler(name, optimizer, round(training.warmup * steps), steps)


def _moving_average(model: M2EForMusicEmotion, decay: float | None, device: torch.device) -> AveragedModel | None:
    """An exponential moving average of the weights, which forgets its beginning faster: min(decay, (1 + n) / (10 + n))
    after n steps."""
    if decay is None:
        return None

    def average(averaged: Tensors, current: Tensors, count: torch.Tensor | int) -> None:
        kept = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - kept)

    return AveragedModel(model, device, multi_avg_fn=average)


def _fingerprint(
    model: M2EForMusicEmotion,
    sources: Sequence[LabelledTracks],
    training: Training,
    objective: Objective,
    seed: int,
    held_out: Sequence[LabelledTracks],
) -> str:
    parts = (*sources, *held_out)
    config = {name: value for name, value in model.config.to_dict().items() if name != "answers"}  # fitted afterwards
    settings = [asdict(training), asdict(objective), seed, config, [source.name for source in parts]]
    settings.append([source.name for source in sources if source.relative])
    arrays: list[Any] = [array for s in parts for array in (s.rows, s.labels.moods, s.labels.va, s.labels.quadrants)]
    arrays += [array for s in parts for array in (s.features.window_offsets, s.features.chord_offsets)]
    arrays += [tensor for s in sources if s.teacher is not None for tensor in s.teacher.state()]
    return checkpoint.fingerprint(settings, [*arrays, *model.state_dict().values()])
