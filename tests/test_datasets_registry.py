"""All data sets by name."""

import miniatures
import pytest

from m2e.datasets import read_dataset
from m2e.datasets.registry import READERS
from m2e.datasets.schema import FEATURES

BUILDERS = {"mtg-jamendo": "jamendo", "deam": "deam", "emomusic": "emomusic", "pmemo": "pmemo", "4q": "panda4q"}
BUILDERS |= {"merge": "merge"}


@pytest.mark.parametrize("name", BUILDERS)
def test_every_builder_runs_on_its_miniature(name, tmp_path):
    folder = getattr(miniatures, BUILDERS[name])(tmp_path)
    dataset = read_dataset(name, folder, check="partial")
    assert dataset.features == FEATURES and len(dataset) > 1
    assert all(row["moods"] or row["valence"] or row["quadrant"] for row in dataset)


def test_wrong_names_and_options_are_explained(tmp_path):
    with pytest.raises(ValueError, match="no data set 'jamendo': mtg-jamendo, deam"):
        read_dataset("jamendo", tmp_path)
    with pytest.raises(ValueError, match="deam cannot be read so .*its options are labels, audio"):
        read_dataset("deam", tmp_path, label="published")
    assert set(BUILDERS) < set(READERS)
