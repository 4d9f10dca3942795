import numpy as np
import pytest
import torch

from m2e.errors import TrainingError
from m2e.evaluation.data import Emotions
from m2e.training.augmentation import augmented, moments
from m2e.training.packed import LabelledTracks
from m2e.training.recipe import PartDropout, Training
from modeling_m2e.configuration_m2e import M2EConfig
from modeling_m2e.harmony_statistics_m2e import STATISTICS

CONFIG = M2EConfig.default(moods=["calm"], embedding_size=6, num_harmony_statistics=STATISTICS)
FOUND = {
    "embeddings": (torch.arange(6.0), torch.ones(6)),
    "harmony_statistics": (torch.zeros(STATISTICS), torch.ones(STATISTICS)),
}


def training(*parts: PartDropout, noise: float = 0.0) -> Training:
    return Training(epochs=1, batch_size=1, learning_rate=0.1, noise=noise, part_dropout=parts)


def inputs(tracks: int) -> dict[str, torch.Tensor]:
    return {
        "embeddings": torch.full((tracks, 3, 6), 9.0),
        "harmony_statistics": torch.full((tracks, STATISTICS), 9.0),
        "mode": torch.ones(tracks),
    }


def test_a_part_is_left_out_of_whole_tracks():
    torch.manual_seed(0)
    given = inputs(2000)
    found = augmented(given, FOUND, training(PartDropout("embeddings", 0.3, (1, 4))))
    gone = (found["embeddings"] == torch.arange(6.0)).all(dim=1)
    assert not gone[:, [0, 4, 5]].any()
    assert torch.equal(gone[:, 1], gone[:, 2]) and torch.equal(gone[:, 1], gone[:, 3])  # all of it or nothing
    assert 0.25 < gone[:, 1].float().mean() < 0.35
    assert torch.equal(found["harmony_statistics"], given["harmony_statistics"])
    assert (given["embeddings"] == 9).all()  # not in place


def test_parts_are_left_out_each_by_itself():
    torch.manual_seed(0)
    parts = PartDropout("embeddings", 0.5, (0, 3)), PartDropout("harmony_statistics", 0.5)
    found = augmented(inputs(2000), FOUND, training(*parts))
    first, second = (found["embeddings"][:, 0, 0] != 9).float(), (found["harmony_statistics"][:, 0] != 9).float()
    assert 0.2 < (first * second).mean() < 0.3


def test_noise_has_the_size_of_the_deviations():
    torch.manual_seed(0)
    deviations = FOUND | {"embeddings": (torch.zeros(6), torch.arange(6.0))}
    change = augmented(inputs(2000), deviations, training(noise=0.5))["embeddings"] - 9
    torch.testing.assert_close(change.std(dim=(0, 1)), 0.5 * torch.arange(6.0), rtol=0.1, atol=1e-6)


def test_nothing_changes_unless_asked_for():
    given = inputs(4)
    assert all(each is given[name] for name, each in augmented(given, FOUND, training()).items())


def test_a_batch_without_statistics_has_none_to_lose():
    given = {"embeddings": torch.zeros(2, 1, 6)}
    found = augmented(given, FOUND, training(PartDropout("harmony_statistics", 1.0), noise=0.1))
    assert found.keys() == given.keys()


def test_columns_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr("m2e.training.augmentation.statistics", lambda sources: FOUND["embeddings"])
    monkeypatch.setattr("m2e.training.augmentation.harmony_statistics", lambda sources: FOUND["harmony_statistics"])
    source = LabelledTracks("mine", None, Emotions(np.zeros((1, 1)), np.zeros((1, 2)), np.zeros(1, int)), np.arange(1))
    assert moments([source], CONFIG, training()) == {}
    assert moments([source], CONFIG, training(PartDropout("embeddings", 0.3, (0, 6)))).keys() == FOUND.keys()
    with pytest.raises(TrainingError, match="has only 6 columns"):
        moments([source], CONFIG, training(PartDropout("embeddings", 0.3, (4, 7))))
