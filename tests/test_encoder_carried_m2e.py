"""Encoders in the model repo: embeddings, storage, references, damaged files."""

import json
import shutil
from copy import deepcopy

import pytest
import torch
from safetensors.torch import load_file, save_file

from m2e.errors import ModelError
from modeling_m2e import M2EEncoderConfig, M2EEncoderModel
from modeling_m2e.encoder_carried_m2e import CARRIED, CarriedEncoder, DistilledEncoder, TaggerEncoder
from modeling_m2e.encoder_m2e import load_encoder
from modeling_m2e.modeling_taggers import TaggersConfig, TaggersModel
from modeling_m2e.weights_m2e import halve_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SIZES = {"widths": (4, 6, 8), "depths": (1, 1, 1), "squeezed_width": 2, "trunk_depth": 1, "hidden_size": 12}


def build(kind: str) -> CarriedEncoder:
    torch.manual_seed(0)
    if kind == "taggers":
        return TaggerEncoder(TaggersModel(TaggersConfig(nets=["crnn_msd"])))
    return DistilledEncoder(M2EEncoderModel(M2EEncoderConfig(**SIZES)))


@pytest.fixture(scope="module", params=sorted(CARRIED))
def encoder(request) -> CarriedEncoder:
    return build(request.param)


@pytest.fixture(scope="module")
def windows(encoder) -> torch.Tensor:
    return 0.1 * torch.randn(2, 3 * encoder.sampling_rate, generator=torch.Generator().manual_seed(0))


def test_windows_become_embeddings(encoder, windows):
    embeddings = encoder(windows)
    assert encoder.window_seconds == 30.0
    assert embeddings.shape == (2, encoder.hidden_size)
    assert embeddings.dtype == torch.float32 and not embeddings.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(embeddings, encoder.embed(windows), atol=1e-6, rtol=0)
    alone = torch.cat([encoder(window[None]) for window in windows])
    torch.testing.assert_close(embeddings, alone, atol=1e-5, rtol=0)
    assert (embeddings[0] - embeddings[1]).abs().max() > 0
    assert encoder.to("cpu") is encoder and encoder.device.type == "cpu"
    assert encoder(torch.zeros(0, 100)).shape == (0, encoder.hidden_size)


def test_the_taggers_concatenate_and_the_distilled_encoder_averages_its_seconds():
    taggers, distilled = build("taggers"), build("m2e-encoder")
    waveform = 0.1 * torch.randn(1, 66150)
    with torch.no_grad():
        assert torch.equal(taggers.embed(waveform), taggers.model(input_values=waveform).embeddings)
        seconds = distilled.model(waveform).last_hidden_state
    torch.testing.assert_close(distilled(waveform), seconds.mean(1))


def test_a_short_window_is_taken(encoder):
    assert encoder(0.1 * torch.ones(1, encoder.sampling_rate // 2)).isfinite().all()


def test_weights_travel_with_the_model_repo(encoder, windows, tmp_path):
    encoder.save_pretrained(tmp_path)
    assert {"config.json", "model.safetensors"} <= {path.name for path in (tmp_path / "encoder").iterdir()}
    assert encoder.reference() == {"type": encoder.kind}
    again = load_encoder(json.loads(json.dumps(encoder.reference())), tmp_path)
    assert type(again) is type(encoder)
    assert torch.equal(again(windows), encoder(windows))
    assert again.settings() == encoder.settings()


def test_a_folder_of_the_network_itself_is_read(encoder, windows, tmp_path):
    encoder.model.save_pretrained(tmp_path)
    assert torch.equal(type(encoder).from_network(tmp_path)(windows), encoder(windows))


def test_weights_that_half_precision_holds_are_stored_in_it(encoder, tmp_path):
    network = encoder.model
    for name, kept in (("single", network), ("half", halve_weights(deepcopy(network)).float())):
        type(encoder)(kept).save_pretrained(tmp_path / name)
        stored = load_file(tmp_path / name / "encoder" / "model.safetensors")
        parameters, buffers = dict(network.named_parameters()), dict(network.named_buffers())
        assert {stored[key].dtype for key in parameters} == {torch.float32 if name == "single" else torch.float16}
        assert {stored[key].dtype for key in buffers if buffers[key].is_floating_point()} == {torch.float32}
        again = type(encoder).from_pretrained(tmp_path / name)
        assert again.model.dtype == torch.float32 and again.settings() == type(encoder)(kept).settings()


def test_subfolders_and_hub_repos(encoder, windows, tmp_path):
    encoder.save_pretrained(tmp_path / "repo" / "below")
    below = type(encoder).from_pretrained(tmp_path / "repo", subfolder="below")
    assert torch.equal(below(windows), encoder(windows))
    repository = tmp_path / "cache" / "models--someone--emotion"  # as the hub's cache lays it out
    shutil.copytree(tmp_path / "repo" / "below", repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    from_hub = load_encoder(encoder.reference(), "someone/emotion", cache_dir=tmp_path / "cache", revision=COMMIT)
    assert torch.equal(from_hub(windows), encoder(windows))


def test_a_missing_encoder_is_named(encoder, tmp_path):
    with pytest.raises(ModelError, match="folder encoder"):
        load_encoder(encoder.reference(), tmp_path)
    with pytest.raises(ModelError, match="travel with the model"):
        load_encoder(encoder.reference())


def test_incomplete_and_damaged_weights_are_refused(encoder, tmp_path):
    encoder.save_pretrained(tmp_path)
    path = tmp_path / "encoder" / "model.safetensors"
    weights = load_file(path)
    name = next(iter(dict(encoder.model.named_parameters())))
    save_file({**weights, name: weights[name] * torch.nan}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=name):
        type(encoder).from_pretrained(tmp_path)
    del weights[name]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=name):
        type(encoder).from_pretrained(tmp_path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match="no readable encoder"):
        type(encoder).from_pretrained(tmp_path)


@pytest.mark.parametrize("bad", [torch.zeros(16000), torch.zeros(1, 0), torch.full((1, 16000), float("nan"))])
def test_bad_windows_are_refused(encoder, bad):
    with pytest.raises(ModelError):
        encoder(bad)
