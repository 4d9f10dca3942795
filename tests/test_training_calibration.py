"""Calibration: logits that are off by a scale and offsets become probabilities; what is too rare stays as it was."""

import numpy as np
import pytest

from m2e.training.calibration import calibrate, platt
from modeling_m2e import M2EConfig
from modeling_m2e.output_m2e import sigmoid


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    truth = rng.uniform(-4, 2, (4000, 2))
    return truth, (rng.random(truth.shape) < sigmoid(truth)).astype(float)


def test_platt_gives_probabilities_and_thresholds_that_meet_the_prevalence(drawn):
    truth, labels = drawn
    scale, offsets, thresholds = platt(truth * 2 + 3, labels)
    assert scale == pytest.approx(0.5, abs=0.05) and offsets == pytest.approx([-1.5, -1.5], abs=0.15)
    chosen = sigmoid(scale * (truth * 2 + 3) + offsets) > thresholds
    assert chosen.mean(0) == pytest.approx(labels.mean(0), abs=0.01)


def test_tracks_without_labels_do_not_count(drawn):
    truth, labels = drawn
    gaps = labels.copy()
    gaps[::2, 0] = np.nan
    noise = np.where(np.isnan(gaps), 50.0, truth)  # would ruin a fit that counted it
    scale, offsets, _ = platt(noise, gaps)
    assert scale == pytest.approx(1, abs=0.1) and offsets == pytest.approx([0, 0], abs=0.15)


def test_a_config_keeps_what_it_had_for_rare_moods(drawn):
    truth, labels = drawn
    config = M2EConfig.default(["common", "rare"], [0.3, 0.01])
    before = list(config.mood_offset), list(config.mood_thresholds)
    sparse = labels.copy()
    sparse[:, 1] = 0
    sparse[:4, 1] = 1
    assert calibrate(config, truth - 1, sparse) == 1
    assert config.mood_offset[0] == pytest.approx(1, abs=0.1) and config.mood_offset[1] == before[0][1]
    assert config.mood_scale[1] == 1.0 and config.mood_thresholds[1] == before[1][1]
    untouched = M2EConfig.default(["a", "b"])
    assert calibrate(untouched, truth, np.zeros_like(labels)) == 0 and untouched.mood_scale is None


def test_rare_moods_are_calibrated_by_soft_labels(drawn):
    truth, _ = drawn
    config = M2EConfig.default(["a", "b"])
    targets = sigmoid(truth - 6)  # of a teacher: no track is certain to carry a mood
    assert calibrate(config, truth, targets) == 2
    probabilities = sigmoid(truth * config.mood_scale + config.mood_offset)
    assert probabilities.mean(0) == pytest.approx(targets.mean(0), rel=0.05)
