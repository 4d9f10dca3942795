"""m2e-small's protocol: targets, and folds that find what was planted."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate")

import tiny  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from m2e.evaluation.data import Emotions  # noqa: E402
from m2e.training import folds  # noqa: E402
from m2e.training.loop import make_accelerator  # noqa: E402
from m2e.training.packed import LabelledTracks, PackedFeatures  # noqa: E402
from m2e.training.recipe import Recipe, Training  # noqa: E402
from m2e.training.validation import predict  # noqa: E402
from modeling_m2e import M2EForMusicEmotion  # noqa: E402

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
        assert folds.shift_to_prevalence(logits, prevalence).mean() == pytest.approx(prevalence, abs=1e-6)


def test_targets_mix_words_and_teacher():
    moods = np.array([[1.0, np.nan], [0.0, np.nan]])
    clips = SimpleNamespace(moods=moods, teacher_mood_logits=np.array([[0.0, 2.0], [0.0, -2.0]]))
    targets = folds.mood_targets(clips, 0.25)
    assert targets[:, 0] == pytest.approx([0.875, 0.125])  # the teacher, moved to prevalence 0.5, says 0.5 twice
    assert targets[:, 1] == pytest.approx(1 / (1 + np.exp([-2.0, 2.0])))

    va = np.array([[2.0, 2.0], [4.0, 4.0], [6.0, 6.0]])
    clips = SimpleNamespace(va=va, teacher_va=va[::-1] * 10)
    mixed = folds.va_targets(clips, {"valence": 0.0, "arousal": 0.5}, np.arange(3))
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
    features = PackedFeatures(
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
    held = folds.cross_validate(RECIPE, clips, features, rows, 0, make_accelerator())
    scores = folds.scores(RECIPE, held, clips, rows)
    assert scores["quadrant_f1"] > 0.95 and scores["r2_valence"] > 0.8 and scores["mood_roc_auc"] > 0.95


def test_a_seed_decides_everything(planted):
    clips, features = planted
    short = replace(RECIPE, training=replace(RECIPE.training, epochs=2))
    one, same, other = (
        folds.train(short, clips, features, np.arange(100), seed, make_accelerator()).model.state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_networks_of_all_seeds_are_the_model(planted, tmp_path, monkeypatch):
    """Learnt beside 4Q: tracks whose quadrants show in other dimensions. Scored and saved is the mean of all."""
    clips, features = planted
    pipe = tiny.pipeline()
    beside_labels = Emotions(np.full((240, 2), np.nan), np.full((240, 2), np.nan), clips.quadrants)
    far = replace(features, embeddings=features.embeddings.roll(3, 1))
    beside = LabelledTracks("emopia", far, beside_labels, np.arange(120))
    clips.ids, clips.paths = np.arange(240).astype(str), [""] * 240
    clips.splits = np.where(np.arange(240) < 200, "train", "test")
    monkeypatch.setattr(folds, "read_clips", lambda folder: clips)
    monkeypatch.setattr(folds, "cached_features", lambda *_: [])
    monkeypatch.setattr(folds, "pack", lambda *_: features)
    recipe = replace(RECIPE, seeds=(3, 4), training=replace(RECIPE.training, epochs=20))

    lines = []
    args = (tmp_path, pipe.processor, tmp_path / "features", tmp_path / "out", make_accelerator(), [beside])
    evaluation = folds.run(recipe, *args, report=lines.append)
    assert [json.loads(line)["seed"] for line in lines] == [3, 4] == evaluation["seeds"]
    assert evaluation["shipped_test"]["quadrant_f1"] > 0.9 and evaluation["shipped_folds"]["quadrant_f1"] > 0.9

    model = M2EForMusicEmotion.from_pretrained(tmp_path / "out")
    assert len(model.members) == 2
    rows = folds.source(recipe, clips, features, np.arange(200, 240))
    found = folds.scores(recipe, predict(model, rows), clips, rows.rows)
    assert found == pytest.approx({name: evaluation["shipped_test"][name] for name in found})
    heard = predict(model, beside.only(np.arange(120, 240)))["quadrant_logits"].argmax(1)
    assert (heard == beside_labels.quadrants[120:]).mean() > 0.8
    file = tmp_path / "out" / "model.safetensors"
    assert {t.dtype for name, t in load_file(file).items() if "embedding_" not in name} == {torch.float16}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert "120 clips" in (tmp_path / "out" / "README.md").read_text()
