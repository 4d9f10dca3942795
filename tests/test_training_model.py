"""One model of a recipe: folds that recover a planted signal, ensembles, calibration, data for training alone."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("accelerate")
pytest.importorskip("datasets")

import tiny  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from m2e.datasets.schema import Track, to_dataset  # noqa: E402
from m2e.errors import TrainingError  # noqa: E402
from m2e.training import held_out  # noqa: E402
from m2e.training.data import Material  # noqa: E402
from m2e.training.loop import make_accelerator  # noqa: E402
from m2e.training.model import Run, Trainer, check_heads, train_model  # noqa: E402
from m2e.training.packed import PackedFeatures  # noqa: E402
from m2e.training.recipe import DataRecipe, Objective, Recipe, Training  # noqa: E402
from m2e.training.validation import evaluate, predict  # noqa: E402
from modeling_m2e import M2EConfig, M2EForMusicEmotion  # noqa: E402
from modeling_m2e.answers_m2e import Answers  # noqa: E402

N = 240
RECIPE = Recipe(
    name="test",
    license="mit",
    encoder={"nets": ["fcn_msd"]},
    folds=3,
    datasets={"4q": DataRecipe("folder", teacher="soft.npz"), "piano": DataRecipe("folder", train_only=True)},
    moods=("happy", "sad"),
    calibrate=True,
    objective=Objective(distillation="targets", teacher_weight=0.5, align_teacher=True),
    model={"use_harmony": False, "fusion_size": 16, "branch_size": 8, "num_quadrants": 4},
    training=Training(
        epochs=20,
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


def packed(embeddings):
    none = torch.zeros(0)
    return PackedFeatures(
        embeddings=torch.tensor(embeddings, dtype=torch.float32),
        weights=torch.ones(N),
        window_offsets=np.arange(N + 1),
        roots=none,
        qualities=none,
        durations=none,
        chord_offsets=np.zeros(N + 1, int),
        modes=torch.zeros(N),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Clips whose emotion is in the first two dimensions, and others whose quadrant is in the fourth and fifth."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("4q")
    quadrants = rng.integers(0, 4, N)
    va = np.array([[7, 7], [3, 7], [3, 3], [7, 3]], float)[quadrants] + rng.normal(0, 0.3, (N, 2))
    embeddings = np.column_stack([va, rng.normal(size=(N, 6))]) + rng.normal(0, 0.2, (N, 8))
    logits = np.column_stack([quadrants == 0, quadrants == 2]) * 4.0 - 4
    np.savez(folder / "soft.npz", moods=["happy", "sad"], moods_logits=logits.astype(np.float32), va=va * 2)
    artists = rng.integers(0, 60, N)
    tracks = [
        Track(
            id=str(row),
            audio=f"{row}.wav",
            split="test" if row >= 200 else "validation" if row % 5 == 0 else "train",
            moods=[mood for mood, of in (("happy", 0), ("sad", 2)) if quadrants[row] == of],
            valence=va[row, 0],
            arousal=va[row, 1],
            quadrant=f"Q{quadrants[row] + 1}",
            artist=f"artist {artists[row]}",
        )
        for row in range(N)
    ]
    alone = [replace(track, moods=None, valence=None, arousal=None) for track in tracks]
    ids = [track.id for track in tracks]
    piano = to_dataset("piano", alone).select(range(120))
    return {
        "4q": Material("4q", to_dataset("4q", tracks), packed(embeddings), str(folder), ids),
        "piano": Material("piano", piano, packed(np.roll(embeddings, 3, 1))),
    }


@pytest.fixture(scope="module")
def run():
    folders = {"4q": "clips", "piano": "keys"}
    return Run(make_accelerator(), tiny.pipeline().processor, None, None, folders, Path("test.yaml"))


def test_a_planted_signal_is_found_out_of_fold(data, run, tmp_path):
    trainer = Trainer(RECIPE, data, RECIPE.moods, tmp_path, run)
    trained = trainer.train_seed(0)
    assert {name: len(rows) for name, rows in trainer.held_rows.items()} == {"4q": 200}
    assert list(trained.held) == ["4q"] and len(trained.held["4q"]["va"]) == 200
    scores = trainer.out_of_fold(trained)["4q"].scores
    assert scores["quadrant_f1"] > 0.95 and scores["r2_valence"] > 0.8 and scores["mood_roc_auc"] > 0.95
    # Platt scaling on the targets that are learnt: the mean probability is the prevalence
    tracks = data["4q"].tracks(trainer.held_rows["4q"], RECIPE.moods)
    logits, config = trained.held["4q"]["mood_logits"], trained.model.config
    probabilities = 1 / (1 + np.exp(-(logits * config.mood_scale + config.mood_offset)))
    assert probabilities.mean(0) == pytest.approx(tracks.labels.moods[tracks.rows].mean(0), abs=0.02)


def test_no_artist_of_a_fold_is_learnt_in_it(data, run, tmp_path, monkeypatch):
    learnt, trainer = [], Trainer(RECIPE, data, RECIPE.moods, tmp_path, run)
    model = M2EForMusicEmotion(M2EConfig.default(RECIPE.moods, embedding_size=8, use_harmony=False))

    def train(self, rows, held_out, seed, folder):
        learnt.append(rows)
        return type("Fitted", (), {"model": model}), ()

    monkeypatch.setattr(Trainer, "train", train)
    trainer.cross_validate(0, tmp_path)
    groups, known = data["4q"].groups(), set(trainer.held_rows["4q"].tolist())
    for rows in learnt:
        held = known - set(rows["4q"].tolist())
        assert held and not {groups[row] for row in held} & {groups[row] for row in rows["4q"]}
        assert len(rows["piano"]) == len(data["piano"].rows("train"))  # all of it in every fold
    assert len(learnt) == 3


def test_a_seed_decides_everything(data, run, tmp_path):
    short = replace(RECIPE, training=replace(RECIPE.training, epochs=2))
    trainer = Trainer(short, data, RECIPE.moods, tmp_path, run)
    rows = trainer.learnt(trainer.rows("train"))
    one, same, other = (
        trainer.train(rows, {}, seed, tmp_path / name)[0].model.state_dict()
        for name, seed in (("one", 1), ("same", 1), ("other", 2))
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_networks_of_all_seeds_are_the_model(data, run, tmp_path, capsys):
    recipe, out = replace(RECIPE, seeds=(3, 4), ensemble=True), tmp_path / "out"
    train_model(recipe, data, out, run)
    evaluation = json.loads((out / "evaluation.json").read_text())
    (result,), (folds,) = evaluation["results"], evaluation["folds"]["results"]
    assert evaluation["seeds"] == [3, 4] and (result["split"], folds["split"]) == ("test", "folds")
    assert result["scores"]["quadrant_f1"] > 0.9 and folds["scores"]["quadrant_f1"] > 0.9
    assert evaluation["over_seeds"].keys() == evaluation["folds"]["over_seeds"].keys()
    said = capsys.readouterr().err
    assert "test: scores of seed 4: " in said and "4q, valence: R2 0." in said

    model = M2EForMusicEmotion.from_pretrained(out)
    assert len(model.members) == 2
    answers = Answers.read(model.config.answers, 2)
    assert answers.intervals is not None and answers.percentiles.reference.startswith("200 tracks of 4q")
    held = held_out.load(out)["4q"]
    assert len(held) == 200 and held.spread.min() > 0 and held.seconds.tolist() == [3.0] * 200
    assert answers.mood_base_rates == pytest.approx([0.25, 0.25], abs=0.1)
    found = evaluate(model, data["4q"].tracks(data["4q"].rows("test"), RECIPE.moods)).scores
    assert found == pytest.approx({name: result["scores"][name] for name in found})
    piano = data["piano"].tracks(data["piano"].rows("validation"), RECIPE.moods)  # never learnt
    predicted = predict(model, piano)["quadrant_logits"].argmax(1)
    assert (predicted == piano.labels.quadrants[piano.rows]).mean() > 0.8
    file = out / "model.safetensors"
    assert {t.dtype for name, t in load_file(file).items() if "embedding_" not in name} == {torch.float16}
    card = (out / "README.md").read_text()
    for sentence in (
        "4q 160 / 40 / 40",
        "Training tracks alone, learnt in addition and never scored: piano 96.",
        "weights of the latter: mood 0.5, valence 0.5, arousal 0.5.",
        "Platt scaling on predictions out of fold",
    ):
        assert sentence in card


def test_the_first_seed_is_the_model_without_an_ensemble(data, run, tmp_path):
    short = replace(RECIPE, seeds=(3, 4), folds=None, training=replace(RECIPE.training, epochs=1))
    train_model(short, data, tmp_path / "out", run)
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert evaluation.keys() == {"results", "seeds", "over_seeds"}
    model = M2EForMusicEmotion.from_pretrained(tmp_path / "out")
    assert len(model.members) == 1 and model.config.mood_offset is not None


def test_a_data_set_that_no_head_learns_from_is_refused(data):
    model = M2EForMusicEmotion(M2EConfig.default(RECIPE.moods, embedding_size=8, use_harmony=False))
    piano = data["piano"].tracks(data["piano"].rows("train"), RECIPE.moods)
    with pytest.raises(TrainingError, match="piano has labels of quadrant alone, for which the model has no head"):
        check_heads([piano], model)
    check_heads([data["4q"].tracks(np.arange(9), RECIPE.moods)], model)
