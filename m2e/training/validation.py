"""Predictions for held-out tracks, their scores, and the score that the best epoch is chosen by."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from m2e.errors import TrainingError
from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import DIMENSIONS
from m2e.evaluation.score import Evaluation, score
from m2e.training.objectives import OUTPUTS
from m2e.training.packed import LabelledTracks
from modeling_m2e.modeling_m2e import M2EForMusicEmotion
from modeling_m2e.output_m2e import interpret

Outputs = dict[str, np.ndarray]  # of a network for n tracks, by the names of M2EOutput
MAIN_SCORES = (  # by task, where a recipe does not select others
    ("mood_roc_auc", "mood_pr_auc"),
    tuple(f"r2_{dimension}" for dimension in DIMENSIONS),
    ("quadrant_f1",),
)
_ROWS_AT_ONCE = 256


@torch.inference_mode()
def predict(model: M2EForMusicEmotion, source: LabelledTracks) -> Outputs:
    """mood_logits (n, M), va (n, 2) and, with that head, quadrant_logits (n, 4) of the rows. Puts the model in eval
    mode."""
    model.eval()
    outputs: dict[str, list[torch.Tensor]] = {}
    for start in range(0, len(source), _ROWS_AT_ONCE):
        inputs = source.features.batch(source.rows[start : start + _ROWS_AT_ONCE])
        inputs = {name: values.to(model.device) for name, values in inputs.items()}
        output = model(**inputs, output_windows=False)
        for name in OUTPUTS.values():
            if output.get(name) is not None:
                outputs.setdefault(name, []).append(output[name].float().cpu())
    return {name: torch.cat(parts).numpy() for name, parts in outputs.items()}


@torch.inference_mode()
def predict_excerpts(model: M2EForMusicEmotion, source: LabelledTracks, windows: Sequence[int]) -> np.ndarray:
    """(n, K, 2) valence and arousal of the middle `windows[k]` windows of each row, with the harmony of the whole; NaN
    for a row that has no more windows. Puts the model in eval mode."""
    model.eval()
    found = np.full((len(source), len(windows), 2), np.nan)
    counts = source.features.window_counts(source.rows)
    for place, size in enumerate(windows):
        longer = np.flatnonzero(counts > size)
        for start in range(0, len(longer), _ROWS_AT_ONCE):
            rows = longer[start : start + _ROWS_AT_ONCE]
            spans = np.column_stack([(counts[rows] - size) // 2, np.full(len(rows), size)])
            inputs = source.features.batch(source.rows[rows], spans)
            inputs = {name: values.to(model.device) for name, values in inputs.items()}
            found[rows, place] = model(**inputs, output_windows=False).va.float().cpu().numpy()
    return found


def emotions(outputs: Outputs, config: Any) -> Emotions:
    """Predictions as a record has them: calibrated probabilities, values on the scale, the quadrant."""
    known = {name: outputs[name] for name in OUTPUTS.values() if name in outputs}
    return Emotions(*interpret(**known, config=config))


def evaluate(model: M2EForMusicEmotion, source: LabelledTracks, resamples: int = 0, seed: int = 0) -> Evaluation:
    """The scores of a model on the rows of a source. Raises DataError where none has a label."""
    predictions = emotions(predict(model, source), model.config)
    return score(source.labels[source.rows], predictions, model.config.moods, resamples=resamples, seed=seed)


def selection_score(scores: dict[str, dict[str, float]], select: tuple[str, ...] = ()) -> float:
    """The score of an epoch: the mean of the selected scores ("deam.r2_valence") that are defined.

    scores: by data set and name.  select: empty = the mean over data sets of the mean over their tasks of MAIN_SCORES.
    NaN where none is defined. Raises TrainingError for a selected score that does not exist.
    """
    if select:
        there = {f"{name}.{key}": value for name, found in scores.items() for key, value in found.items()}
        if absent := [each for each in select if each not in there]:
            raise TrainingError(f"training.select names {', '.join(absent)}: there are {', '.join(there)}.")
        return _mean([there[each] for each in select])
    return _mean(
        [_mean([_mean([found.get(key, np.nan) for key in keys]) for keys in MAIN_SCORES]) for found in scores.values()]
    )


def _mean(values: list[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
