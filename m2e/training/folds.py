"""Folds of grouped cross-validation over the tracks of one or several data sets."""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.model_selection import GroupKFold

from m2e.errors import TrainingError

Rows = Mapping[str, np.ndarray]  # of each data set


def grouped_folds(rows: Rows, groups: Mapping[str, Sequence[str]], number: int) -> list[tuple[Rows, Rows]]:
    """(rows that are learnt, rows that are held out) of every fold, by data set; each row is held out once.

    rows: of each data set.  groups: of all its tracks; no group, such as an artist, is on both sides of a fold, in
    whichever data sets its tracks are. Raises TrainingError where there are fewer groups than folds.
    """
    names = np.concatenate([np.full(len(each), place) for place, each in enumerate(rows.values())]).astype(int)
    every = np.concatenate([np.asarray(each) for each in rows.values()])
    labels = np.array([groups[name][row] for name, each in rows.items() for row in each])
    if (count := len(set(labels.tolist()))) < number:
        raise TrainingError(
            f"There are {count} artists in train and validation, but folds is {number}: set fewer folds."
        )

    def by_name(places: np.ndarray) -> Rows:
        return {name: every[places[names[places] == index]] for index, name in enumerate(rows)}

    splits = GroupKFold(number).split(every, groups=labels)
    return [(by_name(learnt), by_name(held)) for learnt, held in splits]
