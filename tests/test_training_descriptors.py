"""m2e.training.descriptors: linear maps to a teacher's attributes and to music, and the model that carries them."""

import shutil

import numpy as np
import pytest
import torch

from m2e.checkpoints.load import embedded_model
from m2e.training.descriptors import fit_attribute, fit_music, tell_on_card, with_descriptors
from modeling_m2e import M2EConfig, M2EForMusicEmotion
from modeling_m2e.descriptors_m2e import describe_track
from modeling_m2e.errors_m2e import ModelError

TINY = {"embedding_size": 6, "chord_size": 8, "chord_ffn_size": 8, "fusion_size": 8, "branch_size": 4, "num_members": 2}


def test_an_attribute_is_found_again_for_clips_that_were_left_out():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (200, 6))
    log_odds = x @ np.array([1.0, -1.0, 0, 0, 0, 0]) + 0.3
    found = fit_attribute(x, log_odds, np.arange(200) // 4)
    assert found.fidelity > 0.99
    assert found.weight == pytest.approx([1, -1, 0, 0, 0, 0], abs=0.05)
    assert found.bias == pytest.approx(0.3, abs=0.2)


def test_what_the_embedding_does_not_hold_has_no_fidelity():
    rng = np.random.default_rng(0)
    assert abs(fit_attribute(rng.normal(size=(200, 6)), rng.normal(size=200), np.arange(200)).fidelity) < 0.3


def test_music_is_told_from_other_sounds():
    rng = np.random.default_rng(0)
    music, others = rng.normal(1, 1, (80, 6)), rng.normal(-1, 1, (40, 6))
    found = fit_music(music, others, np.arange(120))
    assert found.fidelity > 0.98
    assert (music @ found.weight + found.bias > 0).mean() > 0.9 and (
        others @ found.weight + found.bias < 0
    ).mean() > 0.9


def test_a_model_carries_its_maps(tmp_path):
    torch.manual_seed(0)
    model = M2EForMusicEmotion(M2EConfig(**TINY)).eval()
    rng = np.random.default_rng(0)
    maps = {
        "energy": fit_attribute(rng.normal(size=(50, 6)), rng.normal(size=50), np.arange(50)),
        "music": fit_music(rng.normal(1, 1, (20, 6)), rng.normal(-1, 1, (20, 6)), np.arange(40)),
    }
    described = with_descriptors(model, maps)
    described.save_pretrained(tmp_path)
    loaded = M2EForMusicEmotion.from_pretrained(tmp_path)
    windows = torch.randn(1, 3, 6)
    output = loaded(windows, window_weights=torch.tensor([[1.0, 1.0, 0.0]]))
    mean = windows[0, :2].mean(0).numpy()
    expected = [mean @ each.weight + each.bias for each in maps.values()]
    assert output.descriptor_logits[0].tolist() == pytest.approx(expected, abs=1e-2)
    assert torch.equal(output.va, model(windows, window_weights=torch.tensor([[1.0, 1.0, 0.0]])).va)
    assert model(windows).descriptor_logits is None
    again = with_descriptors(loaded, {"energy": maps["energy"]})
    assert again.config.descriptors == ["energy"] and again(windows).descriptor_logits.shape == (1, 1)


def test_the_card_tells_of_the_maps_once(tmp_path):
    folder = shutil.copytree(embedded_model(), tmp_path / "model")
    report = {"clips": 7, "teacher": "vibenet", "made_sounds": 9, "correlation": {"energy": 0.9}, "music_roc_auc": 0.99}
    for correlation in (0.5, 0.9):
        tell_on_card(folder, report | {"correlation": {"energy": correlation}})
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.count("learnt from 7 clips by vibenet") == 1 and "energy 0.90" in text and "energy 0.50" not in text


def test_log_odds_become_music_and_attributes():
    music, attributes = describe_track(["energy", "music"], np.array([0.0, 4.0]))
    assert music == pytest.approx(0.982, abs=1e-3) and attributes == {"energy": 0.5}
    assert describe_track([], np.zeros(0)) == (None, None)


@pytest.mark.parametrize("names", ["energy", ["energy", "energy"], [1], ["x" * 65], [str(n) for n in range(65)]])
def test_wrong_names_are_refused(names):
    with pytest.raises(ModelError, match="descriptors"):
        M2EConfig(**TINY, descriptors=names)
