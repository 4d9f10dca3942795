"""Weights that are not finite are refused wherever weights are loaded; missing ones where all are needed."""

import io
import json

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from m2e.checkpoints.convert_btc import _load, convert_btc_checkpoint
from m2e.checkpoints.convert_music2emo import convert_music2emo_checkpoint
from m2e.checkpoints.convert_taggers import _fill
from m2e.errors import ModelError, TrainingError
from m2e.training.soft_labels import read_soft_labels
from m2e.training.teachers import model_teacher
from modeling_m2e import (
    BTCConfig,
    BTCModel,
    M2EConfig,
    M2EEncoderConfig,
    M2EEncoderModel,
    M2EForMusicEmotion,
    M2EProcessor,
    MertEncoder,
)
from modeling_m2e.feature_extraction_m2e import M2EFeatureExtractor
from modeling_m2e.modeling_taggers import TaggersConfig, TaggersModel
from modeling_m2e.weights_m2e import check_weights, load_complete

NAN, INF = float("nan"), float("inf")
SMALL = {"use_harmony": False, "embedding_size": 6, "fusion_size": 8, "branch_size": 4}
NETWORKS = {
    "emotion": lambda: M2EForMusicEmotion(M2EConfig.default(["a"], **SMALL)),
    "chords": lambda: BTCModel(BTCConfig(num_hidden_layers=1, hidden_size=16, intermediate_size=16)),
    "taggers": lambda: TaggersModel(TaggersConfig(nets=["musicnn_msd"])),
    "encoder": lambda: M2EEncoderModel(M2EEncoderConfig(widths=(8, 8, 8), hidden_size=16, squeezed_width=8)),
}


def spoil(path, value) -> str:
    """Puts a value into the first tensor of a file that has several numbers; its name."""
    tensors = load_file(path)
    name = next(name for name in sorted(tensors) if tensors[name].is_floating_point() and tensors[name].numel() > 1)
    tensors[name].view(-1)[1] = value
    save_file(tensors, path, metadata={"format": "pt"})
    return name


@pytest.mark.parametrize("value", [NAN, -INF])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_refuses_weights_that_are_not_finite(tmp_path, network, value):
    made = NETWORKS[network]()
    made.save_pretrained(tmp_path / "model")
    type(made).from_pretrained(tmp_path / "model")
    name = spoil(tmp_path / "model" / "model.safetensors", value)
    for folder, options in ((tmp_path / "model", {"output_loading_info": True}), (tmp_path, {"subfolder": "model"})):
        with pytest.raises(ModelError, match="has weights that are not finite, the first are ") as error:
            type(made).from_pretrained(folder, **options)
        assert str(tmp_path) in str(error.value) and name.rpartition(".")[2] in str(error.value)


def test_weights_without_values_pass():
    with torch.device("meta"):
        check_weights(torch.nn.Linear(2, 2), "a network")


def test_missing_weights_are_refused_where_all_are_needed(tmp_path):
    NETWORKS["emotion"]().save_pretrained(tmp_path)
    assert isinstance(load_complete(M2EForMusicEmotion, tmp_path), M2EForMusicEmotion)
    tensors = load_file(tmp_path / "model.safetensors")
    first = min(tensors)
    del tensors[first]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks weights of the model, the first is"):
        load_complete(M2EForMusicEmotion, tmp_path)


def test_a_teacher_folder(tmp_path):
    NETWORKS["emotion"]().save_pretrained(tmp_path)
    reference = {"type": "mert", "id": "x"}
    (tmp_path / "processor_config.json").write_text(json.dumps({"encoder_reference": reference}))
    spoil(tmp_path / "model.safetensors", NAN)
    processor = M2EProcessor(M2EFeatureExtractor(16000, 3.0), reference)
    with pytest.raises(ModelError, match="not finite"):
        model_teacher(tmp_path, processor, M2EConfig.default(["a"], **SMALL))


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_published_chord_checkpoint(fixtures, tmp_path, value):
    content = _load(fixtures / "btc/tiny_checkpoint.pt")
    path = tmp_path / "btc.pt"
    torch.save(content, path)
    convert_btc_checkpoint(path)
    torch.save(content | {"std": value}, path)
    with pytest.raises(ModelError, match="feature_std"):
        convert_btc_checkpoint(path)
    next(tensor for name, tensor in content["model"].items() if "lstm" not in name).view(-1)[0] = value
    torch.save(content, path)
    with pytest.raises(ModelError, match="btc.pt has weights that are not finite"):
        convert_btc_checkpoint(path)


def test_a_published_emotion_checkpoint(tmp_path):
    content = tiny.published_head()
    path = tmp_path / "head.ckpt"
    content["state_dict"]["model.input_proj.0.weight"][0, 0] = NAN
    torch.save(content, path)
    with pytest.raises(ModelError, match="head.ckpt has weights that are not finite"):
        convert_music2emo_checkpoint(path)
    content = tiny.published_head()
    content["state_dict"]["loss_fn_classification.pos_weight"][3] = NAN
    torch.save(content, path)
    with pytest.raises(ModelError, match="head.ckpt has class weights of the loss that are not finite"):
        convert_music2emo_checkpoint(path)


def test_published_taggers(tmp_path):
    net = torch.nn.Linear(2, 2)
    state = {name: np.full(tensor.shape, INF, np.float32) for name, tensor in net.state_dict().items()}
    with pytest.raises(ModelError, match="net.npz has weights that are not finite"):
        _fill(net, state, tmp_path / "net.npz")


def test_a_mert(tmp_path):
    files = tiny.published_mert(width=48)
    weights = torch.load(io.BytesIO(files["pytorch_model.bin"]), weights_only=True)
    weights["encoder.layer_norm.bias"][0] = NAN
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes(files[name])
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pytorch_model.bin has weights that are not finite"):
        MertEncoder.from_pretrained(tmp_path)


def test_soft_labels(tmp_path):
    table = tmp_path / "soft.csv"
    table.write_text("id,valence,arousal\na,inf,3\n")
    with pytest.raises(TrainingError, match="infinite valence or arousal"):
        read_soft_labels(table, ["a"], ["a.wav"], [])
    table.write_text("id,mood_calm\na,inf\n")
    with pytest.raises(TrainingError, match="no probabilities"):
        read_soft_labels(table, ["a"], ["a.wav"], ["calm"])
