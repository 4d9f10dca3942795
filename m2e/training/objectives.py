"""The training loss: of labels, of a teacher, and their sum.

`paper` and `ours` are the two ways to learn from a teacher. The paper (arXiv 2502.03979) takes the Kullback-Leibler
divergence of softmaxes: over the moods of a track, which makes tags compete that do not exclude each other, and over
the two numbers valence and arousal, which keeps their difference and loses their level. Ours takes the divergence of
every tag for itself, and regression to the teacher's valence and arousal.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from m2e.training.recipe import TASKS, Objective
from modeling_m2e.losses_m2e import mood_loss, quadrant_loss, va_loss
from modeling_m2e.modeling_m2e import M2EOutput

OUTPUTS = {"mood": "mood_logits", "va": "va", "quadrant": "quadrant_logits"}


def training_loss(
    output: M2EOutput,
    labels: Mapping[str, torch.Tensor],
    teacher_outputs: Mapping[str, torch.Tensor],
    config: Any,
    objective: Objective,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a batch, and its parts by task before the factors of the config.

    labels: by task, NaN (-100) where unknown.  teacher_outputs: by task, on the model's scale. A task of neither, or
    without a head in the model, gets no gradient (the paper's selective update). loss = (1 - w) * label loss + w *
    teacher loss where there are both. Raises ValueError where no task has a head.
    """
    parts = {}
    for task in (task for task in TASKS if output.get(OUTPUTS[task]) is not None):
        hard = label_loss(task, output, labels[task], config, objective) if task in labels else None
        soft = teacher_loss(task, output, teacher_outputs[task], objective) if task in teacher_outputs else None
        if hard is not None and soft is not None:
            parts[task] = (1 - objective.loss_weight) * hard + objective.loss_weight * soft
        elif (either := soft if hard is None else hard) is not None:
            parts[task] = either
    if not parts:
        raise ValueError("The batch has no labels and no teacher of a task that the model has a head for.")
    weighted = [getattr(config, f"{task}_loss_weight") * loss for task, loss in parts.items()]
    return torch.stack(weighted).sum(), parts


def label_loss(task: str, output: M2EOutput, labels: torch.Tensor, config: Any, objective: Objective) -> torch.Tensor:
    """The loss of one task against labels."""
    student = output[OUTPUTS[task]]
    if task == "mood":
        return mood_loss(student, labels, config.mood_frequencies)
    if task == "quadrant":
        return quadrant_loss(student, labels)
    return ccc_loss(student, labels) if objective.va == "ccc" else va_loss(student, labels)


def at_level_of(va: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Labels (B, 2), NaN = none, moved in each dimension so that their mean is that of va (B, 2) of the same tracks."""
    return labels + (va.float() - labels).nanmean(dim=0)


def teacher_loss(task: str, output: M2EOutput, target: torch.Tensor, objective: Objective) -> torch.Tensor:
    """The loss of one task against a teacher: logits of moods and quadrants, valence-arousal as they are."""
    student = output[OUTPUTS[task]]
    if task == "quadrant":  # exclusive classes
        return softmax_divergence(student, target, objective.temperature)
    if objective.distillation == "paper":
        return softmax_divergence(student, target, objective.temperature)
    if task == "mood":
        return bernoulli_divergence(student, target, objective.temperature)
    return ccc_loss(student, target) if objective.va == "ccc" else va_loss(student, target)


def softmax_divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)) of (B, C) logits, the mean over tracks.

    Classes that the teacher knows of no track (NaN) take no part, nor do tracks of which it does not know the others;
    0 where none is left.
    """
    student, teacher = student.float(), teacher.to(student).float()
    known = ~teacher.isnan().all(dim=0)
    student, teacher = student[:, known], teacher[:, known]
    there = ~teacher.isnan().any(dim=1)
    student, teacher = student[there] / temperature, teacher[there] / temperature
    total = F.kl_div(student.log_softmax(-1), teacher.log_softmax(-1), reduction="sum", log_target=True)
    return temperature**2 * total / max(len(student), 1)


def bernoulli_divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """T^2 KL(sigmoid(teacher / T) || sigmoid(student / T)), the mean over all entries that the teacher knows (not NaN).

    0 where it knows none.
    """
    student, teacher = student.float() / temperature, teacher.to(student).float() / temperature
    known = ~teacher.isnan()
    teacher = torch.where(known, teacher, 0.0)  # before the arithmetic: NaN times zero would survive in the gradient
    losses = torch.sigmoid(teacher) * (F.logsigmoid(teacher) - F.logsigmoid(student))
    losses = losses + torch.sigmoid(-teacher) * (F.logsigmoid(-teacher) - F.logsigmoid(-student))
    return temperature**2 * (losses * known).sum() / known.sum().clamp(min=1)


def ccc_loss(va: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """1 - Lin's concordance correlation of a batch (B, 2), the mean over both dimensions; NaN = no label.

    A dimension with fewer than two labels counts 0, as nothing can correlate.
    """
    va = va.float()
    labels = labels.to(va)
    labelled = ~labels.isnan()
    counts = labelled.sum(0)
    labels = torch.where(labelled, labels, 0.0)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return (values * labelled).sum(0) / counts.clamp(min=1)

    centre, label_centre = mean(va), mean(labels)
    covariance = mean((va - centre) * (labels - label_centre))
    spread = mean((va - centre) ** 2) + mean((labels - label_centre) ** 2) + (centre - label_centre) ** 2
    losses = 1 - 2 * covariance / spread.clamp(min=torch.finfo(va.dtype).eps)
    usable = counts > 1
    return (losses * usable).sum() / usable.sum().clamp(min=1)
