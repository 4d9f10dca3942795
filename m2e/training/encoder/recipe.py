"""The recipe of the encoder, a YAML file in configuration/."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from m2e.errors import TrainingError
from m2e.training.encoder.augmentation import Augmentation
from m2e.training.settings import read_settings, section


@dataclass(frozen=True)
class EncoderRecipe:
    """Everything that decides what is trained.

    teachers: name -> weight in the loss.  tag_weight: of tag probabilities against embeddings.  temperature: of tags.
    sources: names in the pool; empty: all.  source_weights: how often clips are drawn; 1 where not given.
    hours: of training audio, a fixed random choice of clips; None: all.
    steps, batch_seconds: batches, and audio in each.  crops: lengths in seconds, one drawn for each batch.
    learning_rate: the peak, after the share `warmup` of all steps.  ema: decay of the averaged weights.
    evaluate_every: steps between checkpoints.  start: folder of an encoder that training continues; else
    model: fields of M2EEncoderConfig.
    """

    teachers: dict[str, float]
    steps: int
    seed: int = 0
    sources: tuple[str, ...] = ()
    source_weights: dict[str, float] = field(default_factory=dict)
    hours: float | None = None
    tag_weight: float = 0.5
    temperature: float = 1.0
    batch_seconds: float = 320.0
    crops: tuple[float, ...] = (10.0,)
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: float = 0.1
    clip_norm: float = 5.0
    ema: float = 0.999
    mixed_precision: bool = False
    evaluate_every: int = 250
    augmentation: Augmentation = field(default_factory=Augmentation)
    start: str | None = None
    model: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.teachers or self.steps < 1 or not self.crops or min(self.crops) <= 0:
            raise TrainingError("A recipe of the encoder needs teachers, at least one step, and crops above 0 s.")
        if self.start is not None and self.model:
            raise TrainingError("A recipe that continues an encoder (start) cannot change its model.")


def read_recipe(path: Path, settings: Mapping[str, Any]) -> EncoderRecipe:
    """The recipe in a YAML file with some settings changed, as {"model.hidden_size": 256}. Raises TrainingError."""
    return section(EncoderRecipe, read_settings(path, settings=settings), str(path))
