"""m2e.training.encoder and its data and augmentation: targets of crops, mixtures, losses, a run and its resumption."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from m2e.datasets.encoder.pool import SAMPLING_RATE, Clip, read_index, write_index
from m2e.errors import DataError, PublishError, TrainingError
from m2e.publish.facts import Facts
from m2e.publish.fidelity import fidelity_section
from m2e.publish.repository import repository
from m2e.training.encoder import output
from m2e.training.encoder import train as training
from m2e.training.encoder.augmentation import Augmentation, equalize, mask, mix, wrong_levels
from m2e.training.encoder.data import Pool, Target, cell_weights
from modeling_m2e import M2EEncoderModel

TINY = {"widths": [4, 6, 8], "depths": [1, 1, 1], "squeezed_width": 2, "trunk_depth": 1, "hidden_size": 16}
CLIPS = 40


@pytest.fixture(scope="module")
def pool_folder(tmp_path_factory):
    """Clips of 10 s whose pitch and noisiness two teachers report; the second teacher labels every other clip."""
    folder = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(0)
    (folder / "audio").mkdir()
    clips, audio, known = [], np.zeros((CLIPS, 10 * SAMPLING_RATE), np.int16), rng.uniform(-1, 1, (CLIPS, 2))
    times = np.arange(10 * SAMPLING_RATE) / SAMPLING_RATE
    for row, (pitch, noisiness) in enumerate(known):
        tone = np.sin(2 * np.pi * 600 * 4**pitch * times)
        wave = tone + 10**noisiness * 0.3 * rng.standard_normal(len(times))
        audio[row] = 3000 * wave / wave.std()
        split = "validation" if row % 3 == 0 else "train"
        clips.append(Clip("tones", "-", 0.0, 10.0, str(row), split, "CC0", "tones-000", row))
    write_index(folder / "index" / "tones.csv", clips)
    np.save(folder / "audio" / "tones-000.npy", audio)
    tags = 1 / (1 + np.exp(-3 * known))
    for name, cells, present in (("whole", 1, np.ones(CLIPS, bool)), ("parts", 3, np.arange(CLIPS) % 2 == 0)):
        embeddings = np.where(present[:, None], 5 + 2 * known, np.nan)
        (folder / "labels" / name).mkdir(parents=True)
        repeated = [np.repeat(part[:, None], cells, axis=1).astype(np.float16) for part in (embeddings, tags)]
        np.savez(folder / "labels" / name / "tones-000.npz", embeddings=repeated[0], tags=repeated[1])
    return folder


@pytest.fixture(scope="module")
def pool(pool_folder) -> Pool:
    return Pool(pool_folder, read_index(pool_folder), ["whole", "parts"])


def recipe(**settings) -> training.EncoderRecipe:
    base = {"teachers": {"whole": 1.0, "parts": 0.5}, "steps": 4, "batch_seconds": 30, "crops": (5.0,), "model": TINY}
    return training.EncoderRecipe(**(base | {"evaluate_every": 2, "learning_rate": 0.01} | settings))


# --- data ---


def test_cells_count_by_their_overlap_with_a_crop():
    weights = cell_weights(3, np.array([30.0, 30.0]), np.array([0.0, 5.0]), 10.0)
    assert weights[0] == pytest.approx([1, 0, 0], abs=1e-5)
    assert weights[1] == pytest.approx([0.5, 0.5, 0], abs=1e-5)


def test_one_cell_covers_every_crop():
    assert cell_weights(1, np.array([30.0, 12.0]), np.array([20.0, 3.0]), 5.0) == pytest.approx(np.ones((2, 1)))


def test_targets_are_standardised_over_training_clips(pool):
    rows = pool.rows("train")
    target = pool.targets(rows, np.zeros(len(rows)), 10.0)["whole"]
    assert target.embeddings.mean(0) == pytest.approx([0, 0], abs=1e-2)
    assert target.embeddings.std(0, correction=0) == pytest.approx([1, 1], abs=1e-2)


def test_unlabelled_clips_are_marked(pool):
    target = pool.targets(np.array([0, 1]), np.zeros(2), 10.0)["parts"]
    assert target.present.tolist() == [True, False]
    assert target.embeddings.isfinite().all()


def test_a_short_crop_does_not_learn_what_is_true_of_a_longer_cell(pool):
    present = [pool.targets(np.array([0]), np.zeros(1), seconds)["whole"].present.item() for seconds in (4.0, 6.0)]
    assert present == [False, True]  # the cell lasts 10 s


def test_a_crop_at_another_speed_has_another_pitch(pool):
    row = int(np.argmin([abs(pool.waveform(row)[:-1] - pool.waveform(row)[1:]).mean() for row in range(CLIPS)]))
    rng = np.random.default_rng(0)
    slow, fast = (pool.crops(np.array([row]), 3.0, np.array([s]), rng).waveforms[0] for s in (1.0, 1.5))
    peaks = [torch.fft.rfft(each).abs().argmax().item() for each in (slow, fast)]
    assert peaks[1] == pytest.approx(1.5 * peaks[0], rel=0.01)


def test_a_short_clip_is_repeated(pool):
    batch = pool.crops(np.array([0]), 25.0, np.ones(1), np.random.default_rng(0))
    assert torch.allclose(batch.waveforms[0, : 5 * SAMPLING_RATE], batch.waveforms[0, 10 * SAMPLING_RATE :][:110250])


def test_labels_must_exist(pool_folder):
    with pytest.raises(DataError, match="no labels of nobody"):
        Pool(pool_folder, read_index(pool_folder), ["nobody"])


# --- augmentation ---


def test_no_strength_changes_nothing(pool):
    batch = pool.crops(np.arange(4), 3.0, np.ones(4), np.random.default_rng(0))
    none = Augmentation()
    levels = torch.ones(4)
    waveforms, levels, targets = mix(batch.waveforms, levels, batch.targets, none)
    assert torch.equal(waveforms, batch.waveforms)
    assert torch.equal(targets["whole"].embeddings, batch.targets["whole"].embeddings)
    assert torch.equal(wrong_levels(levels, none), levels)
    power = torch.rand(4, 96, 30)
    assert torch.allclose(mask(equalize(power, none), none), power)


def test_mixed_crops_have_mixed_targets():
    torch.manual_seed(0)
    waveforms = torch.randn(6, 1000)
    embeddings = torch.eye(6)
    targets = {"t": Target(embeddings, embeddings, torch.ones(6, dtype=torch.bool))}
    mixed, _, blended = mix(waveforms, torch.ones(6), targets, Augmentation(mixup_share=1.0))
    assert blended["t"].embeddings.sum(1) == pytest.approx([1.0] * 6)
    assert (blended["t"].embeddings.diagonal() >= 0.5).all()
    assert mixed.square().mean(1) == pytest.approx([1.0] * 6, rel=0.2)


def test_gains_stay_within_their_bounds():
    torch.manual_seed(0)
    levels = wrong_levels(torch.ones(1000), Augmentation(gain_db=24.0, gain_share=1.0))
    decibels = 10 * levels.log10()
    assert decibels.abs().max() <= 24 and decibels.abs().max() > 20


def test_masks_and_lowpass_silence_whole_bands():
    torch.manual_seed(0)
    power = mask(torch.ones(50, 96, 90), Augmentation(mask_bands=10, mask_share=0.1))
    assert 0.7 < power.mean() < 0.99
    lowered = equalize(torch.ones(50, 96, 3), Augmentation(lowpass_share=1.0))
    assert (lowered[:, :48] > 0).all() and (lowered[:, -1] == 0).float().mean() > 0.9


# --- training ---


def test_a_constant_answer_costs_one_for_each_part(pool):
    rows = pool.rows("train")
    target = pool.targets(rows, np.zeros(len(rows)), 10.0)["whole"]
    scale = pool.scales["whole"]
    answer = torch.zeros(len(rows), 2), scale.prior.logit().expand(len(rows), 2)
    assert training.teacher_loss(answer, target, scale, recipe(tag_weight=1.0)) == pytest.approx(2.0, abs=0.05)


def test_unlabelled_clips_cost_nothing(pool):
    target = pool.targets(np.array([1, 3]), np.zeros(2), 10.0)["parts"]
    answer = torch.randn(2, 2), torch.randn(2, 2)
    assert training.teacher_loss(answer, target, pool.scales["parts"], recipe()) == 0


def test_mean_correlation():
    rng = np.random.default_rng(0)
    theirs = rng.standard_normal((50, 3))
    assert training.mean_correlation(2 * theirs + 1, theirs) == pytest.approx(1.0)
    assert training.mean_correlation(-theirs, theirs) == pytest.approx(-1.0)
    assert math.isnan(training.mean_correlation(np.zeros((50, 3)), theirs))


def test_training_learns_what_the_teachers_know(pool, tmp_path):
    training.train(recipe(steps=150, evaluate_every=75), pool, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [75, 150]
    assert rows[-1]["fidelity"]["all"]["whole"] > 0.5
    assert rows[-1]["fidelity"]["tones"] == rows[-1]["fidelity"]["all"]
    encoder = M2EEncoderModel.from_pretrained(tmp_path / "encoder")
    assert encoder(torch.randn(1, SAMPLING_RATE)).pooler_output.shape == (1, 16)


def test_an_interrupted_run_ends_as_an_uninterrupted_one(pool, tmp_path, monkeypatch):
    strong = Augmentation(speed=0.05, level_db=2, gain_db=24, gain_share=0.5, equalizer_db=3, mask_bands=5)
    settings = recipe(augmentation=strong)
    whole = training.train(settings, pool, tmp_path / "whole")
    calls = 0
    batch_loss = training.batch_loss

    def breaking(*arguments):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return batch_loss(*arguments)

    monkeypatch.setattr(training, "batch_loss", breaking)
    with pytest.raises(KeyboardInterrupt):
        training.train(settings, pool, tmp_path / "broken")
    resumed = training.train(settings, pool, tmp_path / "broken")
    for name, value in whole.state_dict().items():
        assert torch.allclose(value.float(), resumed.state_dict()[name].float(), atol=1e-6), name


def test_another_recipe_does_not_resume(pool, tmp_path):
    training.train(recipe(steps=1), pool, tmp_path)
    with pytest.raises(TrainingError, match="another training"):
        training.train(recipe(steps=1, seed=1), pool, tmp_path)


def test_hours_choose_a_part_of_the_clips(pool):
    rows, chances = training.drawn_rows(pool, recipe(hours=0.025))
    assert len(rows) == 9
    assert chances.sum() == pytest.approx(1.0)


def test_the_recipe_in_the_repository_is_read(fixtures):
    path = fixtures.parent.parent / "configuration" / "encoder.yaml"
    read = training.read_recipe(path, {"steps": 5, "model.hidden_size": 64})
    assert read.steps == 5 and read.model == {"hidden_size": 64}
    assert read.augmentation.gain_db == 24.0


@pytest.mark.parametrize(
    ("text", "message"),
    [("steps: [", "not YAML"), ("steps: 3\nwidth: 4", "unknown settings width"), ("steps: 3", "lacks teachers")],
)
def test_a_wrong_recipe_is_explained(tmp_path, text, message):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(TrainingError, match=message):
        training.read_recipe(tmp_path / "r.yaml", {})


# --- output ---


def test_the_trained_encoder_has_a_card_and_makes_a_repository(pool, tmp_path):
    training.train(recipe(), pool, tmp_path)
    folder = tmp_path / "encoder"
    card = (folder / "README.md").read_text()
    assert "m2e-encoder" in card and "tones" in card and "Distilled from several published networks" in card
    assert "pipeline_tag: feature-extraction" in card
    assert load_file(folder / "model.safetensors")["trunk.0.0.weight"].dtype == torch.float16
    files = repository(folder, "me/m2e-encoder")
    assert {"README.md", "LICENSE", "config.json", "model.safetensors", "modeling_encoder.py"} <= files.keys()
    assert "pipeline_m2e.py" not in files


def test_training_continues_an_encoder(pool, tmp_path):
    first = training.train(recipe(), pool, tmp_path / "first")
    start = str(tmp_path / "first" / "encoder")
    begun = training.first_encoder(recipe(start=start, model={}))
    for name, value in first.state_dict().items():
        assert torch.equal(begun.state_dict()[name], value), name
    assert all(parameter.requires_grad for parameter in begun.parameters())
    with pytest.raises(TrainingError, match="cannot change its model"):
        recipe(start=start)


def test_the_table_of_fidelity_begins_with_all_clips():
    table = fidelity_section({"b": {"whole": 0.5}, "all": {"whole": 0.25, "parts": 1}})
    assert table.splitlines()[-4:] == [
        "| clips | whole | parts |",
        "| --- | --- | --- |",
        "| all | 0.25 | 1.00 |",
        "| b | 0.50 |  |",
    ]
    with pytest.raises(PublishError, match="fidelity"):
        fidelity_section({"b": {}})


def test_a_card_tells_how_the_encoder_was_trained_before(tmp_path):
    assert output.earlier(tmp_path) == []
    Facts("m2e-encoder", "mit", training=["5 steps.", "Earlier: 3 steps.", output.COMMAND]).save(tmp_path)
    assert output.earlier(tmp_path) == ["Earlier: 5 steps.", "Earlier: 3 steps."]
