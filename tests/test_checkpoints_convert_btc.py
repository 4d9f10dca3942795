"""Published chord checkpoints in all their layouts, and files that are something else."""

import os
import pickle

import numpy as np
import pytest
import torch

from m2e.checkpoints.convert_btc import _load, convert_btc_checkpoint, convert_btc_state_dict
from m2e.errors import ModelError

MEAN, STD = -5.123456789, 2.987654321


@pytest.fixture
def tiny(fixtures):
    return fixtures / "btc/tiny_checkpoint.pt"


@pytest.fixture
def weights(tiny):
    return dict(_load(tiny)["model"])


def assert_same(model, other):
    ours, theirs = model.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_published_layout(tiny, weights):
    model = convert_btc_checkpoint(tiny)
    assert (model.config.feature_mean, model.config.feature_std) == (MEAN, STD)
    assert type(model.config.feature_std) is float
    assert (model.config.hidden_size, model.config.num_hidden_layers, model.config.num_labels) == (32, 2, 170)
    assert not model.training and model.dtype == torch.float32
    used = sum(tensor.numel() for name, tensor in weights.items() if "lstm" not in name)
    assert model.num_parameters() == used


def test_old_serialisation_and_half_precision(tiny, weights, tmp_path):
    path = tmp_path / "old.pt"
    content = {"model": {key: value.half() for key, value in weights.items()}, "mean": MEAN, "std": np.float64(STD)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    model = convert_btc_checkpoint(path)
    assert model.dtype == torch.float32 and model.config.feature_std == STD
    expected = convert_btc_checkpoint(tiny).half().float()
    assert_same(model, expected)


def test_layout_of_its_training(fixtures, tiny, weights, tmp_path):
    path = tmp_path / "training.pth.tar"
    torch.save({"model": weights, "optimizer": {"state": {}}, "epoch": 7}, path)
    with pytest.raises(ModelError, match="'mean' and 'std'.*normalization"):
        convert_btc_checkpoint(path)
    model = convert_btc_checkpoint(path, fixtures / "btc/tiny_normalization.pt")
    assert (model.config.feature_mean, model.config.feature_std) == (MEAN, STD)
    assert_same(model, convert_btc_checkpoint(tiny))


def test_weights_of_several_devices(tiny, weights):
    model = convert_btc_state_dict({f"module.{key}": value for key, value in weights.items()}, MEAN, STD)
    assert_same(model, convert_btc_checkpoint(tiny))


@pytest.mark.parametrize("name", ["tiny_checkpoint_legacy_serialization.pt", "full_checkpoint.pt"])
def test_real_old_files(shared, name):
    model = convert_btc_checkpoint(shared / "golden/btc" / name)
    assert model.config.feature_std == STD


def test_converted_model_survives_a_round_trip(tiny, tmp_path):
    model = convert_btc_checkpoint(tiny)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert_same(model, again)
    assert again.config.feature_std == STD


def test_major_minor_vocabulary(weights):
    for name in ("weight", "bias"):
        weights[f"output_layer.output_projection.{name}"] = weights[f"output_layer.output_projection.{name}"][:25]
    labels = convert_btc_state_dict(weights, MEAN, STD).config.id2label
    assert [labels[i] for i in (0, 1, 2, 23, 24)] == ["C", "C:min", "C#", "B:min", "N"]


def test_unknown_vocabulary(weights):
    for name in ("weight", "bias"):
        weights[f"output_layer.output_projection.{name}"] = weights[f"output_layer.output_projection.{name}"][:60]
    with pytest.raises(ModelError, match="60 chords"):
        convert_btc_state_dict(weights, MEAN, STD)


@pytest.mark.parametrize("missing", ["key_linear", "layer_norm_ffn.beta", "layers.1.conv.bias"])
def test_missing_weights(weights, missing):
    partial = {key: value for key, value in weights.items() if missing not in key}
    with pytest.raises(ModelError, match="do not fit a BTC network: Missing key"):
        convert_btc_state_dict(partial, MEAN, STD)


def test_files_that_are_something_else(tmp_path, fixtures):
    other = tmp_path / "other.pt"
    torch.save({"model": {"linear.weight": torch.zeros(2, 2)}, "mean": 0.0, "std": 1.0}, other)
    with pytest.raises(ModelError, match=r"other\.pt: The weights are not those of a BTC"):
        convert_btc_checkpoint(other)
    with pytest.raises(ModelError, match="no entry 'model'"):
        convert_btc_checkpoint(fixtures / "btc/tiny_normalization.pt")
    torch.save([1, 2], other)
    with pytest.raises(ModelError, match="no dictionary"):
        convert_btc_checkpoint(other)
    other.write_text("not a checkpoint")
    with pytest.raises(ModelError, match="cannot be read safely: download it again"):
        convert_btc_checkpoint(other)
    with pytest.raises(ModelError, match="is not a file"):
        convert_btc_checkpoint(tmp_path / "absent.pt")


class _Command:
    """Unpickling this makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("through_torch", [True, False])
def test_code_in_a_file_is_not_run(tmp_path, through_torch):
    path, folder = tmp_path / "evil.pt", tmp_path / "made"
    content = {"model": _Command(folder), "mean": 0.0, "std": 1.0}
    if through_torch:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ModelError, match=r"evil\.pt cannot be read safely") as error:
        convert_btc_checkpoint(path)
    assert not folder.exists()
    assert "weights_only" not in str(error.value)  # torch's advice to read the file without protection
