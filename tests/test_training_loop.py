"""The loop: a planted signal, a seed that decides everything, kills at any moment, what is logged and chosen."""

import json
import multiprocessing
import os
import random
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from m2e.errors import TrainingError

pytest.importorskip("accelerate")

import training_child  # noqa: E402
from accelerate.state import AcceleratorState  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from training_child import TRAINING, differences, train  # noqa: E402

from benchmarks.training import Size, plant  # noqa: E402
from m2e.training import checkpoint, loop  # noqa: E402
from m2e.training.log import scalars  # noqa: E402
from m2e.training.recipe import Training  # noqa: E402

SHORT = replace(TRAINING, epochs=2)
KILLS = 8  # benchmarks/reliability/kills.py does more


@pytest.fixture(scope="module")
def data():
    return training_child.planted()


@pytest.fixture
def fresh_accelerator():
    """Without what earlier ones of this process have settled for all."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)


def untimed(rows):
    return [{key: row[key] for key in row if key not in ("seconds", "tracks_per_second")} for row in rows]


def weights(fitted):
    return fitted.model.state_dict()


def test_a_planted_signal_is_found_in_moods_valence_and_arousal():
    sizes = {"tags": Size((500, 60, 400), 3, 6, True), "ratings": Size((500, 60, 400), 2, 6, False)}
    data = {name: plant(name, size, training_child.WIDTH, len(training_child.MOODS)) for name, size in sizes.items()}
    training = replace(TRAINING, epochs=12, batch_size=32, learning_rate=0.02, harmony_dropout=0.0)
    scores = train(None, data, training)[1]
    best = data["ratings"].best
    assert scores["ratings"]["r2_valence"] > 0.85 * best["r2_valence"]
    assert scores["ratings"]["r2_arousal"] > 0.8 * best["r2_arousal"]
    assert scores["tags"]["mood_roc_auc"] - 0.5 > 0.5 * (data["tags"].best["mood_roc_auc"] - 0.5)
    # a part of the valence lies in the mode alone
    no_harmony = train(None, data, replace(training, epochs=6), use_harmony=False)[1]
    assert 0.4 < no_harmony["ratings"]["r2_valence"] < scores["ratings"]["r2_valence"] - 0.1


def test_a_seed_decides_everything(data):
    one, same, other = (train(None, data, SHORT, seed=seed, dropout=0.3)[0] for seed in (1, 1, 2))
    assert differences(weights(one), weights(same)) == 0 and untimed(one.log) == untimed(same.log)
    assert differences(weights(one), weights(other)) > 0.01


def test_killed_at_any_moment_it_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # what the server of the processes imports
    context = multiprocessing.get_context("forkserver")  # of this process, which has threads, none may be forked
    context.set_forkserver_preload(["training_child"])
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    def start(folder):
        process = context.Process(target=training_child.main, args=(str(folder),))
        process.start()
        return process

    start(whole).join(300)
    logs = [json.loads(line) for line in (whole / "training.jsonl").open()]
    seconds = min(row["seconds"] for row in logs)  # of an epoch
    delays, killed = random.Random(0), 0
    while killed < KILLS and not training_child.ready(broken):
        process = start(broken)
        process.join(delays.uniform(0, 4 * seconds))
        killed += process.is_alive()
        process.kill()
        process.join()
    process = start(broken)
    process.join(300)
    assert process.exitcode == 0 and killed >= 3
    assert differences(load_file(whole / "final.safetensors"), load_file(broken / "final.safetensors")) == 0
    logs = [[json.loads(line) for line in (folder / "training.jsonl").open()] for folder in (whole, broken)]
    assert untimed(logs[0]) == untimed(logs[1]) and len(logs[0]) == TRAINING.epochs
    assert json.loads((whole / "final.json").read_text()) == json.loads((broken / "final.json").read_text())


def test_done_is_done_and_another_training_is_refused(tmp_path, data):
    first, scores = train(tmp_path, data, SHORT)
    began = (tmp_path / checkpoint.FILE).stat().st_mtime_ns
    again, same = train(tmp_path, data, SHORT)
    assert differences(weights(first), weights(again)) == 0 and same == scores
    assert (tmp_path / checkpoint.FILE).stat().st_mtime_ns == began
    for changed in ({"training": replace(SHORT, learning_rate=0.1)}, {"seed": 4}, {"fusion_size": 20}):
        with pytest.raises(checkpoint.TrainingError, match="another training"):
            train(tmp_path, data, **{"training": SHORT, **changed})
    fewer = {name: each for name, each in data.items() if name == "tags"}
    with pytest.raises(checkpoint.TrainingError, match="another training"):
        train(tmp_path, fewer, SHORT)
    with pytest.raises(checkpoint.TrainingError, match="another training"):
        train(tmp_path, data, SHORT, doubt=0.2)  # of the teachers


def test_of_a_relative_data_set_the_level_is_not_learnt(data):
    def trained(relative, shift):
        sources = data["ratings"].sources
        labels = replace(sources["train"].labels, va=sources["train"].labels.va + shift)
        moved = replace(data["ratings"], sources=sources | {"train": replace(sources["train"], labels=labels)})
        moved.sources["train"] = replace(moved.sources["train"], relative=relative)
        objective = replace(training_child.OBJECTIVE, distillation=None)
        return weights(train(None, {"tags": data["tags"], "ratings": moved}, SHORT, objective)[0])

    relative, absolute = (differences(trained(each, 0.0), trained(each, 1.5)) for each in (True, False))
    assert relative < absolute / 5  # not 0: of a gradient of rounding errors Adam takes the sign


@pytest.mark.parametrize("content", [b"", b"torn", None])
def test_a_damaged_checkpoint_is_named(tmp_path, data, content):
    if content is None:
        torch.save([1], tmp_path / checkpoint.FILE)
    else:
        (tmp_path / checkpoint.FILE).write_bytes(content)
    with pytest.raises(checkpoint.TrainingError, match="checkpoint.pt is damaged"):
        train(tmp_path, data, SHORT)


def test_the_log_tells_losses_scores_and_what_was_chosen(tmp_path, data):
    fitted, _ = train(tmp_path, data, replace(TRAINING, epochs=3))
    rows = [json.loads(line) for line in (tmp_path / "training.jsonl").open()]
    assert [row["epoch"] for row in rows] == [1, 2, 3] and rows == fitted.log
    assert list(rows[0]["losses"]["tags"]) == ["mood"] and list(rows[0]["losses"]["ratings"]) == ["va"]
    assert rows[-1]["losses"]["ratings"]["va"] < rows[0]["losses"]["ratings"]["va"]
    assert {"r2_valence", "ccc_arousal"} <= rows[0]["validation"]["ratings"].keys()
    assert fitted.epoch == max(rows, key=lambda row: row["score"])["epoch"]
    assert dict(scalars(rows[0]))["validation/ratings/r2_valence"] == rows[0]["validation"]["ratings"]["r2_valence"]


def test_the_last_epoch_or_a_named_score_may_be_chosen(data):
    # a rate that is far too high makes later epochs no better
    wild = replace(TRAINING, epochs=4, learning_rate=0.3, schedule="constant", ema=None)
    assert train(None, data, replace(wild, choose="last"))[0].epoch == 4
    select = ("ratings.r2_arousal",)
    fitted, _ = train(None, data, replace(wild, select=select))
    scores = [row["validation"]["ratings"]["r2_arousal"] for row in fitted.log]
    assert [row["score"] for row in fitted.log] == scores
    assert fitted.epoch == 1 + int(np.argmax(scores))
    with pytest.raises(TrainingError, match="ratings.r3"):
        train(None, data, replace(wild, select=("ratings.r3",)))


def test_without_a_score_the_last_epoch_is_taken(data):
    few = {name: replace(each, sources=each.sources | {"validation": few_tracks(each)}) for name, each in data.items()}
    tags = {"tags": few["tags"]}  # too few of each mood for a curve
    fitted, _ = train(None, tags, replace(SHORT, ema=None))
    assert [row["score"] for row in fitted.log] == [None, None] and fitted.epoch == 2


def few_tracks(planted):
    return planted.sources["validation"].only(planted.sources["validation"].rows[:4])


def test_a_moving_average_is_not_the_last_step(data):
    plain, averaged = (train(None, data, replace(SHORT, ema=ema, choose="last"))[0] for ema in (None, 0.99))
    assert 0 < differences(weights(plain), weights(averaged)) < 1
    assert untimed(plain.log)[0]["losses"] == untimed(averaged.log)[0]["losses"]  # learning itself is the same


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_schedules_end_where_they_should(data, schedule):
    fitted, _ = train(None, data, replace(SHORT, schedule=schedule))
    rates = [row["learning_rate"] for row in fitted.log]
    assert rates[-1] == pytest.approx(SHORT.learning_rate if schedule == "constant" else 0, abs=1e-4)


def test_half_precision_learns_the_same(data, fresh_accelerator):
    full = train(None, data, SHORT)[0]
    AcceleratorState._reset_state(True)
    half = train(None, data, replace(SHORT, mixed_precision="bf16"))[0]
    losses = [fitted.log[-1]["losses"]["ratings"]["va"] for fitted in (full, half)]
    assert losses[1] == pytest.approx(losses[0], rel=0.1) and losses[1] != losses[0]


def test_a_loss_that_is_not_finite_stops_with_a_sentence(data):
    with pytest.raises(TrainingError, match="not finite in epoch 1: lower the learning rate"):
        train(None, data, replace(SHORT, learning_rate=1e30, clip_norm=None, schedule="constant", warmup=0.0))


def test_tensorboard_shows_the_numbers_of_every_epoch(tmp_path, data, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = train(tmp_path, data, SHORT)[0].log
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"losses/tags/mood", "score"} <= set(board.Tags()["scalars"])
    shown = [(event.step, event.value) for event in board.Scalars("score")]
    assert shown == [(row["epoch"], pytest.approx(row["score"])) for row in log]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # not installed
    train(tmp_path / "without", data, SHORT)
    assert not (tmp_path / "without" / "tensorboard").exists()


@pytest.mark.parametrize("steps", [1, 2, 10, 20, 100])
def test_one_cycle_of_any_length(steps):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], 0.1)
    short = Training(epochs=1, batch_size=1, learning_rate=0.1, schedule="one_cycle", warmup=0.1)
    schedule, rates = loop._schedule(optimizer, short, steps), []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert max(rates) <= 0.1 and min(rates) >= 0 and (steps < 20 or max(rates) == pytest.approx(0.1))
