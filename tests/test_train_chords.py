"""Training of the chord recogniser: it learns, and a stopped run ends like one that was not."""

import json
import sys

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

pytest.importorskip("accelerate")
pytest.importorskip("pretty_midi")

import train_chords  # noqa: E402
from m2e.card_facts import Facts  # noqa: E402
from modeling_m2e.chords_m2e import ChordRecognizer  # noqa: E402

RECIPE = {
    "seed": 1,
    "cycles": [1, 1],
    "batch_size": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "repeats": [1, 2],
    "least_confidence": 0.5,
    "balance": 0.2,
    "take_back": 0.5,
    "gain": 0.1,
    "equalizer": 0.1,
    "noise_floor": [-12, -9],
    "mixed_precision": "no",
    "card": {"name": "test", "license": "mit", "training": ["Noise."]},
    "model": {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16}
    | {f"{name}_dropout": 0.0 for name in ("input", "layer", "attention", "relu")},
}


@pytest.fixture
def arguments(tmp_path):
    """A recipe and two folders of features in which the loudest bin tells the chord: C:maj or G:maj before
    transposition. The labels of the second one are certain in the first half of each chunk."""
    rng = np.random.default_rng(0)
    for folder, split, chunks in (
        ("rendered", "train", 64),
        ("rendered", "validation", 16),
        ("heard", "train", 16),
        ("heard", "validation", 16),
    ):
        labels = np.repeat(rng.choice([1, 7 * 14 + 1], (chunks, 1)), 108, axis=1).astype(np.uint8)
        features = rng.normal(-5, 0.3, (chunks, 108, 168))
        features[np.arange(chunks), :, 60 + 2 * (labels[:, 0] // 14).astype(int)] = 3.0
        heard = {"confidence": np.tile(np.arange(108) < 54, (chunks, 1)) * 0.9} if folder == "heard" else {}
        (tmp_path / folder).mkdir(exist_ok=True)
        np.savez(tmp_path / folder / f"{split}-1-0.npz", features=features.astype(np.float16), labels=labels, **heard)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return [str(tmp_path / "recipe.yaml"), "--features", str(tmp_path / "rendered"), str(tmp_path / "heard"), "--out"]


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["train_chords.py", *map(str, arguments)])
    train_chords.main()


def test_a_stopped_run_ends_like_one_that_was_not(arguments, tmp_path, monkeypatch):
    run(monkeypatch, *arguments, tmp_path / "whole")

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(train_chords, "frame_accuracy", killed)
        with pytest.raises(KeyboardInterrupt):
            run(broken, *arguments, tmp_path / "resumed")
    run(monkeypatch, *arguments, tmp_path / "resumed")

    whole, resumed = (load_file(tmp_path / name / "chords/model.safetensors") for name in ("whole", "resumed"))
    assert whole.keys() == resumed.keys()
    for name in whole:
        np.testing.assert_allclose(whole[name], resumed[name], atol=1e-6, err_msg=name)
    rows = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2] and rows[1]["loss"] < rows[0]["loss"]
    assert rows[1].keys() >= {"rendered", "heard"}
    assert Facts.load(tmp_path / "whole/chords").training == ["Noise."]
    assert (tmp_path / "whole/chords/training.jsonl").read_text() == (tmp_path / "whole/log.jsonl").read_text()
    assert ChordRecognizer.from_pretrained(tmp_path / "whole").model.config.num_hidden_layers == 1


def test_missing_features_are_named(arguments, tmp_path, monkeypatch):
    (tmp_path / "rendered/train-1-0.npz").unlink()
    with pytest.raises(FileNotFoundError, match="holds no train-"):
        run(monkeypatch, *arguments, tmp_path / "out")


def test_the_learning_rate_warms_up_once_and_falls_in_every_cycle():
    rate = train_chords.learning_rate(10, [2, 4])
    rates = [rate(step) for step in range(61)]
    assert rates[0] == pytest.approx(0.2) and rates[4] > 0.85
    assert rates[19] < 0.01 and rates[20] == 1.0 and rates[40] == pytest.approx(0.5)
    assert rates[59] < 0.01 and rates[60] == 0.0


def test_uncertain_labels_are_not_learnt(arguments, tmp_path):
    _, labels = train_chords.load_chunks(tmp_path / "heard", "train", least_confidence=0.5)
    assert (labels[:, :54] != 255).all() and (labels[:, 54:] == 255).all()


def test_rare_qualities_weigh_more_whatever_their_root():
    labels = np.repeat([1, 15, 15, 2, 255], [50, 25, 25, 4, 10]).astype(np.uint8)  # C, C#, C:dim, unknown
    weights = train_chords.quality_weights(labels, 0.5)
    assert weights.shape == (170,) and weights[1] == weights[15] == 1
    assert weights[2] == weights[16] == 5.0 and train_chords.quality_weights(labels, 0.0).eq(1).all()


def test_augmentation_moves_levels_but_keeps_the_loudest_pitch():
    x = torch.full((64, 108, 144), -9.0)
    x[:, :, 50] = 3.0
    torch.manual_seed(0)
    y = train_chords.augment(x, RECIPE)
    assert y.isfinite().all() and (y.argmax(-1) == 50).all()
    assert y[:, 0, 50].std() > 0.05 and (y[:, 0, 0] > -8.5).any()
    assert (y[:, 0, :40].std(-1) > 0.01).any(), "the equaliser differs from bin to bin"
