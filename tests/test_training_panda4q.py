"""m2e-small's protocol: targets, and folds that find what was planted."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate")

from m2e.training import panda4q  # noqa: E402
from m2e.training.loop import make_accelerator  # noqa: E402
from m2e.training.recipe import Recipe, Training  # noqa: E402
from m2e.training.tracks import Features  # noqa: E402

RECIPE = Recipe(
    name="test",
    license="mit",
    encoder={"nets": ["fcn_msd"]},
    folds=3,
    targets={"mood_teacher_share": 0.5, "va_teacher_share": {"valence": 0.0, "arousal": 0.0}},
    moods=("happy", "sad"),
    model={
        "use_harmony": False,
        "fusion_size": 16,
        "branch_size": 8,
        "num_quadrants": 4,
        "neutral_valence": 5.0,
        "neutral_arousal": 5.0,
    },
    training=Training(
        epochs=30,
        batch_size=32,
        learning_rate=0.01,
        schedule="one_cycle",
        warmup=0.1,
        segments="all",
        harmony_dropout=0.2,
        noise=0.1,
        clip_norm=1.0,
        choose="last",
    ),
)


def test_prevalence_is_met():
    logits = np.random.default_rng(0).normal(-5, 1, 500)
    for prevalence in (0.02, 0.3, 0.9):
        assert panda4q.shift_to_prevalence(logits, prevalence).mean() == pytest.approx(prevalence, abs=1e-6)


def test_targets_mix_words_and_teacher():
    moods = np.array([[1.0, np.nan], [0.0, np.nan]])
    clips = SimpleNamespace(moods=moods, teacher_mood_logits=np.array([[0.0, 2.0], [0.0, -2.0]]))
    targets = panda4q.mood_targets(clips, 0.25)
    assert targets[:, 0] == pytest.approx([0.875, 0.125])  # the teacher, moved to prevalence 0.5, says 0.5 twice
    assert targets[:, 1] == pytest.approx(1 / (1 + np.exp([-2.0, 2.0])))

    va = np.array([[2.0, 2.0], [4.0, 4.0], [6.0, 6.0]])
    clips = SimpleNamespace(va=va, teacher_va=va[::-1] * 10)
    mixed = panda4q.va_targets(clips, {"valence": 0.0, "arousal": 0.5}, np.arange(3))
    assert mixed[:, 0] == pytest.approx(va[:, 0]) and mixed[:, 1] == pytest.approx([4.0, 4.0, 4.0])


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
    none = torch.zeros(0)
    features = Features(
        embeddings=torch.tensor(embeddings, dtype=torch.float32),
        weights=torch.ones(240),
        window_offsets=np.arange(241),
        roots=none,
        qualities=none,
        durations=none,
        chord_offsets=np.zeros(241, int),
        modes=torch.zeros(240),
    )
    return clips, features


def test_a_planted_signal_is_found_in_held_out_folds(planted):
    clips, features = planted
    rows = np.arange(240)
    held = panda4q.cross_validate(RECIPE, clips, features, rows, 0, make_accelerator())
    scores = panda4q.scores(RECIPE, held, clips, rows)
    assert scores["quadrant_f1"] > 0.95 and scores["r2_valence"] > 0.8 and scores["mood_roc_auc"] > 0.95


def test_a_seed_decides_everything(planted):
    clips, features = planted
    short = replace(RECIPE, training=replace(RECIPE.training, epochs=2))
    one, same, other = (
        panda4q.train(short, clips, features, np.arange(100), seed, make_accelerator()).model.state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
