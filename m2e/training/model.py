"""One model of a recipe: a network for every seed, folds, calibration, scores on the test sets, and its folder."""

import copy
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed
from rich.console import Console

from m2e.errors import TrainingError
from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import summary
from m2e.evaluation.report import report, result
from m2e.evaluation.score import Evaluation, score
from m2e.training import answers, calibration, held_out
from m2e.training.data import Material, moods_of
from m2e.training.folds import Rows, grouped_folds
from m2e.training.held_out import HeldOut
from m2e.training.loop import Fitted, fit
from m2e.training.network import continued, ensemble, fit_scale, neutralise_untrained_va, new_network
from m2e.training.output import as_stored, make_facts, save_model
from m2e.training.packed import LabelledTracks, Teacher, learnt_tasks, mood_frequencies
from m2e.training.recipe import OWN, START, TABLES, Recipe
from m2e.training.soft_labels import aligned, mixed
from m2e.training.teachers import ModelTeacher, TableTeacher, model_teacher
from m2e.training.validation import Outputs, emotions, evaluate, predict, predict_excerpts
from modeling_m2e import M2EForMusicEmotion, M2EProcessor
from modeling_m2e.answers_m2e import Answers

RESAMPLES = 1000  # of the bootstrap of the scores' intervals
EXCERPT_WINDOWS = (1, 2, 4, 8, 16)  # of the parts of held-out tracks that are predicted, too


@dataclass(frozen=True)
class Run:
    """What all models of a run share.

    start: the model that they continue, if any.  chords: folder that the recogniser was loaded from.  folders: of the
    data sets.  file: of the recipe.  ablations: those that were requested.
    """

    accelerator: Accelerator
    processor: M2EProcessor
    start: M2EForMusicEmotion | None
    chords: Path | None
    folders: Mapping[str, str]
    file: Path
    ablations: Sequence[str] = ()

    def report(self, sentence: str) -> None:
        """Prints on stderr, once whatever the number of processes."""
        if self.accelerator.is_main_process:
            print(sentence, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Trained:
    """The network of one seed. held: its predictions for held-out tracks by data set; out of fold where there are
    folds, else for the validation sets."""

    model: M2EForMusicEmotion
    epoch: int
    tasks: tuple[str, ...]
    held: Mapping[str, Outputs]


@dataclass(frozen=True)
class Trainer:
    """Trains and scores the networks of one model.

    out: folder of the model, next to which its teachers are.
    """

    recipe: Recipe
    data: Mapping[str, Material]
    moods: Sequence[str]
    out: Path
    run: Run

    # --- tracks ---

    def rows(self, *splits: str, train_only: bool = False) -> dict[str, np.ndarray]:
        """The tracks of some splits by data set, of those that are train_only or of the others."""
        chosen = {name: each for name, each in self.data.items() if self.recipe.datasets[name].train_only == train_only}
        return {name: np.sort(np.concatenate([each.rows(split) for split in splits])) for name, each in chosen.items()}

    def learnt(self, rows: Rows) -> Rows:
        """These tracks and all of train_only data sets, in the order of the recipe."""
        extra = self.rows("train", train_only=True)
        return {name: rows[name] if name in rows else extra[name] for name in self.data}

    @property
    def held_rows(self) -> Rows:
        """The tracks that `Trained.held` predicts."""
        return self.rows("train", "validation") if self.recipe.folds else self.rows("validation")

    def labels(self, name: str, learnt: np.ndarray) -> Emotions:
        """What is learnt of a data set: its labels, mixed with soft labels where the recipe says so.

        learnt: the tracks by which soft labels are aligned.
        """
        labels, reference = self.data[name].labels(self.moods), self.recipe.datasets[name].teacher
        objective = self.recipe.objective
        if reference is None or objective.distillation != "targets":
            return labels
        soft = self.data[name].soft_labels(reference, self.moods)
        return mixed(labels, aligned(soft, labels, learnt) if objective.align_teacher else soft, objective)

    def teacher(self, name: str, labels: Emotions, learnt: np.ndarray, config: Any) -> Teacher | None:
        """The teacher of a data set for the losses "paper" and "ours", for a student of this configuration."""
        reference, objective = self.recipe.datasets[name].teacher, self.recipe.objective
        if reference is None or objective.distillation not in ("paper", "ours"):
            return None
        teacher: Teacher
        if Path(reference).suffix in TABLES:
            soft = self.data[name].soft_labels(reference, self.moods)
            soft = aligned(soft, labels, learnt) if objective.align_teacher else soft
            teacher = TableTeacher(soft.moods, soft.va, config)
        elif reference == START and self.run.start is not None:
            teacher = ModelTeacher(copy.deepcopy(self.run.start), config)
        else:
            place = teacher_folder(self.out, name) if reference == OWN else reference
            teacher = model_teacher(place, self.run.processor, config)
        return teacher.to(self.run.accelerator.device)

    # --- networks ---

    def train(self, learnt: Rows, held_out: Rows, seed: int, folder: Path) -> tuple[Fitted, tuple[str, ...]]:
        """A network, and the tasks that it has learnt.

        held_out: what the best epoch is chosen by.  folder: for the checkpoint and the log.
        """
        recipe, run = self.recipe, self.run
        sources = {
            name: replace(
                self.data[name].tracks(rows, self.moods),
                labels=self.labels(name, rows),
                relative=recipe.datasets[name].relative,
            )
            for name, rows in learnt.items()
            if len(rows)
        }
        main = [source for name, source in sources.items() if not recipe.datasets[name].train_only]
        if not main:
            raise TrainingError(f"No track of {', '.join(self.data)} is in the split train: check the splits.")
        every = list(sources.values())
        frequencies = mood_frequencies(every) if recipe.objective.class_balanced and self.moods else None
        settings = ({"num_quadrants": 4} if "quadrant" in learnt_tasks(every) else {}) | recipe.model
        set_seed(seed)
        if run.start is None:
            model = new_network(settings, self.moods, frequencies, main)
        else:
            model = continued(run.start, settings, self.moods, frequencies)
            fit_scale(model, main)
        for name, source in sources.items():
            teacher = self.teacher(name, source.labels, source.rows, model.config)
            sources[name] = replace(source, teacher=teacher)
        every = list(sources.values())
        check_heads(every, model)
        fitted = fit(
            model,
            every,
            recipe.training,
            recipe.objective,
            seed,
            run.accelerator,
            [tracks for name, rows in held_out.items() if len(tracks := self.data[name].tracks(rows, self.moods))],
            folder,
            report=lambda row: run.report(describe(recipe, row)),
            visible=run.accelerator.is_main_process and sys.stderr.isatty(),
        )
        tasks = learnt_tasks(every)
        neutralise_untrained_va(fitted.model, tasks)
        return fitted, tasks

    def cross_validate(
        self, seed: int, folder: Path, inspect: Callable[[M2EForMusicEmotion], Any] = lambda model: None
    ) -> dict[str, Outputs]:
        """Predictions out of fold for `held_rows`. inspect: called with the network of every fold."""
        rows, number = self.held_rows, self.recipe.folds
        if number is None:
            raise ValueError("cross_validate needs a recipe with folds.")
        groups = {name: self.data[name].groups() for name in rows}
        collected: dict[str, Outputs] = {name: {} for name in rows}
        for index, (learnt, held) in enumerate(grouped_folds(rows, groups, number)):
            model = self.train(self.learnt(learnt), {}, seed, folder / str(index))[0].model
            inspect(model)
            for name in (name for name in rows if len(held[name])):
                places = np.searchsorted(rows[name], held[name])
                for output, values in self.held(model, name, held[name]).items():
                    empty = np.zeros((len(rows[name]), *values.shape[1:]))
                    collected[name].setdefault(output, empty)[places] = values
        return {name: outputs for name, outputs in collected.items() if outputs}

    def held(self, model: M2EForMusicEmotion, name: str, rows: np.ndarray) -> Outputs:
        """The predictions for tracks that are held out, and for parts of those with several windows."""
        tracks = self.data[name].tracks(rows, self.moods)
        return predict(model, tracks) | {"excerpt_va": predict_excerpts(model, tracks, EXCERPT_WINDOWS)}

    def train_seed(self, seed: int) -> Trained:
        """The network of one seed, calibrated where the recipe says so, and rounded as it is stored."""
        folder = self.out if seed == self.recipe.seeds[0] else self.out / "seeds" / str(seed)
        if self.recipe.folds:
            held = self.cross_validate(seed, self.out / "seeds" / str(seed) / "folds")
            fitted, tasks = self.train(self.learnt(self.rows("train", "validation")), {}, seed, folder)
        else:
            validation = self.rows("validation")
            fitted, tasks = self.train(self.learnt(self.rows("train")), validation, seed, folder)
            held = {
                name: self.held(fitted.model, name, rows)
                for name, rows in validation.items()
                if len(rows) and self.recipe.calibrate
            }
        trained = Trained(as_stored(fitted.model), fitted.epoch, tasks, held)
        self.calibrate(trained)
        return trained

    def together(self, trained: Sequence[Trained]) -> Trained:
        """The networks of all seeds as one that answers with their mean."""
        held = {
            name: {output: np.mean([each.held[name][output] for each in trained], 0) for output in outputs}
            for name, outputs in trained[0].held.items()
        }
        for name, outputs in held.items():
            for output in ("va", "excerpt_va"):
                outputs[f"{output}_spread"] = np.std([each.held[name][output] for each in trained], 0)
        model = ensemble([each.model for each in trained])
        all_seeds = Trained(model, trained[0].epoch, trained[0].tasks, held)
        self.calibrate(all_seeds)
        return all_seeds

    def calibrate(self, trained: Trained) -> None:
        """Fits mood probabilities and answers on the held-out predictions, in place, where the recipe says so."""
        pairs = []
        for name, outputs in trained.held.items() if self.recipe.calibrate else ():
            held = self.held_rows[name]
            moods = self.labels(name, held if self.recipe.folds else self.rows("train")[name]).moods[held]
            if not np.isnan(moods).all():
                pairs.append((outputs["mood_logits"], moods))
        if pairs:
            calibration.calibrate(trained.model.config, *map(np.concatenate, zip(*pairs, strict=True)))
        if self.recipe.calibrate and (tracks := self.held_out(trained)):
            config, scale = trained.model.config, self.recipe.scale
            config.answers = answers.fit(config, tracks, scale.center, scale.stretch, scale.level).to_dict()

    def held_out(self, trained: Trained) -> dict[str, HeldOut]:
        """The held-out predictions of data sets, with their labels."""
        extractor, found = self.run.processor.feature_extractor, {}
        hop = extractor.hop_seconds or extractor.window_seconds
        for name, outputs in trained.held.items():
            tracks = self.data[name].tracks(self.held_rows[name], self.moods)
            windows = np.concatenate([tracks.features.window_counts(tracks.rows), EXCERPT_WINDOWS])
            seconds = extractor.window_seconds + (windows - 1) * hop
            whole, excerpts = np.split(seconds, [len(tracks)])
            found[name] = HeldOut.of(outputs, tracks.labels[tracks.rows], whole, excerpts)
        return found

    # --- scores ---

    def test(self, model: M2EForMusicEmotion, resamples: int = 0) -> dict[str, Evaluation]:
        """The scores on the test sets that have labels."""
        tracks = [self.data[name].tracks(rows, self.moods) for name, rows in self.rows("test").items()]
        return {each.name: evaluate(model, each, resamples) for each in tracks if each.tasks}

    def out_of_fold(self, trained: Trained, resamples: int = 0) -> dict[str, Evaluation]:
        """The scores out of fold; none where there are no folds."""
        scored = {}
        for name, outputs in trained.held.items() if self.recipe.folds else ():
            tracks = self.data[name].tracks(self.held_rows[name], self.moods)
            predictions = emotions(outputs, trained.model.config)
            if tracks.tasks:
                labels = tracks.labels[tracks.rows]
                scored[name] = score(labels, predictions, self.moods, resamples=resamples)
        return scored

    def results(self, scored: Mapping[str, Evaluation], split: str) -> list[dict]:
        """Entries of evaluation.json. "name": of the data set in the recipe, as in over_seeds."""
        recipe, made = self.recipe, []
        for name, each in scored.items():
            entry, folder = recipe.datasets[name], self.run.folders[name]
            options = entry.options
            made.append(
                {"name": name} | result(recipe.name, entry.reader, folder, split, recipe.protocol, options, each)
            )
        return made


def train_model(recipe: Recipe, data: Mapping[str, Material], out: Path, run: Run) -> None:
    """Leaves the model in `out`, with its scores and its card: the network of the first seed, whatever it scores, or
    with `recipe.ensemble` all networks together."""
    moods = moods_of(recipe, [each.dataset for each in data.values()], run.start)
    trainer = Trainer(recipe, data, moods, out, run)
    trained, tests, folds = [], [], []
    for seed in recipe.seeds:
        trained.append(trainer.train_seed(seed))
        tests.append(_flat(trainer.test(trained[-1].model)))
        folds.append(_flat(trainer.out_of_fold(trained[-1])))
        parts = {"folds": folds[-1]} if recipe.folds else {}
        run.report(f"{recipe.name}: scores of seed {seed}: {json.dumps(parts | {'test': tests[-1]})}")
    model = trainer.together(trained) if recipe.ensemble else trained[0]

    scored = trainer.test(model.model, RESAMPLES)
    evaluation: dict[str, Any] = {"results": trainer.results(scored, "test")}
    several = len(recipe.seeds) > 1
    if several:
        evaluation |= {"seeds": list(recipe.seeds), "over_seeds": summary(tests)}
    if recipe.folds:
        out_of_fold = trainer.results(trainer.out_of_fold(model, RESAMPLES), "folds")
        evaluation["folds"] = {"number": recipe.folds, "results": out_of_fold}
        evaluation["folds"] |= {"over_seeds": summary(folds)} if several else {}
    if run.accelerator.is_main_process:
        counts = {name: {split: len(each.rows(split)) for split in SPLITS} for name, each in data.items()}
        facts = make_facts(recipe, run.file.name, run.ablations, counts, model.tasks, model.epoch)
        save_model(out, model.model, run.processor, evaluation, facts, run.chords)
        if recipe.calibrate and (tracks := trainer.held_out(model)):
            held_out.save(out, tracks)
            for line in answers.report(
                model.model.config, tracks, Answers.read(model.model.config.answers, len(moods))
            ):
                run.report(f"{recipe.name}: {line}")
        for name, each in scored.items():
            Console().print(report(f"{recipe.name} on {name}, test: {each.tracks} tracks", each))
    run.accelerator.wait_for_everyone()  # a student may wait for it


SPLITS = ("train", "validation", "test")


def _flat(scored: Mapping[str, Evaluation]) -> dict[str, float]:
    return {f"{name}.{key}": value for name, each in scored.items() for key, value in each.scores.items()}


def teacher_folder(out: Path, dataset: str) -> Path:
    """The folder of the teacher of one data set: next to the model's."""
    return out.with_name(f"{out.name}-teacher-{dataset}")


def check_heads(sources: Sequence[LabelledTracks], model: M2EForMusicEmotion) -> None:
    """Raises TrainingError for a data set that no head of the model could learn from."""
    config = model.config
    heads = {"va"} | ({"mood"} if config.num_labels else set()) | ({"quadrant"} if config.num_quadrants else set())
    for source in sources:
        tasks = learnt_tasks([source])
        if not tasks:
            raise TrainingError(
                f"No training track of {source.name} has a label, and no teacher knows one: check its table."
            )
        if not heads & set(tasks):
            raise TrainingError(
                f"{source.name} has labels of {' and '.join(tasks)} alone, for which the model has no head: remove it "
                "from datasets, or give the model that head (model.num_quadrants=4, moods)."
            )


def describe(recipe: Recipe, row: dict) -> str:
    """A row of the log as one line."""
    losses = ", ".join(f"{name} {task} {v:.3f}" for name, by in row["losses"].items() for task, v in by.items())
    scored = "" if row.get("score") is None else f"; score {row['score']:.4f}"
    rate = f"{row['tracks_per_second']:.0f} tracks a second"
    return f"{recipe.name}: epoch {row['epoch']} of {recipe.training.epochs}: {losses}{scored}; {rate}"
