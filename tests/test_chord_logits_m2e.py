"""Logits of frames at one level."""

import numpy as np
import pytest
import torch

from modeling_m2e import BTCConfig, BTCModel
from modeling_m2e.chord_logits_m2e import MAX_GAIN, frame_logits, levelled
from modeling_m2e.errors_m2e import ModelError

FEATURES = np.random.default_rng(0).normal(-4, 2, (250, 144)).astype(np.float32)


def model(level: float | None) -> BTCModel:
    torch.manual_seed(0)
    config = BTCConfig(num_hidden_layers=1, hidden_size=16, intermediate_size=16, feature_mean=-4.0, level=level)
    return BTCModel(config).eval()


@pytest.mark.parametrize("overlap", [False, True])
def test_the_level_of_the_audio_does_not_matter_with_a_level_and_matters_without(overlap):
    steady, published = model(-1.0), model(None)
    for shift in (-3.0, 2.0):
        same = frame_logits(FEATURES + shift, steady, overlap)
        np.testing.assert_allclose(same, frame_logits(FEATURES, steady, overlap), atol=1e-4)
        other = frame_logits(FEATURES + shift, published, overlap)
        assert np.abs(other - frame_logits(FEATURES, published, overlap)).max() > 0.01


def test_a_block_has_the_level_and_silence_stays_soft():
    config = BTCConfig(level=-1.0)
    found = levelled(FEATURES[:46], config)
    assert 0.5 * np.log(np.exp(2 * found.astype(float)).mean()) == pytest.approx(-1.0, abs=1e-5)
    silence = np.full((108, 144), -13.8, np.float32)
    np.testing.assert_allclose(levelled(silence, config), silence + MAX_GAIN, rtol=1e-6)
    assert levelled(FEATURES, BTCConfig()) is FEATURES and not len(levelled(FEATURES[:0], config))


@pytest.mark.parametrize("level", [float("nan"), 1e9, "loud"])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(ModelError, match="BTCConfig: level is"):
        BTCConfig(level=level)
