"""What all encoders offer, how references to them work, and the taggers."""

import json
import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import tiny
import torch

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
    load_encoder,
)

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
    seconds = None

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
