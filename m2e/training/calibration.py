"""From logits to probabilities: Platt scaling of the moods on held-out tracks, and the moods' thresholds."""

from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from m2e.evaluation.metrics import MIN_POSITIVES
from modeling_m2e.output_m2e import sigmoid


def platt(logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """(scale, offsets, thresholds) of M moods, one scale for all, from held-out logits (n, M).

    targets: (n, M) in 0..1, soft or not; NaN where unknown. A mood is selected above the probability that selects
    as many tracks as carry it on average.
    """
    labelled = ~np.isnan(targets)
    x, y, rows = torch.tensor(logits), torch.tensor(targets), torch.tensor(labelled)
    scale, offset = torch.ones(1, requires_grad=True), torch.zeros(x.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, offset], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits((scale * x + offset)[rows], y[rows].to(x))
        loss.backward()
        return loss

    optimizer.step(closure)
    fitted, offsets = scale.item(), offset.detach().double().numpy()
    probabilities = sigmoid(fitted * logits + offsets)
    thresholds = [
        np.quantile(probabilities[known, mood], 1 - targets[known, mood].mean())
        for mood, known in enumerate(labelled.T)
    ]
    return fitted, offsets, np.array(thresholds)


def calibrate(config: Any, logits: np.ndarray, labels: np.ndarray) -> int:
    """How many moods of an M2EConfig were calibrated, in place, by held-out logits and labels, (n, M) each.

    labels: 0, 1, between them for soft ones, NaN where unknown. Moods with few positives or negatives keep their
    values, as a handful of tracks would make them worse; soft labels of all tracks are enough.
    """
    positives, negatives = (labels == 1).sum(0), (labels == 0).sum(0)
    soft = ((labels > 0) & (labels < 1)).sum(0)
    enough = (np.minimum(positives, negatives) >= MIN_POSITIVES) | (soft >= 2 * MIN_POSITIVES)
    if not enough.any():
        return 0
    scale, offsets, thresholds = platt(logits[:, enough].astype(np.float64), labels[:, enough])
    for name, default, fitted in (
        ("mood_scale", 1.0, np.full(enough.sum(), scale)),
        ("mood_offset", 0.0, offsets),
        ("mood_thresholds", 0.5, thresholds),
    ):
        before = getattr(config, name)
        values = np.full(len(enough), default) if before is None else np.array(before)
        values[enough] = fitted
        setattr(config, name, values.tolist())
    return int(enough.sum())
