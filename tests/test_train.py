"""Targets, calibration, and a training that finds what was planted."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate")

import train  # noqa: E402

RECIPE = {
    "folds": 3,
    "targets": {"mood_teacher_share": 0.5, "va_teacher_share": {"valence": 0.0, "arousal": 0.0}},
    "model": {
        "use_harmony": False,
        "fusion_size": 16,
        "branch_size": 8,
        "num_quadrants": 4,
        "neutral_valence": 5.0,
        "neutral_arousal": 5.0,
        "id2label": {0: "happy", 1: "sad"},
    },
    "training": {
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "epochs": 30,
        "batch_size": 32,
        "harmony_dropout": 0.2,
        "noise": 0.1,
        "clip_norm": 1.0,
    },
}


def test_prevalence_is_met():
    logits = np.random.default_rng(0).normal(-5, 1, 500)
    for prevalence in (0.02, 0.3, 0.9):
        assert train.shift_to_prevalence(logits, prevalence).mean() == pytest.approx(prevalence, abs=1e-6)


def test_targets_mix_words_and_teacher():
    moods = np.array([[1.0, np.nan], [0.0, np.nan]])
    clips = SimpleNamespace(moods=moods, teacher_mood_logits=np.array([[0.0, 2.0], [0.0, -2.0]]))
    targets = train.mood_targets(clips, 0.25)
    assert targets[:, 0] == pytest.approx([0.875, 0.125])  # the teacher, moved to prevalence 0.5, says 0.5 twice
    assert targets[:, 1] == pytest.approx(1 / (1 + np.exp([-2.0, 2.0])))

    va = np.array([[2.0, 2.0], [4.0, 4.0], [6.0, 6.0]])
    clips = SimpleNamespace(va=va, teacher_va=va[::-1] * 10)
    mixed = train.va_targets(clips, {"valence": 0.0, "arousal": 0.5}, np.arange(3))
    assert mixed[:, 0] == pytest.approx(va[:, 0]) and mixed[:, 1] == pytest.approx([4.0, 4.0, 4.0])


def test_calibration_gives_probabilities():
    rng = np.random.default_rng(0)
    truth = rng.uniform(-4, 2, (4000, 2))
    labels = (rng.random(truth.shape) < train.sigmoid(truth)).astype(float)
    scale, offset, thresholds = train.calibrate(truth * 2 + 3, labels)  # logits that are off by scale and offset
    assert scale == pytest.approx([0.5, 0.5], abs=0.05) and offset == pytest.approx([-1.5, -1.5], abs=0.15)
    chosen = train.sigmoid(np.array(scale) * (truth * 2 + 3) + offset) > thresholds
    assert chosen.mean(0) == pytest.approx(labels.mean(0), abs=0.01)


@pytest.fixture(scope="module")
def planted():
    rng = np.random.default_rng(0)
    quadrants = rng.integers(0, 4, 240)
    va = np.array([[7, 7], [3, 7], [3, 3], [7, 3]], float)[quadrants] + rng.normal(0, 0.3, (240, 2))
    embeddings = np.column_stack([va, rng.normal(size=(240, 6))]) + rng.normal(0, 0.2, (240, 8))
    moods = np.column_stack([quadrants == 0, quadrants == 2]).astype(float)
    clips = SimpleNamespace(
        artists=rng.integers(0, 60, 240).astype(str),
        quadrants=quadrants,
        va=va,
        moods=moods,
        teacher_mood_logits=moods * 4 - 2,
        teacher_va=va,
    )
    inputs = {
        "embeddings": torch.tensor(embeddings, dtype=torch.float32)[:, None],
        "window_weights": torch.ones(240, 1),
        "chord_mask": torch.zeros(240, 0, dtype=torch.bool),
    }
    return clips, inputs


def test_a_planted_signal_is_found_in_held_out_folds(planted):
    clips, inputs = planted
    rows = np.arange(240)
    held = train.cross_validate(RECIPE, inputs, clips, rows, seed=0)
    scores = train.scores(RECIPE, held, clips, rows)
    assert scores["quadrant_f1"] > 0.95 and scores["r2_valence"] > 0.8 and scores["mood_roc_auc"] > 0.95


def test_a_seed_decides_everything(planted):
    clips, inputs = planted
    rows = np.arange(100)
    labels = train.label_tensors(clips, train.mood_targets(clips, 0.5), RECIPE, rows)
    short = RECIPE | {"training": RECIPE["training"] | {"epochs": 2}}
    one, same, other = (train.fit(short, inputs, labels, rows, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
