"""Training of the chord recogniser: it learns, and a stopped run ends like one that was not."""

import json
import shutil

import numpy as np
import pytest
import tiny
import torch
import yaml
from safetensors.torch import load_file

pytest.importorskip("accelerate")
pytest.importorskip("pretty_midi")

import m2e.training.chords  # noqa: E402
import train  # noqa: E402
from m2e.errors import TrainingError  # noqa: E402
from m2e.publish.facts import Facts  # noqa: E402
from modeling_m2e.chord_labels_m2e import ROOTS, VOCABULARY  # noqa: E402
from modeling_m2e.chords_m2e import ChordRecognizer  # noqa: E402
from modeling_m2e.modeling_btc import BTCConfig, BTCModel  # noqa: E402

RECIPE = {
    "task": "chords",
    "seed": 1,
    "stages": [{"epochs": 2}, {"epochs": 1, "repeats": [1, 1], "model": {"num_hidden_layers": 2}}],
    "batch_size": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "repeats": [1, 2],
    "least_confidence": 0.5,
    "balance": 0.2,
    "take_back": 0.5,
    "prior": {"sus4": -0.5, "N": -1.0},
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
        ("detected", "train", 16),
        ("detected", "validation", 16),
    ):
        labels = np.repeat(rng.choice([1, 7 * 14 + 1], (chunks, 1)), 108, axis=1).astype(np.uint8)
        features = rng.normal(-5, 0.3, (chunks, 108, 168))
        features[np.arange(chunks), :, 60 + 2 * (labels[:, 0] // 14).astype(int)] = 3.0
        confidence = {"confidence": np.tile(np.arange(108) < 54, (chunks, 1)) * 0.9} if folder == "detected" else {}
        (tmp_path / folder).mkdir(exist_ok=True)
        np.savez(
            tmp_path / folder / f"{split}-1-0.npz", features=features.astype(np.float16), labels=labels, **confidence
        )
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    return [
        str(tmp_path / "recipe.yaml"),
        "--features",
        str(tmp_path / "rendered"),
        str(tmp_path / "detected"),
        "--out",
    ]


def run(*arguments):
    train.main(list(map(str, arguments)))


def test_a_stopped_run_ends_like_one_that_was_not(arguments, tmp_path, monkeypatch):
    run(*arguments, tmp_path / "whole")

    evaluate = m2e.training.chords.frame_accuracy

    def killed_at(layers):
        def accuracy(model, *args):
            if model.config.num_hidden_layers == layers:
                raise RuntimeError
            return evaluate(model, *args)

        return accuracy

    for layers in (1, 2):  # once in each stage
        with monkeypatch.context() as broken:
            broken.setattr(m2e.training.chords, "frame_accuracy", killed_at(layers))
            with pytest.raises(RuntimeError):
                run(*arguments, tmp_path / "resumed")
    run(*arguments, tmp_path / "resumed")

    whole, resumed = (load_file(tmp_path / name / "chords/model.safetensors") for name in ("whole", "resumed"))
    assert whole.keys() == resumed.keys()
    for name in whole:
        np.testing.assert_allclose(whole[name], resumed[name], atol=1e-6, err_msg=name)
    rows = [json.loads(line) for line in (tmp_path / "whole/chords/training.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["epoch"]) for row in rows] == [("stage1", 1), ("stage1", 2), ("stage2", 1)]
    assert rows[1]["loss"] < rows[0]["loss"]
    assert rows[1].keys() >= {"rendered", "detected"}
    assert Facts.load(tmp_path / "whole/chords").training == ["Noise."]
    stored = {tensor.dtype for tensor in whole.values() if tensor.is_floating_point()}
    assert stored == {torch.float16}
    assert ChordRecognizer.from_pretrained(tmp_path / "whole").model.config.num_hidden_layers == 2
    shutil.rmtree(tmp_path / "whole/stage1")
    run(*arguments, tmp_path / "whole")
    assert not (tmp_path / "whole/stage1").exists()  # the last stage needs nothing of it
    with pytest.raises(SystemExit, match="belongs to another training"):
        run(*arguments, tmp_path / "whole", "--set", "learning_rate=0.1")


def test_a_deeper_network_begins_as_the_one_it_comes_from():
    torch.manual_seed(0)
    model = BTCModel(BTCConfig(**RECIPE["model"], feature_mean=-3.0)).eval()
    deeper = m2e.training.chords.deepen(model, {"num_hidden_layers": 3, "input_dropout": 0.0}).eval()
    x = torch.randn(2, 108, 144)
    before, after = model(x).logits, deeper(x).logits
    assert deeper.config.num_hidden_layers == 3 and deeper.config.feature_mean == -3.0
    assert deeper.config.input_dropout == 0.0
    assert (before - after).abs().max() < 0.1 * before.std() and not torch.equal(before, after)


def test_a_stage_keeps_what_those_before_it_set():
    first, second = recipe(stages=[{"epochs": 2, "gain": 0.5}, RECIPE["stages"][1]]).stages
    assert (first.epochs, first.gain, first.repeats) == (2, 0.5, (1, 2))
    assert (second.epochs, second.gain, second.repeats) == (1, 0.5, (1, 1))
    assert second.model["hidden_size"] == 16 and second.model["num_hidden_layers"] == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"stages": []}, "has no list of stages"),
        ({"batch_size": "big"}, "stage 1, batch_size is 'big': give a whole number"),
        ({"speed": 1}, "stage 1 has unknown settings speed"),
        ({"stages": [{}]}, "stage 1 lacks epochs"),
        ({"noise_floor": [1]}, "noise_floor is [1.0]"),
        ({"card": {"name": "a", "license": "mit", "training": "Noise."}}, "card, training is 'Noise.': give a list"),
    ],
)
def test_faults_of_a_recipe_are_named(change, expected):
    with pytest.raises(TrainingError) as error:
        recipe(**change)
    assert expected in str(error.value)


def recipe(**changes):
    content = {name: value for name, value in (RECIPE | changes).items() if name != "task"}
    return m2e.training.chords.recipe_of("recipe.yaml", content)


def test_the_shipped_recipe_is_read():
    content = yaml.safe_load((tiny.ROOT / "configuration" / "chords.yaml").read_text())
    assert content.pop("task") == "chords"
    assert [stage.epochs for stage in m2e.training.chords.recipe_of("chords.yaml", content).stages] == [
        11,
        10,
        18,
        13,
        8,
    ]


def test_missing_features_are_named(arguments, tmp_path):
    (tmp_path / "rendered/train-1-0.npz").unlink()
    with pytest.raises(SystemExit, match="holds no train-"):
        run(*arguments, tmp_path / "out")


def test_the_learning_rate_warms_up_and_falls():
    rate = m2e.training.chords.learning_rate(10, 4)
    rates = [rate(step) for step in range(41)]
    assert rates[0] == pytest.approx(0.2) and rates[4] > 0.95
    assert rates[20] == pytest.approx(0.5) and rates[39] < 0.01 and rates[40] == 0.0


def test_uncertain_labels_are_not_learnt(arguments, tmp_path):
    _, labels = m2e.training.chords.load_chunks(tmp_path / "detected", "train", least_confidence=0.5)
    assert (labels[:, :54] != 255).all() and (labels[:, 54:] == 255).all()


def test_a_prior_is_that_of_a_quality_on_every_root():
    offsets = dict(zip(VOCABULARY, m2e.training.chords.prior({"sus4": -0.5, "N": -1.0}).tolist(), strict=True))
    assert {name for name, offset in offsets.items() if offset == -0.5} == {f"{root}:sus4" for root in ROOTS}
    assert offsets["N"] == -1.0 and sum(offset != 0 for offset in offsets.values()) == len(ROOTS) + 1


def test_rare_qualities_weigh_more_whatever_their_root():
    labels = np.repeat([1, 15, 15, 2, 255], [50, 25, 25, 4, 10]).astype(np.uint8)  # C, C#, C:dim, unknown
    weights = m2e.training.chords.quality_weights(labels, 0.5)
    assert weights.shape == (170,) and weights[1] == weights[15] == 1
    assert weights[2] == weights[16] == 5.0 and m2e.training.chords.quality_weights(labels, 0.0).eq(1).all()


def test_augmentation_moves_levels_but_keeps_the_loudest_pitch():
    x = torch.full((64, 108, 144), -9.0)
    x[:, :, 50] = 3.0
    torch.manual_seed(0)
    y = m2e.training.chords.augment(x, recipe().stages[0])
    assert y.isfinite().all() and (y.argmax(-1) == 50).all()
    assert y[:, 0, 50].std() > 0.05 and (y[:, 0, 0] > -8.5).any()
    assert (y[:, 0, :40].std(-1) > 0.01).any(), "the equaliser differs from bin to bin"
