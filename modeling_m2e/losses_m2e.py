"""Losses of the emotion network; missing labels do not count (class weights: arXiv 2502.03979)."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

IGNORED_QUADRANT = -100


def class_weights(frequencies: Sequence[float] | torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
    """(positive, negative) weights 2 / (1 + p) and 2 p / (1 + p) of the tag frequencies p (arXiv 2502.03979)."""
    p = torch.as_tensor(frequencies, dtype=torch.float32)
    return 2 / (1 + p), 2 * p / (1 + p)


def mood_loss(
    logits: torch.Tensor, labels: torch.Tensor, frequencies: Sequence[float] | torch.Tensor | None = None
) -> torch.Tensor:
    """Class-weighted binary cross-entropy, the mean over all labelled entries; 0 where there is none.

    logits, labels: (..., M). Labels lie in 0..1 (soft labels allowed); NaN marks a missing one.
    frequencies: (M,) share of training tracks per tag; None weighs all alike.
    """
    logits = logits.float()
    labels = labels.to(logits)
    labelled = ~labels.isnan()
    labels = torch.where(labelled, labels, 0.0)  # before the arithmetic: NaN times zero would survive in the gradient
    weights = class_weights(1.0 if frequencies is None else frequencies)
    positive, negative = (weight.to(logits.device) for weight in weights)
    losses = -positive * labels * F.logsigmoid(logits) - negative * (1 - labels) * F.logsigmoid(-logits)
    return _mean(losses, labelled)


def va_loss(va: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean squared error of (..., 2) valence-arousal over the labelled entries, 0 without any; NaN = no label."""
    va = va.float()
    labels = labels.to(va)
    labelled = ~labels.isnan()
    return _mean((va - torch.where(labelled, labels, 0.0)) ** 2, labelled)


def quadrant_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of (B, 4) logits and (B,) labels 0..3 for Q1..Q4; -100 = no label; 0 where there is none."""
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORED_QUADRANT, reduction="sum")
    return total / (labels != IGNORED_QUADRANT).sum().clamp(min=1)


def _mean(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    return (values * counted).sum() / counted.sum().clamp(min=1)
