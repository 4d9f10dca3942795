"""Tables of soft labels: what a teacher predicted for the tracks of a data set.

They are read from CSV, Parquet or NumPy files, aligned with the labels, and mixed into them where a recipe says so.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from m2e.errors import TrainingError, reason
from m2e.evaluation.data import Emotions
from m2e.training.recipe import Objective
from modeling_m2e.output_m2e import sigmoid

MOODS_ARRAYS, VA_ARRAYS = ("moods_logits",), ("va", "va_emomusic")  # names in a .npz file, in order of preference


@dataclass(frozen=True)
class SoftLabels:
    """Of n tracks, NaN where unknown. moods: (n, M) probabilities.  va: (n, 2) valence, arousal, 1-9."""

    moods: np.ndarray
    va: np.ndarray


# --- reading ---


def read_soft_labels(
    path: str | Path, ids: Sequence[str], audio: Sequence, moods: Sequence[str], read_ids: Sequence[str] = ()
) -> SoftLabels:
    """The soft labels of the tracks `ids`, for a model with these moods.

    path: CSV or Parquet such as `m2e predict --format csv` writes, with the columns id, or path (matched by file name);
    mood_LABEL, calibrated probabilities; valence and arousal, 1-9. Or .npz with the arrays moods (names), moods_logits
    and va (or va_emomusic), one row per track of the data set in the order in which it is read, `read_ids`. Moods, or
    valence and arousal, may be missing. Raises TrainingError.
    """
    path = Path(path)
    if path.suffix == ".npz":
        soft = _of_arrays(path, ids, moods, read_ids or ids)
    else:
        soft = _of_table(path, ids, audio, moods)
    if np.isnan(soft.moods).all() and np.isnan(soft.va).all():
        raise TrainingError(f"{path} has no soft labels of these tracks: no row, or no mood, valence or arousal.")
    if (soft.moods < 0).any() or (soft.moods > 1).any():
        raise TrainingError(f"{path} holds moods that are no probabilities: give numbers from 0 to 1.")
    if np.isinf(soft.va).any():
        raise TrainingError(f"{path} holds infinite valence or arousal: give numbers from 1 to 9.")
    return soft


def _of_table(path: Path, ids: Sequence[str], audio: Sequence, moods: Sequence[str]) -> SoftLabels:
    import pandas

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
    columns = [*(f"mood_{mood}" for mood in moods), "valence", "arousal"]
    rows = table.set_axis(keys, axis=0).reindex(index=wanted, columns=columns)
    try:
        values = rows.to_numpy(np.float64)
    except ValueError as error:
        raise TrainingError(f"{path} holds soft labels that are no numbers ({reason(error)}).") from error
    return SoftLabels(values[:, :-2], values[:, -2:])


def _of_arrays(path: Path, ids: Sequence[str], moods: Sequence[str], read_ids: Sequence[str]) -> SoftLabels:
    try:
        with np.load(path) as file:  # without pickled arrays, which could run code
            wanted = {"moods", *MOODS_ARRAYS, *VA_ARRAYS} & set(file.files)
            arrays = {name: file[name] for name in wanted}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise TrainingError(f"{path} cannot be read as soft labels ({reason(error)}).") from error
    places = {track: place for place, track in enumerate(read_ids)}
    rows = [places[track] for track in ids]

    def values(names: tuple[str, ...], width: int) -> np.ndarray:
        name = next((name for name in names if name in arrays), None)
        if name is None:
            return np.full((len(rows), width), np.nan)
        if arrays[name].shape != (len(read_ids), width):
            raise TrainingError(
                f"{path} holds {name} of shape {arrays[name].shape}, but the data set has {len(read_ids)} tracks: give "
                "the file that belongs to it."
            )
        return arrays[name][rows].astype(np.float64)

    names = arrays.get("moods", np.array([], str)).tolist()
    of_teacher = sigmoid(values(MOODS_ARRAYS, len(names)))
    columns = [names.index(mood) if mood in names else -1 for mood in moods]
    known = np.array(columns, dtype=np.int64) >= 0
    chosen = np.full((len(rows), len(moods)), np.nan)
    chosen[:, known] = of_teacher[:, [column for column in columns if column >= 0]]
    return SoftLabels(chosen, values(VA_ARRAYS, 2))


# --- with labels ---


def aligned(soft: SoftLabels, labels: Emotions, rows: np.ndarray) -> SoftLabels:
    """The soft labels on the scale of the labels, as these rows show it.

    The log-odds of a mood are shifted so that its mean probability is the labels' prevalence; valence and arousal get
    the labels' mean and deviation. What has no label, or no positive one, stays as it is.
    """
    moods, va = soft.moods.copy(), soft.va.copy()
    for tag in range(moods.shape[1]):
        known = rows[~np.isnan(labels.moods[rows, tag]) & ~np.isnan(moods[rows, tag])]
        prevalence = labels.moods[known, tag].mean() if len(known) else 0.0
        if 0 < prevalence < 1:
            bounded = np.clip(moods[:, tag], 1e-9, 1 - 1e-9)
            log_odds = np.log(bounded) - np.log1p(-bounded)
            moods[:, tag] = sigmoid(log_odds + prevalence_shift(log_odds[known], prevalence))
    for dimension in range(2):
        known = rows[~np.isnan(labels.va[rows, dimension]) & ~np.isnan(va[rows, dimension])]
        if len(known) > 1 and (deviation := va[known, dimension].std()) > 0:
            truth = labels.va[known, dimension]
            scale = truth.std() / deviation
            va[:, dimension] = (va[:, dimension] - va[known, dimension].mean()) * scale + truth.mean()
    return SoftLabels(moods, va)


def prevalence_shift(log_odds: np.ndarray, prevalence: float) -> float:
    """What has to be added to log-odds so that the mean probability is `prevalence`."""
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(log_odds + middle).mean() < prevalence else (low, middle)
    return low


def mixed(labels: Emotions, soft: SoftLabels, objective: Objective) -> Emotions:
    """(1 - w) * labels + w * soft labels where a track has both, else the one that it has."""

    def mix(hard: np.ndarray, teacher: np.ndarray, weight: Any) -> np.ndarray:
        both = (1 - weight) * hard + weight * teacher
        return np.where(np.isnan(hard), teacher, np.where(np.isnan(teacher), hard, both))

    weights = np.array([objective.weight("valence"), objective.weight("arousal")])
    moods = mix(labels.moods, soft.moods, objective.weight("mood"))
    return Emotions(moods, mix(labels.va, soft.va, weights), labels.quadrants)
