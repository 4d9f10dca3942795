"""Augmentation of features in training: noise, and dropped parts."""

from collections.abc import Mapping, Sequence

import torch

from m2e.errors import TrainingError
from m2e.training.packed import LabelledTracks, harmony_statistics, statistics
from m2e.training.recipe import Training
from modeling_m2e.configuration_m2e import M2EConfig

Moments = Mapping[str, tuple[torch.Tensor, torch.Tensor]]


def moments(sources: Sequence[LabelledTracks], config: M2EConfig, training: Training) -> Moments:
    """Mean and deviation, over all tracks, of the features that `augmented` changes. Raises TrainingError."""
    statistics_of = {}
    if training.noise or training.part_dropout:
        statistics_of["embeddings"] = statistics(sources)
        if config.use_harmony and config.num_harmony_statistics:
            statistics_of["harmony_statistics"] = harmony_statistics(sources)
    for part in training.part_dropout:
        width = len(statistics_of[part.of][0]) if part.of in statistics_of else None
        if width and part.columns and part.columns[1] > width:
            raise TrainingError(
                f"part_dropout.columns is {list(part.columns)}, but {part.of} has only {width} columns: lower it."
            )
    return statistics_of


def augmented(
    inputs: Mapping[str, torch.Tensor], statistics_of: Moments, training: Training
) -> dict[str, torch.Tensor]:
    """The inputs with `training.noise`; the mean replaces what `training.part_dropout` drops from some tracks."""
    inputs = dict(inputs)
    for name, (_, deviation) in statistics_of.items():
        if training.noise and name in inputs:
            inputs[name] = inputs[name] + torch.randn_like(inputs[name]) * deviation * training.noise
    for part in training.part_dropout:
        if part.of not in inputs or part.of not in statistics_of:
            continue
        values, columns = inputs[part.of].clone(), slice(*part.columns or (None,))
        values[torch.rand(len(values)) < part.share, ..., columns] = statistics_of[part.of][0][columns].to(values)
        inputs[part.of] = values
    return inputs
