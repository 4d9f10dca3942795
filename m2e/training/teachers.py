"""What else says how a track feels: another model, or soft labels that one has given before.

A teacher answers in the student's own terms. Where the student weighs moods by their frequency p, its logits are the
log-odds less log p (see `weighting_calibration`), and the teacher's are brought there from calibrated probabilities.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from m2e.checkpoints.load import load, read_json
from m2e.errors import TrainingError, reason
from m2e.training.packed import TASKS
from modeling_m2e import M2EForMusicEmotion, M2EProcessor
from modeling_m2e.encoder_m2e import load_encoder

TABLES = (".csv", ".parquet")
LEAST_PROBABILITY = 1e-4  # of a table: what four decimals cannot tell from 0


class Teacher(Protocol):
    """tasks: what it knows; called with tracks and their inputs, it gives these tasks, NaN where it does not know."""

    tasks: tuple[str, ...]

    def __call__(self, rows: np.ndarray, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]: ...

    def to(self, device: torch.device) -> "Teacher":
        """Itself, computing there."""

    def state(self) -> list[torch.Tensor]:
        """What its answers depend on."""


class ModelTeacher:
    """Another model on the same inputs, without their augmentation by noise.

    It teaches what it was itself trained on, where its configuration says so (`trained_tasks`), else all it can.
    """

    def __init__(self, model: M2EForMusicEmotion, student_config):
        self.model = model.eval().requires_grad_(False)
        config = model.config
        can = ("mood" if config.num_labels else None, "va", "quadrant" if config.num_quadrants else None)
        self.tasks = tuple(task for task in TASKS if task in can and task in getattr(config, "trained_tasks", TASKS))
        if not student_config.num_quadrants:
            self.tasks = tuple(task for task in self.tasks if task != "quadrant")
        places = [config.label2id.get(mood, -1) for mood in student_config.moods]
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
        taught = {"va": output.va.cpu()}
        if "mood" in self.tasks:
            logits = output.mood_logits.cpu() * self._scale + self._offset
            moods = logits[:, self._places] - self._weighting
            taught["mood"] = torch.where(self._places >= 0, moods, math.nan)
        if "quadrant" in self.tasks:
            taught["quadrant"] = output.quadrant_logits.cpu()
        return {task: taught[task] for task in self.tasks}

    def to(self, device: torch.device) -> "ModelTeacher":
        self.model.to(device)
        return self

    def state(self) -> list[torch.Tensor]:
        return [*self.model.state_dict().values(), self._scale, self._offset, self._places]


class TableTeacher:
    """Soft labels of all tracks of a data set, computed before; rows of NaN where the table has no such track.

    probabilities: (n, M) of the student's moods, calibrated; NaN for moods the table has not.  va: (n, 2).
    """

    def __init__(self, probabilities: np.ndarray, va: np.ndarray, student_config):
        bounded = np.clip(probabilities, LEAST_PROBABILITY / 2, 1 - LEAST_PROBABILITY / 2)
        moods = torch.tensor(np.log(bounded) - np.log1p(-bounded), dtype=torch.float32)
        self._taught = {"mood": moods - weighting_offsets(student_config), "va": torch.tensor(va, dtype=torch.float32)}
        self.tasks = tuple(task for task in TASKS if task in self._taught and not self._taught[task].isnan().all())

    def __call__(self, rows: np.ndarray, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {task: self._taught[task][rows] for task in self.tasks}

    def to(self, device: torch.device) -> "TableTeacher":
        return self  # a batch is cut out where the tracks are

    def state(self) -> list[torch.Tensor]:
        return list(self._taught.values())


def weighting_offsets(config) -> torch.Tensor:
    """(M,) log-odds less logits of a model that learns with the class weighting of its config; 0 without."""
    if config.mood_frequencies is None:
        return torch.zeros(config.num_labels)
    return torch.tensor(config.mood_frequencies).log()


def model_teacher(reference: str | Path, processor: M2EProcessor, student_config) -> ModelTeacher:
    """The model in a folder, or of a hub id. Raises TrainingError where it hears other features; ModelError."""
    folder = Path(reference)
    if (folder / "config.json").is_file():
        model = M2EForMusicEmotion.from_pretrained(folder)  # without its encoder
        encoder = read_json(folder / "processor_config.json").get("encoder_reference")
    else:
        pipe = load(str(reference), device="cpu")
        model, encoder = pipe.model, pipe.processor.encoder_reference
    heard = (encoder, model.config.embedding_size, model.config.chord_vocabulary)
    same = heard == (processor.encoder_reference, student_config.embedding_size, student_config.chord_vocabulary)
    if same and "id" not in encoder:  # its weights travel with the model
        same = load_encoder(encoder, reference).settings() == processor.encoder.settings()
    if not same:
        raise TrainingError(
            f"The teacher {reference} hears other features than the student: let it predict the data set into a table "
            "(m2e predict --format csv), and give that."
        )
    return ModelTeacher(model, student_config)


def table_teacher(path: str | Path, ids: Sequence[str], audio: Sequence, student_config) -> TableTeacher:
    """Soft labels in a CSV or Parquet table, such as `m2e predict --format csv` writes.

    Columns: id, or path (whose file names count); mood_LABEL, calibrated probabilities; valence and arousal, 1-9. The
    last two kinds may be missing. Raises TrainingError.
    """
    import pandas

    path = Path(path)
    try:
        table = pandas.read_parquet(path) if path.suffix == ".parquet" else pandas.read_csv(path, dtype={"id": str})
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read as soft labels ({reason(error)}).") from error
    if "id" in table:
        keys, wanted = table["id"].astype(str), list(ids)
    elif "path" in table:
        keys = table["path"].map(lambda name: Path(str(name)).name)
        wanted = [Path((each if isinstance(each, str) else each["path"]) or "").name for each in audio]
    else:
        raise TrainingError(f"{path} has neither a column id nor a column path.")
    if keys.duplicated().any():
        raise TrainingError(f"{path} has several rows for {keys[keys.duplicated()].iloc[0]}: give a column id.")
    columns = [*(f"mood_{mood}" for mood in student_config.moods), "valence", "arousal"]
    try:
        values = table.set_axis(keys, axis=0).reindex(index=wanted, columns=columns).to_numpy(np.float64)
    except ValueError as error:
        raise TrainingError(f"{path} holds soft labels that are no numbers ({error}).") from error
    probabilities, va = values[:, :-2], values[:, -2:]
    if np.isnan(values).all():
        raise TrainingError(
            f"{path} says nothing of these tracks: no row, or no column mood_LABEL, valence or arousal."
        )
    if (probabilities < 0).any() or (probabilities > 1).any():
        raise TrainingError(f"{path} holds moods that are no probabilities: give numbers from 0 to 1.")
    return TableTeacher(probabilities, va, student_config)
