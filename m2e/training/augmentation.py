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
    found = {}
    if training.noise or training.part_dropout:
        found["embeddings"] = statistics(sources)
        if config.use_harmony and config.num_harmony_statistics:
            found["harmony_statistics"] = harmony_statistics(sources)
    for part in training.part_dropout:
        width = len(found[part.of][0]) if part.of in found else None
        if width and part.columns and part.columns[1] > width:
            raise TrainingError(
                f"part_dropout.columns is {list(part.columns)}, but {part.of} has only {width} columns: lower it."
            )
    return found


def augmented(inputs: Mapping[str, torch.Tensor], found: Moments, training: Training) -> dict[str, torch.Tensor]:
    """The inputs with `training.noise`; the mean replaces what `training.part_dropout` drops from some tracks."""
    inputs = dict(inputs)
    for name, (_, deviation) in found.items():
        if training.noise and name in inputs:
            inputs[name] = inputs[name] + torch.randn_like(inputs[name]) * deviation * training.noise
    for part in training.part_dropout:
        if part.of not in inputs or part.of not in found:
            continue
        values, columns = inputs[part.of].clone(), slice(*part.columns or (None,))
        values[torch.rand(len(values)) < part.share, ..., columns] = found[part.of][0][columns].to(values)
        inputs[part.of] = values
    return inputs
