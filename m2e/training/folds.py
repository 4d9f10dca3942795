"""The protocol of m2e-small on Panda 4Q: targets of words and teachers, artist-grouped folds, one look at the test.

Choices are made on the folds, several seeds each; the test split is looked at once, by the final models. The networks
of all seeds together are the model (deep ensemble): each learns from the data in another order.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed
from sklearn.model_selection import GroupKFold

from m2e.datasets.panda4q import Clips, read_clips
from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import emotion_scores, summary
from m2e.evaluation.score import Evaluation, score
from m2e.features.cache import cached_features
from m2e.publish.card import write_card
from m2e.training.calibration import platt
from m2e.training.loop import Fitted, fit
from m2e.training.network import ensemble, new_network
from m2e.training.output import as_stored, save_model
from m2e.training.packed import Features, Source, pack
from m2e.training.recipe import Recipe
from m2e.training.validation import emotions, predict
from modeling_m2e import M2EConfig, M2EProcessor
from modeling_m2e.configuration_m2e import JAMENDO_MOODS
from modeling_m2e.output_m2e import sigmoid

NAME = "4q"

# --- targets ---


def shift_to_prevalence(logits: np.ndarray, prevalence: float) -> np.ndarray:
    """Probabilities whose mean is ``prevalence``: the logits plus the one constant that does it."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(logits + middle).mean() < prevalence else (low, middle)
    return sigmoid(logits + low)


def mood_targets(clips: Clips, teacher_share: float) -> np.ndarray:
    """(n, 56) soft labels: the teacher's probabilities, mixed with the mapped AllMusic words where there are any.

    There the teacher is first moved to the words' prevalence: its own is that of another music library.
    """
    targets = sigmoid(clips.teacher_mood_logits.astype(np.float64))
    for tag in np.flatnonzero(~np.isnan(clips.moods[0])):
        words = clips.moods[:, tag]
        if words.sum() > 0:
            teacher = shift_to_prevalence(clips.teacher_mood_logits[:, tag].astype(np.float64), words.mean())
            targets[:, tag] = teacher_share * teacher + (1 - teacher_share) * words
    return targets


def va_targets(clips: Clips, teacher_share: dict[str, float], fit_rows: np.ndarray) -> np.ndarray:
    """(n, 2) the labels mixed with the EmoMusic teacher, which is brought to the labels' mean and deviation.

    fit_rows: from which mean and deviation are taken.
    """
    teacher, labels = clips.teacher_va.astype(np.float64), clips.va
    scale = labels[fit_rows].std(0) / teacher[fit_rows].std(0)
    aligned = (teacher - teacher[fit_rows].mean(0)) * scale + labels[fit_rows].mean(0)
    share = np.array([teacher_share["valence"], teacher_share["arousal"]])
    return share * aligned + (1 - share) * labels


def source(recipe: Recipe, clips: Clips, features: Features, rows: np.ndarray) -> Source:
    """The clips of these rows with what is learnt of them."""
    moods = mood_targets(clips, recipe.targets["mood_teacher_share"])
    va = va_targets(clips, recipe.targets["va_teacher_share"], rows)
    return Source(NAME, features, Emotions(moods, va, clips.quadrants), rows)


# --- folds ---


def train(
    recipe: Recipe,
    clips: Clips,
    features: Features,
    rows: np.ndarray,
    seed: int,
    accelerator: Accelerator,
    folder: Path | None = None,
    beside: Sequence[Source] = (),
) -> Fitted:
    """The network trained on these rows, and on what is learnt beside them."""
    learnt = source(recipe, clips, features, rows)
    set_seed(seed)
    moods = recipe.moods if isinstance(recipe.moods, tuple) else JAMENDO_MOODS
    model = new_network(recipe.model, moods, None, [learnt])
    return fit(model, [learnt, *beside], recipe.training, recipe.objective, seed, accelerator, folder=folder)


def out_of_fold(
    recipe: Recipe,
    clips: Clips,
    rows: np.ndarray,
    predicted: Callable[[int, np.ndarray, np.ndarray], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Predictions for ``rows`` in artist-grouped folds. predicted: called with the number of a fold, the rows to learn
    from and those held out, gives predictions for the latter."""
    collected: dict[str, np.ndarray] = {}
    folds = GroupKFold(recipe.folds).split(rows, groups=clips.artists[rows])
    for number, (learnt, held) in enumerate(folds):
        for name, values in predicted(number, rows[learnt], rows[held]).items():
            collected.setdefault(name, np.zeros((len(rows), values.shape[1])))[held] = values
    return collected


def cross_validate(
    recipe: Recipe,
    clips: Clips,
    features: Features,
    rows: np.ndarray,
    seed: int,
    accelerator: Accelerator,
    folder: Path | None = None,
    beside: Sequence[Source] = (),
) -> dict[str, np.ndarray]:
    """Out-of-fold predictions for ``rows`` in artist-grouped folds. folder: for the checkpoints, one per fold.
    beside: what every fold learns, too."""

    def predicted(number: int, learnt: np.ndarray, held: np.ndarray) -> dict[str, np.ndarray]:
        where = None if folder is None else folder / f"fold{number}"
        model = train(recipe, clips, features, learnt, seed, accelerator, where, beside).model
        return predict(model, source(recipe, clips, features, held))

    return out_of_fold(recipe, clips, rows, predicted)


def scores(recipe: Recipe, predictions: dict[str, np.ndarray], clips: Clips, rows: np.ndarray) -> dict[str, float]:
    """Of predictions for these rows."""
    neutral = recipe.model["neutral_valence"], recipe.model["neutral_arousal"]
    return emotion_scores(predictions, clips.quadrants[rows], clips.va[rows], clips.moods[rows], neutral)


def judged(clips: Clips, rows: np.ndarray, predictions: dict[str, np.ndarray], config: M2EConfig) -> Evaluation:
    """The scores of a model's predictions for these rows, with intervals."""
    labels = Emotions(clips.moods, clips.va, clips.quadrants)[rows]
    return score(labels, emotions(predictions, config), config.moods)


# --- the run ---


def run(
    recipe: Recipe,
    data: Path,
    processor: M2EProcessor,
    cache: Path,
    out: Path,
    accelerator: Accelerator,
    beside: Sequence[Source] = (),
    chords: Path | None = None,
    report: Callable[[str], None] = print,
) -> dict:
    """The evaluation, once the model, the networks of all seeds together, and its card are in ``out``.

    data: 4Q folder with a table and soft labels, see `datasets_scripts.panda4q`.  cache: for features.  beside: what is
    learnt, too, in all folds.  chords: folder of the recogniser in the processor.  report: called with a line on every
    seed.
    """
    clips = read_clips(data)
    with accelerator.main_process_first():
        tracks = cached_features(clips.ids.tolist(), clips.paths, processor, cache, report)
    features = pack(tracks, processor.collate)

    known, test = np.flatnonzero(clips.splits != "test"), np.flatnonzero(clips.splits == "test")
    looked_at = source(recipe, clips, features, test)
    fold_scores, test_scores, models, held_out = [], [], [], []
    for seed in recipe.seeds:
        folder = out / "seeds" / str(seed)
        held_out.append(cross_validate(recipe, clips, features, known, seed, accelerator, folder, beside))
        fold_scores.append(scores(recipe, held_out[-1], clips, known))
        fitted = train(recipe, clips, features, known, seed, accelerator, folder / "all", beside)
        models.append(as_stored(fitted.model))
        test_scores.append(scores(recipe, predict(models[-1], looked_at), clips, test))
        report(json.dumps({"seed": seed, "folds": fold_scores[-1], "test": test_scores[-1]}))

    model, held = ensemble(models), {name: np.mean([each[name] for each in held_out], 0) for name in held_out[0]}
    targets = mood_targets(clips, recipe.targets["mood_teacher_share"])[known]
    scale, offsets, thresholds = platt(held["mood_logits"], targets)
    model.config.mood_scale = [scale] * len(offsets)
    model.config.mood_offset, model.config.mood_thresholds = offsets.tolist(), thresholds.tolist()
    together = {
        "folds": judged(clips, known, held, model.config),
        "test": judged(clips, test, predict(model, looked_at), model.config),
    }
    evaluation = {
        "model": recipe.name,
        "seeds": list(recipe.seeds),
        "folds": summary(fold_scores),
        "test": summary(test_scores),
        "shipped_folds": {name: together["folds"].scores[name] for name in fold_scores[0]},
        "shipped_test": {name: together["test"].scores[name] for name in (*test_scores[0], "mood_ece")},
        "intervals": {part: each.intervals for part, each in together.items()},
    }
    if accelerator.is_main_process:
        save_model(out, model, processor, evaluation, None, chords)
        facts = {"name": recipe.name, "seeds": recipe.seeds, "targets": recipe.targets}
        facts["beside"] = {each.name: len(each) for each in beside}
        write_card(out, facts, evaluation, len(known), len(set(clips.artists[known])))
    return evaluation
