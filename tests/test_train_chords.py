"""Training of the chord recogniser: it learns, and a stopped run ends like one that was not."""

import json
import sys

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

pytest.importorskip("accelerate")
pytest.importorskip("pretty_midi")

import train_chords  # noqa: E402
from modeling_m2e.chords_m2e import ChordRecognizer  # noqa: E402

RECIPE = {
    "seed": 1,
    "epochs": 2,
    "batch_size": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "warmup_share": 0.1,
    "clip_norm": 1.0,
    "gain_jitter": 0.1,
    "mixed_precision": "no",
    "model": {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16}
    | {f"{name}_dropout": 0.0 for name in ("input", "layer", "attention", "relu")},
}


@pytest.fixture
def arguments(tmp_path):
    """A recipe and features in which the loudest bin tells the chord: C:maj or G:maj before transposition."""
    rng = np.random.default_rng(0)
    for split, chunks in (("train", 96), ("validation", 16)):
        labels = np.repeat(rng.choice([1, 7 * 14 + 1], (chunks, 1)), 108, axis=1).astype(np.uint8)
        features = rng.normal(-5, 0.3, (chunks, 108, 168))
        features[np.arange(chunks), :, 60 + 2 * (labels[:, 0] // 14).astype(int)] = 3.0
        np.savez(tmp_path / f"{split}-001-0.npz", features=features.astype(np.float16), labels=labels)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return [str(tmp_path / "recipe.yaml"), "--features", str(tmp_path), "--out"]


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
    assert ChordRecognizer.from_pretrained(tmp_path / "whole").model.config.num_hidden_layers == 1


def test_missing_features_are_named(arguments, tmp_path, monkeypatch):
    (tmp_path / "train-001-0.npz").unlink()
    with pytest.raises(FileNotFoundError, match="holds no train-"):
        run(monkeypatch, *arguments, tmp_path / "out")
