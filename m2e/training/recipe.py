"""A recipe: everything that decides what is trained. Read from YAML; `configuration/` holds them.

Any number in it can be set from the outside by its dotted name ("training.epochs"), and an ablation is a named list of
such settings inside the recipe.
"""

import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

import yaml

from m2e.datasets.options import name_and_value
from m2e.errors import TrainingError, reason

SCHEDULES = ("constant", "cosine", "one_cycle")
OWN, START = "own", "start"  # teachers that need no path


@dataclass(frozen=True)
class DataRecipe:
    """One data set.

    reader: its name in `datasets_scripts.registry`.  options: those of the reader.
    teacher: "own", trained first on this data set alone; "start", the model that training starts from; the folder or
    hub id of a model; or a table of soft labels, see `m2e.training.teachers`. None: no teacher.
    """

    reader: str
    options: dict[str, Any] = field(default_factory=dict)
    teacher: str | None = None


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    va: "mse" or "ccc".  class_balanced: moods weighted by their frequency (arXiv 2502.03979).
    distillation: "paper" or "ours", see `m2e.training.objectives`; None leaves teachers out.
    teacher_weight: w in (1 - w) * labels + w * teacher, of a task that has both.  temperature: of the teacher.
    """

    va: str = "mse"
    class_balanced: bool = False
    distillation: str | None = None
    teacher_weight: float = 0.8
    temperature: float = 1.0

    def __post_init__(self):
        _one_of("objective.va", self.va, ("mse", "ccc"))
        _one_of("objective.distillation", self.distillation, (None, "paper", "ours"))
        _within("objective.teacher_weight", self.teacher_weight, 0, 1)
        _above("objective.temperature", self.temperature)


@dataclass(frozen=True)
class PartDropout:
    """A part of the features that some tracks are learnt without: their mean over all tracks stands for it.

    of: "embeddings" or "harmony_statistics".  share: of the tracks of a batch.
    columns: first and end of it, as a net's share of the embeddings; None: all.
    """

    of: str
    share: float
    columns: tuple[int, ...] | None = None

    def __post_init__(self):
        _one_of("part_dropout.of", self.of, ("embeddings", "harmony_statistics"))
        _within("part_dropout.share", self.share, 0, 1)
        if self.columns is not None and not (len(self.columns) == 2 and 0 <= self.columns[0] < self.columns[1]):
            raise TrainingError(f"part_dropout.columns is {list(self.columns)}: give the first column and the end.")


@dataclass(frozen=True)
class Training:
    """How it is minimised: AdamW, which is Adam where weight_decay is 0.

    epochs: each has as many tracks as the data sets together, unless `max_passes` cuts it short.
    batch_size: tracks, all of one data set.  learning_rate: the peak.  warmup: share of all steps.
    clip_norm: of the gradient; None: not clipped.
    segments: "random", a random run of windows of each track (the paper's augmentation), or "all".
    noise: in deviations, of embeddings and harmony statistics.
    harmony_dropout: share of batches without chords, key and harmony statistics.
    part_dropout: parts that are left out track by track, each by itself, so that none is relied on alone.
    mixing_temperature: T in the share of a data set of n tracks, n ** (1 / T); 1 = as they are, large = all alike.
    max_passes: how often a track may be heard in an epoch.
    ema: decay of the moving average of the weights; None: none.  mixed_precision: "no", "bf16" or "fp16".
    choose: "best", the epoch that scores best on the validation sets, or "last".
    select: what "best" means, such as "deam.r2_valence"; empty: all tasks of all data sets alike.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup: float = 0.0
    clip_norm: float | None = None
    segments: str = "random"
    noise: float = 0.0
    harmony_dropout: float = 0.0
    part_dropout: tuple[PartDropout, ...] = ()
    mixing_temperature: float = 1.0
    max_passes: float = 4.0
    ema: float | None = None
    mixed_precision: str = "no"
    choose: str = "best"
    select: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("epochs", "batch_size", "learning_rate", "mixing_temperature", "max_passes"):
            _above(f"training.{name}", getattr(self, name))
        if self.clip_norm is not None:
            _above("training.clip_norm", self.clip_norm)
        for name in ("warmup", "harmony_dropout", "ema"):
            _within(f"training.{name}", getattr(self, name) or 0.0, 0, 1)
        _one_of("training.schedule", self.schedule, SCHEDULES)
        _one_of("training.segments", self.segments, ("random", "all"))
        _one_of("training.mixed_precision", self.mixed_precision, ("no", "bf16", "fp16"))
        _one_of("training.choose", self.choose, ("best", "last"))


@dataclass(frozen=True)
class Recipe:
    """One published model.

    license: of its weights, as the hub names it.  seeds: all are evaluated; the first is the model, or with folds all.
    start: model whose encoder, chord recogniser and weights are taken over; else
    encoder: {"nets": [...]} of `modeling_taggers`, or {"id": ..., "layers": [...]} of a MERT; with
    chord_decoding: "smooth" or "paper".
    datasets: by name; protocol: "paper" or "clean", see `datasets_scripts.protocols`.
    moods: "data", those of the data sets; "start", those of the start model; or a list.
    model: {"preset": "default" or "paper", fields of M2EConfig}.
    calibrate: whether mood probabilities are fitted on the validation sets.
    folds, targets: of the protocol in `m2e.training.folds`; the training splits of datasets are learnt beside 4Q.
    """

    name: str
    license: str
    training: Training
    objective: Objective = field(default_factory=Objective)
    seeds: tuple[int, ...] = (0,)
    start: str | None = None
    encoder: dict[str, Any] | None = None
    chord_decoding: str = "smooth"
    datasets: Mapping[str, DataRecipe] = field(default_factory=dict)
    protocol: str = "clean"
    moods: str | tuple[str, ...] = "data"
    model: dict[str, Any] = field(default_factory=dict)
    calibrate: bool = False
    folds: int | None = None
    targets: dict[str, Any] | None = None

    def __post_init__(self):
        if (self.start is None) == (self.encoder is None):
            raise TrainingError(f"The recipe {self.name} needs a start or an encoder, one of the two.")
        if not self.datasets and self.folds is None:
            raise TrainingError(f"The recipe {self.name} names no data set.")
        if self.start is None and (self.moods == START or any(d.teacher == START for d in self.datasets.values())):
            raise TrainingError(f"The recipe {self.name} has no start that moods or a teacher could be taken from.")
        if not self.seeds:
            raise TrainingError(f"The recipe {self.name} has no seed.")

    def alone(self, dataset: str) -> "Recipe":
        """The recipe of the teacher of one data set."""
        return replace(
            self,
            name=f"{self.name}-teacher-{dataset}",
            datasets={dataset: replace(self.datasets[dataset], teacher=None)},
            objective=replace(self.objective, distillation=None),
            training=replace(self.training, select=()),
            seeds=self.seeds[:1],
        )


def read_recipe(path: str | Path, ablations: Iterable[str] = (), settings: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe in a YAML file, changed by its ablations of these names and then by settings. Raises TrainingError."""
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{path} cannot be read ({error.strerror}): give a recipe, see configuration/.") from error
    except yaml.YAMLError as error:
        raise TrainingError(f"{path} is not YAML ({reason(error)}).") from error
    if not isinstance(content, dict):
        raise TrainingError(f"{path} is no recipe: it holds no settings.")
    known = content.pop("ablations", None) or {}
    for name in ablations:
        if name not in known:
            raise TrainingError(f"{path} has no ablation {name!r}: {', '.join(known) or 'it has none'}.")
        for key, value in known[name].items():
            _set(content, key, value)
        content["name"] = f"{content.get('name')}-{name}"
    for key, value in (settings or {}).items():
        _set(content, key, value)
    return _recipe(path, content)


def parse_setting(text: str) -> tuple[str, Any]:
    """("training.epochs", 3) of "training.epochs=3"; a value that is JSON is read as such. Raises TrainingError."""
    try:
        return name_and_value(text)
    except ValueError as error:
        raise TrainingError(f"{text} is no setting: give NAME=VALUE, as training.epochs=3.") from error


def _set(content: dict, key: str, value: Any) -> None:
    """Sets a dotted name; a list of data sets chooses among those that are there."""
    if key == "datasets" and isinstance(value, list):
        there = content.get("datasets") or {}
        if absent := [name for name in value if name not in there]:
            raise TrainingError(f"The recipe has no data set {', '.join(map(str, absent))}: {', '.join(there)}.")
        value = {name: there[name] for name in value}
    *parents, last = key.split(".")
    for name in parents:
        if content.get(name) is None:
            content[name] = {}
        content = content[name]
        if not isinstance(content, dict):
            raise TrainingError(f"The setting {key} cannot be made: {name} is a value.")
    content[last] = value


# --- from what YAML gives to dataclasses ---


def _recipe(path: Path, content: dict) -> Recipe:
    datasets = {}
    for name, entry in (content.get("datasets") or {}).items():
        entry = {"reader": name} | entry if isinstance(entry, dict) else entry or {"reader": name}
        datasets[name] = _section(DataRecipe, entry, f"{path}, datasets.{name}")
    parts = {
        "training": _section(Training, content.get("training") or {}, f"{path}, training"),
        "objective": _section(Objective, content.get("objective") or {}, f"{path}, objective"),
    }
    return _section(Recipe, content | parts | {"datasets": datasets}, str(path))


def _section(cls: type, content: dict, where: str):
    if not isinstance(content, dict):
        raise TrainingError(f"{where} holds {content!r}, not settings.")
    hints = typing.get_type_hints(cls)
    if unknown := content.keys() - hints.keys():
        raise TrainingError(f"{where} has unknown settings {', '.join(sorted(unknown))}: there are {', '.join(hints)}.")
    required = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    if missing := required - content.keys():
        raise TrainingError(f"{where} lacks {', '.join(sorted(missing))}.")
    return cls(**{name: _typed(hints[name], value, f"{where}, {name}") for name, value in content.items()})


def _typed(hint: Any, value: Any, where: str) -> Any:
    """The value as the hint wants it: YAML knows no tuples and no classes, and reads 1e-4 as a word."""
    if typing.get_origin(hint) is tuple:
        kind, values = typing.get_args(hint)[0], value if isinstance(value, list | tuple) else (value,)
        return tuple(_section(kind, each, where) if is_dataclass(kind) else each for each in values)
    if isinstance(value, list):
        return tuple(value)
    hints = typing.get_args(hint) if typing.get_origin(hint) is UnionType else (hint,)
    kinds = [typing.get_origin(each) or each for each in hints]
    if value is None and NoneType in kinds:
        return None
    if float in kinds or int in kinds:
        kind = float if float in kinds else int
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = None
        if number is None or isinstance(value, bool) or (kind is int and number != int(number)):
            raise TrainingError(f"{where} is {value!r}: give {'a number' if kind is float else 'a whole number'}.")
        return kind(number)
    for kind, wanted in ((bool, "true or false"), (str, "a word"), (dict, "settings")):
        if kind in kinds and not isinstance(value, kind):
            raise TrainingError(f"{where} is {value!r}: give {wanted}.")
    return value


def _one_of(name: str, value: Any, known: tuple) -> None:
    if value not in known:
        raise TrainingError(f"{name} is {value!r}: choose {', '.join(str(k) for k in known)}.")


def _above(name: str, value: float) -> None:
    if not value > 0:
        raise TrainingError(f"{name} is {value}: give a number above 0.")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise TrainingError(f"{name} is {value}: give a number from {low} to {high}.")
