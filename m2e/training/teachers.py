"""Teachers for distillation: a model, or a table of soft labels.

A teacher's outputs are on the student's scale. Where the student weighs moods by their frequency p, its logits are the
log-odds minus log p (see `weighting_offsets`); the teacher's calibrated probabilities are converted to that.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from m2e.checkpoints.load import load
from m2e.errors import ModelError, TrainingError
from m2e.storage import read_json
from m2e.training.recipe import TASKS
from modeling_m2e import M2EForMusicEmotion, M2EProcessor
from modeling_m2e.encoder_m2e import load_encoder
from modeling_m2e.weights_m2e import load_complete

LEAST_PROBABILITY = 1e-4  # of a table with four decimals


class ModelTeacher:
    """A model that predicts from the same inputs, without their noise.

    Its tasks are those that it was trained on (`trained_tasks` of its configuration), else all that it has.
    """

    def __init__(self, model: M2EForMusicEmotion, student_config: Any):
        self.model = model.eval().requires_grad_(False)
        config = model.config
        can = ("mood" if config.num_labels else None, "va", "quadrant" if config.num_quadrants else None)
        self.tasks = tuple(task for task in TASKS if task in can and task in getattr(config, "trained_tasks", TASKS))
        if not student_config.num_quadrants:
            self.tasks = tuple(task for task in self.tasks if task != "quadrant")
        known = mood_places(config)
        places = [known.get(mood, -1) for mood in student_config.moods]
        if all(place < 0 for place in places):
            self.tasks = tuple(task for task in self.tasks if task != "mood")
        self._places = torch.tensor(places, dtype=torch.long)
        self._scale, self._offset = (
            torch.tensor(own or default) for own, default in ((config.mood_scale, 1.0), (config.mood_offset, 0.0))
        )
        self._weighting = weighting_offsets(student_config)

    @torch.no_grad()
    def __call__(self, rows: np.ndarray, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        device = self.model.device
        output = self.model(**{name: values.to(device) for name, values in inputs.items()}, output_windows=False)
        outputs = {"va": output.va.cpu()}
        if "mood" in self.tasks:
            logits = output.mood_logits.cpu() * self._scale + self._offset
            moods = logits[:, self._places] - self._weighting
            outputs["mood"] = torch.where(self._places >= 0, moods, math.nan)
        if "quadrant" in self.tasks:
            outputs["quadrant"] = output.quadrant_logits.cpu()
        return {task: outputs[task] for task in self.tasks}

    def to(self, device: torch.device) -> "ModelTeacher":
        self.model.to(device)
        return self

    def state(self) -> list[torch.Tensor]:
        return [*self.model.state_dict().values(), self._scale, self._offset, self._places]


class TableTeacher:
    """Soft labels of all tracks of a data set, NaN where there is none (see `m2e.training.soft_labels`).

    probabilities: (n, M) of the student's moods, calibrated.  va: (n, 2).
    """

    def __init__(self, probabilities: np.ndarray, va: np.ndarray, student_config: Any):
        bounded = np.clip(probabilities, LEAST_PROBABILITY / 2, 1 - LEAST_PROBABILITY / 2)
        moods = torch.tensor(np.log(bounded) - np.log1p(-bounded), dtype=torch.float32)
        self._outputs = {"mood": moods - weighting_offsets(student_config), "va": torch.tensor(va, dtype=torch.float32)}
        self.tasks = tuple(task for task in TASKS if task in self._outputs and not self._outputs[task].isnan().all())

    def __call__(self, rows: np.ndarray, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {task: self._outputs[task][rows] for task in self.tasks}

    def to(self, device: torch.device) -> "TableTeacher":
        return self  # batches are cut out on the CPU

    def state(self) -> list[torch.Tensor]:
        return list(self._outputs.values())


def mood_places(config: Any) -> dict[str, int]:
    """The place of every mood among the logits of a model with this configuration."""
    return {mood: place for place, mood in enumerate(config.moods)}


def weighting_offsets(config: Any) -> torch.Tensor:
    """(M,) log-odds minus logits of a model trained with the class weighting of its config; 0 without."""
    if config.mood_frequencies is None:
        return torch.zeros(config.num_labels)
    return torch.tensor(config.mood_frequencies).log()


def model_teacher(reference: str | Path, processor: M2EProcessor, student_config: Any) -> ModelTeacher:
    """The model in a folder, or of a hub id. Raises TrainingError where it uses other features; ModelError."""
    folder = Path(reference)
    if (folder / "config.json").is_file():
        model = load_complete(M2EForMusicEmotion, folder, trust_remote_code=False)  # without its encoder
        encoder = read_json(folder / "processor_config.json", ModelError).get("encoder_reference") or {}
    else:
        pipe = load(str(reference), device="cpu")
        model = pipe.model
        encoder = pipe.processor.encoder_reference or {}
    features = (encoder, model.config.embedding_size, model.config.chord_vocabulary)
    same = features == (processor.encoder_reference, student_config.embedding_size, student_config.chord_vocabulary)
    if same and encoder is not None and "id" not in encoder:  # its weights travel with the model, and may differ
        same = load_encoder(encoder, reference).settings() == processor.encoder.settings()
    if not same:
        raise TrainingError(
            f"The teacher {reference} uses other features than the student: let it predict the data set into a table "
            "(m2e predict --format csv), and give that as the teacher."
        )
    return ModelTeacher(model, student_config)
