"""What all encoders offer, how references to them work, and the taggers."""

import json
import os
import shutil
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import tiny
import torch
from safetensors.torch import load_file, save_file

from m2e.checkpoints.convert_taggers import halve_weights
from m2e.errors import ModelError, TrainingError
from m2e.features.cache import cached_features, encoder_fingerprint
from m2e.publish.facts import Facts
from m2e.training.output import save_model
from m2e.training.teachers import model_teacher
from modeling_m2e import M2EConfig, M2EForMusicEmotion, M2EProcessor
from modeling_m2e.encoder_m2e import (
    PINNED_REVISIONS,
    Encoder,
    MertEncoder,
    TaggerEncoder,
    load_encoder,
)
from modeling_m2e.modeling_taggers import TaggersConfig, TaggersModel

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def mert_folder(fixtures):
    return fixtures / "mert" / "tiny_base"


@pytest.fixture(scope="module")
def waveform(fixtures):
    with np.load(fixtures / "mert" / "waveform_3s_24k.npz") as arrays:
        return torch.from_numpy(arrays["waveform"])[None]


@pytest.fixture(scope="module")
def encoder(mert_folder):
    return MertEncoder.from_pretrained(mert_folder, layers=(2, 3))


def close(actual, wanted, atol):
    torch.testing.assert_close(actual, wanted, atol=atol, rtol=0)


# References


def test_reference_makes_the_same_encoder(encoder, mert_folder, waveform, tmp_path):
    reference = json.loads(json.dumps(encoder.reference()))
    assert reference == {"type": "mert", "id": str(mert_folder), "revision": None, "layers": [2, 3]}
    again = load_encoder(reference, tmp_path, revision="of the model repo", subfolder="of the model repo")
    assert torch.equal(again(waveform), encoder(waveform))
    encoder.save_pretrained(tmp_path)
    assert not any(tmp_path.iterdir())


def test_bare_model_has_no_reference(encoder, waveform):
    bare = MertEncoder(encoder.model, layers=(3, 2))
    close(bare(waveform), encoder(waveform).roll(32, dims=1), atol=1e-6)
    with pytest.raises(ModelError, match="bare model"):
        bare.reference()


def cached(folder, name, cache, commit=COMMIT):
    """Lay a folder out as the hub's cache does."""
    repository = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)


def test_hub_id_is_recorded_with_its_commit(mert_folder, tmp_path, encoder, waveform):
    cached(mert_folder, "someone/tiny-mert", tmp_path)
    by_branch = MertEncoder.from_pretrained("someone/tiny-mert", layers=(2, 3), cache_dir=tmp_path, token=None)
    assert by_branch.reference()["revision"] == COMMIT
    assert torch.equal(by_branch(waveform), encoder(waveform))
    reference = {"type": "mert", "id": "someone/tiny-mert", "revision": COMMIT, "layers": [2, 3]}
    again = load_encoder(reference, "someone/emotion", cache_dir=tmp_path, revision="v2", trust_remote_code=True)
    assert again.reference() == by_branch.reference() == reference
    with pytest.raises(ModelError, match="someone/tiny-mert"):
        MertEncoder.from_pretrained("someone/tiny-mert", "f" * 40, layers=(2, 3), cache_dir=tmp_path)


@pytest.mark.parametrize("name", PINNED_REVISIONS)
def test_known_repositories_are_pinned(mert_folder, tmp_path, name):
    cached(mert_folder, name, tmp_path)  # some other commit than the pinned one
    with pytest.raises(ModelError, match=name):
        MertEncoder.from_pretrained(name, layers=(2, 3), cache_dir=tmp_path)
    assert MertEncoder.from_pretrained(name, "main", layers=(2, 3), cache_dir=tmp_path).revision == COMMIT
    cached(mert_folder, name, tmp_path / "pinned", PINNED_REVISIONS[name])
    pinned = MertEncoder.from_pretrained(name, layers=(2, 3), cache_dir=tmp_path / "pinned")
    assert pinned.revision == PINNED_REVISIONS[name]


def test_incomplete_references_are_refused():
    with pytest.raises(ModelError, match="'muq'"):
        load_encoder({"type": "muq"})
    with pytest.raises(ModelError, match="None"):
        load_encoder({})
    with pytest.raises(ModelError, match="needs an id"):
        load_encoder({"type": "mert", "layers": [6, 7]})
    with pytest.raises(ModelError, match="name the model repo"):
        load_encoder({"type": "taggers"})


# The protocol


class Loudness:
    """An encoder with the members of `Encoder` and no others."""

    sampling_rate, hidden_size, window_seconds = 8000, 2, 2.0

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def to(self, device: str | torch.device) -> "Loudness":
        return self

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        return self.gain * torch.stack([windows.abs().mean(1), windows.square().mean(1)], dim=1)

    def reference(self) -> dict[str, Any]:
        return {"type": "loudness"}

    def settings(self) -> dict[str, Any]:
        return {"gain": self.gain}

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        (Path(save_directory) / "loudness.json").write_text(json.dumps(self.settings()))


def test_nothing_but_the_protocol_is_used(tmp_path, monkeypatch):
    encoder: Encoder = Loudness()
    members = {*dir(Encoder), *Encoder.__annotations__}
    assert {name for name in dir(Loudness) if name[0] != "_"} == {name for name in members if name[0] != "_"}
    processor = M2EProcessor.build(encoder)
    sf.write(tmp_path / "a.wav", tiny.waveform(5.0), tiny.SAMPLING_RATE)

    track = processor.analyze(tmp_path / "a.wav")
    assert track.embeddings.shape == (3, 2) and track.embeddings[0, 0] > 0

    cached = cached_features(["a"], [tmp_path / "a.wav"], processor, tmp_path / "cache", lambda line: None)
    assert torch.allclose(cached[0].embeddings, track.embeddings, rtol=2e-3)
    assert encoder_fingerprint(processor) != encoder_fingerprint(M2EProcessor.build(Loudness(2.0)))

    model = M2EForMusicEmotion(M2EConfig.default(["a"], embedding_size=2, use_harmony=False)).eval()
    save_model(tmp_path / "out", model, processor, {}, Facts("loud", "mit"))
    assert json.loads((tmp_path / "out" / "loudness.json").read_text()) == {"gain": 1.0}

    for gain in (1.0, 2.0):
        monkeypatch.setattr("m2e.training.teachers.load_encoder", lambda *_, gain=gain: Loudness(gain))
        with nullcontext() if gain == 1.0 else pytest.raises(TrainingError):
            assert model_teacher(tmp_path / "out", processor, model.config).tasks == ("mood", "va")


# Taggers


@pytest.fixture(scope="module")
def taggers():
    torch.manual_seed(0)
    return TaggerEncoder(TaggersModel(TaggersConfig(nets=["crnn_msd"])))


@pytest.fixture(scope="module")
def tagger_windows():
    return 0.1 * torch.randn(2, 3 * 16000, generator=torch.Generator().manual_seed(0))


def test_taggers_embed_windows(taggers, tagger_windows):
    embeddings = taggers(tagger_windows)
    assert (taggers.sampling_rate, taggers.window_seconds) == (16000, 30.0)
    assert embeddings.shape == (2, taggers.hidden_size)
    assert embeddings.dtype == torch.float32 and not embeddings.requires_grad
    with torch.no_grad():
        close(embeddings, taggers.model(input_values=tagger_windows).embeddings, atol=1e-6)
    close(embeddings, torch.cat([taggers(window[None]) for window in tagger_windows]), atol=1e-5)
    assert (embeddings[0] - embeddings[1]).abs().max() > 0
    assert taggers.to("cpu") is taggers and taggers.device.type == "cpu"
    assert taggers(torch.zeros(0, 100)).shape == (0, taggers.hidden_size)


def test_tagger_weights_travel_with_the_model_repo(taggers, tagger_windows, tmp_path):
    taggers.save_pretrained(tmp_path)
    assert {"config.json", "model.safetensors"} <= {path.name for path in (tmp_path / "encoder").iterdir()}
    assert taggers.reference() == {"type": "taggers"}
    again = load_encoder(json.loads(json.dumps(taggers.reference())), tmp_path)
    assert again.model.dtype == torch.float32
    assert torch.equal(again(tagger_windows), taggers(tagger_windows))
    assert again.settings() == taggers.settings()


def test_weights_that_half_precision_holds_are_stored_in_it(tmp_path):
    torch.manual_seed(0)
    network = TaggersModel(TaggersConfig(nets=["crnn_msd"]))
    for name, kept in (("single", network), ("half", halve_weights(deepcopy(network)).float())):
        TaggerEncoder(kept).save_pretrained(tmp_path / name)
        stored = load_file(tmp_path / name / "encoder" / "model.safetensors")
        parameters = dict(network.named_parameters())
        assert {stored[key].dtype for key in parameters} == {torch.float32 if name == "single" else torch.float16}
        assert stored["mel_htk"].dtype == torch.float32
        again = TaggerEncoder.from_pretrained(tmp_path / name)
        assert again.model.dtype == torch.float32 and again.settings() == TaggerEncoder(kept).settings()


def test_taggers_of_a_subfolder_and_of_a_hub_repo(taggers, tagger_windows, tmp_path):
    taggers.save_pretrained(tmp_path / "repo" / "below")
    below = TaggerEncoder.from_pretrained(tmp_path / "repo", subfolder="below")
    assert torch.equal(below(tagger_windows), taggers(tagger_windows))
    cached(tmp_path / "repo" / "below", "someone/emotion", tmp_path / "cache")
    from_hub = load_encoder({"type": "taggers"}, "someone/emotion", cache_dir=tmp_path / "cache", revision=COMMIT)
    assert torch.equal(from_hub(tagger_windows), taggers(tagger_windows))


def test_missing_taggers_are_named(tmp_path):
    with pytest.raises(ModelError, match="folder encoder"):
        load_encoder({"type": "taggers"}, tmp_path)


def test_incomplete_taggers_are_refused(taggers, tmp_path):
    taggers.save_pretrained(tmp_path)
    path = tmp_path / "encoder" / "model.safetensors"
    weights = load_file(path)
    del weights["nets.crnn_msd.dense.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="nets.crnn_msd.dense.weight"):
        TaggerEncoder.from_pretrained(tmp_path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match="no readable encoder"):
        TaggerEncoder.from_pretrained(tmp_path)


@pytest.mark.parametrize("windows", [torch.zeros(16000), torch.zeros(1, 0), torch.full((1, 16000), float("nan"))])
def test_taggers_refuse_bad_windows(taggers, windows):
    with pytest.raises(ModelError):
        taggers(windows)


def test_taggers_take_a_short_window(taggers):
    assert taggers(0.1 * torch.ones(1, 8000)).isfinite().all()
