"""Probes of layers find the layer with the planted signal, and so does the mix."""

import json
import sys

import numpy as np
import pytest
import tiny
import torch

pytest.importorskip("accelerate")
pytest.importorskip("datasets")

sys.path.insert(0, str(tiny.ROOT / "benchmarks"))
import layers  # noqa: E402

from m2e.errors import TrainingError  # noqa: E402

N, WIDTH, PLANTED = 240, 8, 2
SPLITS = {"train": np.arange(160), "validation": np.arange(160, 200), "test": np.arange(200, N)}


@pytest.fixture(scope="module")
def states():
    """(n, layers, width), and labels of every task that the third layer knows."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(N, 4, WIDTH)).astype(np.float32) * 3 + 1
    signal = states[:, PLANTED, :2] - 1
    va = 5 + signal / 3 + rng.normal(0, 0.2, (N, 2))
    moods = (signal > 0).astype(float)
    return torch.from_numpy(states), {
        "va": va,
        "moods": moods,
        "quadrants": (2 * moods[:, 0] + moods[:, 1]).astype(int),
    }


@pytest.mark.parametrize("task", layers.TASKS)
def test_the_planted_layer_is_found(states, task, monkeypatch):
    monkeypatch.setattr(layers, "STEPS", 80)
    x, labels = states
    found = [layers.probe(x[:, layer : layer + 1], labels[task], SPLITS, task) for layer in range(4)]
    means = [row["mean"] for row in found]
    assert np.argmax(means) == PLANTED and means[PLANTED] > max(np.delete(means, PLANTED)) + 0.2
    mix = layers.probe(x, labels[task], SPLITS, task)
    assert np.argmax(mix["weights"]) == PLANTED and sum(mix["weights"]) == pytest.approx(1)
    assert all(value > 0.5 for value in mix["test"].values())


def test_tables_and_plot(states, tmp_path):
    x, labels = states
    rows = {str(layer): layers.probe(x[:, layer : layer + 1], labels["va"], SPLITS, "va") for layer in range(2)}
    rows["mix"] = rows["1"] | {"weights": [0.25, 0.75]}
    results = json.loads(json.dumps({"deam": rows}))
    text = layers.markdown(results)
    assert "| layer | validation r2_valence |" in text and text.count("0.750") == 1
    layers.plot(results, tmp_path / "layers.png")
    assert (tmp_path / "layers.png").stat().st_size > 5000


def test_names_of_layers():
    assert layers.numbers("0-2,5") == [0, 1, 2, 5] and layers.numbers("3") == [3]
    with pytest.raises(TrainingError, match="give 0-12"):
        layers.numbers("all")
