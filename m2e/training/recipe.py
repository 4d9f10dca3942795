"""A recipe: everything that decides how an emotion model is trained. Read from YAML; `configuration/` holds them.

A setting can be changed by its dotted name ("training.epochs"). An ablation is a named list of such changes inside the
recipe.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from m2e.errors import TrainingError
from m2e.training.settings import above_zero, one_of, parse_setting, read_settings, section, within

__all__ = ["CardNotes", "DataRecipe", "Objective", "PartDropout", "Recipe", "Training", "parse_setting", "read_recipe"]

TASKS = ("mood", "va", "quadrant")  # in the order of the model's losses
SCHEDULES = ("constant", "cosine", "one_cycle")
OWN, START = "own", "start"  # teachers that need no path
TABLES = (".csv", ".parquet", ".npz")  # of soft labels
WEIGHTED = ("mood", "valence", "arousal")  # what `objective.teacher_weight` may name


@dataclass(frozen=True)
class DataRecipe:
    """One data set.

    reader: its name in `datasets_scripts.registry`.  options: those of the reader.
    teacher: "own", trained first on this data set alone; "start", the model that training starts from; the folder or
    hub id of a model; or a table of soft labels (`m2e.training.teachers`), whose path may be relative to the data
    folder. None: no teacher.
    train_only: the training split alone is used. With folds it is learnt in every fold; it is never held out or scored.
    relative: its valence and arousal tell how tracks differ, not where they lie: only differences within a batch are
    learnt. For scales whose middle means something else.
    """

    reader: str
    options: dict[str, Any] = field(default_factory=dict)
    teacher: str | None = None
    train_only: bool = False
    relative: bool = False


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    va: "mse" or "ccc".  class_balanced: weight moods by their frequency (arXiv 2502.03979).
    distillation: "paper" or "ours", losses against the teacher (`m2e.training.objectives`); "targets", a table of soft
    labels is mixed into the labels; None: teachers are not used.
    teacher_weight: w in (1 - w) * labels + w * teacher, of a task that has both. For "targets" it may be given by
    "mood", "valence" and "arousal".  temperature: of the teacher, not for "targets".
    align_teacher: shift a table's moods to the prevalence of the labels, and scale its valence and arousal to their
    mean and deviation, both on the tracks that are learnt.
    """

    va: str = "mse"
    class_balanced: bool = False
    distillation: str | None = None
    teacher_weight: float | dict[str, float] = 0.8
    temperature: float = 1.0
    align_teacher: bool = False

    def __post_init__(self) -> None:
        one_of("objective.va", self.va, ("mse", "ccc"))
        one_of("objective.distillation", self.distillation, (None, "paper", "ours", "targets"))
        above_zero("objective.temperature", self.temperature)
        if isinstance(self.teacher_weight, dict):
            if self.distillation in ("paper", "ours"):
                raise TrainingError("objective.teacher_weight is given by task: that needs distillation: targets.")
            for name in self.teacher_weight:
                one_of("A name in objective.teacher_weight", name, WEIGHTED)
        for name in WEIGHTED:
            within("objective.teacher_weight", self.weight(name), 0, 1)

    def weight(self, name: str) -> float:
        """The teacher's weight for "mood", "valence" or "arousal"; 0 where it is not given."""
        if isinstance(self.teacher_weight, dict):
            return float(self.teacher_weight.get(name, 0.0))
        return self.teacher_weight

    @property
    def loss_weight(self) -> float:
        """The teacher's weight in the losses "paper" and "ours"."""
        return self.weight(WEIGHTED[0])


@dataclass(frozen=True)
class PartDropout:
    """A part of the features that is replaced by its mean over all tracks, for some tracks of every batch.

    of: "embeddings" or "harmony_statistics".  share: of the tracks of a batch.
    columns: first and end of the part, such as one net's columns of the embeddings; None: all.
    """

    of: str
    share: float
    columns: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        one_of("part_dropout.of", self.of, ("embeddings", "harmony_statistics"))
        within("part_dropout.share", self.share, 0, 1)
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
    part_dropout: parts that are dropped track by track, so that the model relies on none of them alone.
    mixing_temperature: T in the share of a data set of n tracks, n ** (1 / T); 1 = as they are, large = all alike.
    max_passes: how often a track may be used in an epoch.
    ema: decay of the moving average of the weights; None: none.  mixed_precision: "no", "bf16" or "fp16".
    choose: "best", the epoch that scores best on the validation sets, or "last".
    select: the scores that define "best", such as "deam.r2_valence"; empty: the mean over tasks and data sets.
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

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "mixing_temperature", "max_passes"):
            above_zero(f"training.{name}", getattr(self, name))
        if self.clip_norm is not None:
            above_zero("training.clip_norm", self.clip_norm)
        for name in ("warmup", "harmony_dropout", "ema"):
            within(f"training.{name}", getattr(self, name) or 0.0, 0, 1)
        one_of("training.schedule", self.schedule, SCHEDULES)
        one_of("training.segments", self.segments, ("random", "all"))
        one_of("training.mixed_precision", self.mixed_precision, ("no", "bf16", "fp16"))
        one_of("training.choose", self.choose, ("best", "last"))


@dataclass(frozen=True)
class ScaleRecipe:
    """What a calibrated model makes of valence and arousal, see `m2e.training.answers`.

    center: move the neutral point to 5.  stretch: share of the deviation that predictions lack and are given back.
    level: of the intervals.
    """

    center: bool = False
    stretch: float = 0.0
    level: float = 0.8

    def __post_init__(self) -> None:
        within("scale.stretch", self.stretch, 0, 1)
        within("scale.level", self.level, 0.01, 0.999)


@dataclass(frozen=True)
class CardNotes:
    """Texts for the model card that do not follow from the recipe, and more data sets by slug."""

    training: tuple[str, ...] = ()
    limits: str = ""
    license_notes: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """One model to publish.

    license: of its weights, as the hub names it.
    seeds: a network is trained and scored for each. The model is the first, or with ensemble the mean of all.
    folds: train one network more for each of so many folds of train + validation, grouped by artist, and score the
    data sets out of fold; the model itself then learns train + validation. None: no folds.
    start: model whose encoder, chord recogniser and weights are taken over; else
    encoder: {"type": "m2e-encoder"}, {"nets": [...]} of `modeling_taggers`, {"id": ..., "layers": [...]} of a MERT, or
    {"type": "transformers", "id": ..., "layers": [...]} of another network (`encoder_transformers_m2e`);
    "window_seconds", "hop_seconds", "skip_silence" and "harmony_seconds" in it are those of M2EFeatureExtractor; with
    chord_decoding: "smooth" or "paper".
    datasets: by name; protocol: "paper" or "clean", see `datasets_scripts.protocols`.
    moods: "data", those of the data sets; "start", those of the start model; "jamendo", the 56 of MTG-Jamendo; or a
    list.  model: {"preset": "default" or "paper", fields of M2EConfig}.
    calibrate: fit mood probabilities and answers (base rates, intervals, percentiles) on predictions out of fold,
    without folds on the validation sets.  scale: of valence and arousal then.
    """

    name: str
    license: str
    training: Training
    objective: Objective = field(default_factory=Objective)
    seeds: tuple[int, ...] = (0,)
    ensemble: bool = False
    folds: int | None = None
    start: str | None = None
    encoder: dict[str, Any] | None = None
    chord_decoding: str = "smooth"
    datasets: Mapping[str, DataRecipe] = field(default_factory=dict)
    protocol: str = "clean"
    moods: str | tuple[str, ...] = "data"
    model: dict[str, Any] = field(default_factory=dict)
    calibrate: bool = False
    scale: ScaleRecipe = field(default_factory=ScaleRecipe)
    card: CardNotes = field(default_factory=CardNotes)

    def __post_init__(self) -> None:
        if (self.start is None) == (self.encoder is None):
            raise TrainingError(f"The recipe {self.name} needs a start or an encoder, one of the two.")
        if not self.datasets:
            raise TrainingError(f"The recipe {self.name} names no data set.")
        if all(each.train_only for each in self.datasets.values()):
            raise TrainingError(f"The recipe {self.name} has train_only data sets alone: nothing could be scored.")
        if self.start is None and (self.moods == START or any(d.teacher == START for d in self.datasets.values())):
            raise TrainingError(f"The recipe {self.name} has no start that moods or a teacher could be taken from.")
        if not self.seeds:
            raise TrainingError(f"The recipe {self.name} has no seed.")
        if min(self.seeds) < 0:
            raise TrainingError(f"The recipe {self.name} has the seed {min(self.seeds)}: give numbers from 0.")
        if self.folds is not None and self.folds < 2:
            raise TrainingError(f"The recipe {self.name} has folds: {self.folds}: give at least 2.")
        if self.folds is not None and self.training.choose == "best":
            raise TrainingError(
                f"The recipe {self.name} has folds, so that no validation set is left to choose the best epoch by: "
                "set training.choose=last."
            )
        if self.objective.distillation == "targets":
            for name, entry in self.datasets.items():
                if entry.teacher is not None and Path(entry.teacher).suffix not in TABLES:
                    raise TrainingError(
                        f"The teacher of {name} is {entry.teacher}, but distillation: targets mixes a table into the "
                        f"labels: give a file ({', '.join(TABLES)}), or choose the distillation ours."
                    )

    def alone(self, dataset: str) -> "Recipe":
        """The recipe of the teacher of one data set."""
        return replace(
            self,
            name=f"{self.name}-teacher-{dataset}",
            datasets={dataset: replace(self.datasets[dataset], teacher=None, train_only=False)},
            objective=replace(self.objective, distillation=None),
            training=replace(self.training, select=()),
            seeds=self.seeds[:1],
            ensemble=False,
            folds=None,
            card=CardNotes(),
        )


def read_recipe(path: str | Path, ablations: Iterable[str] = (), settings: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe in a YAML file, changed by its ablations of these names and then by settings. Raises TrainingError."""
    return recipe_of(path, read_settings(path, ablations, settings))


def recipe_of(path: str | Path, content: Mapping[str, Any]) -> Recipe:
    """The recipe with the content of a YAML file. Raises TrainingError."""
    given = content.get("datasets") or {}
    if not isinstance(given, Mapping):
        raise TrainingError(f"{path}, datasets holds {given!r}, not data sets by name.")
    datasets = {}
    for name, entry in given.items():
        entry = {"reader": name} | entry if isinstance(entry, dict) else entry or {"reader": name}
        datasets[name] = section(DataRecipe, entry, f"{path}, datasets.{name}")
    parts = {name: content.get(name) or {} for name in ("training", "objective", "scale", "card")}
    return section(Recipe, {**content, **parts, "datasets": datasets}, str(path))
