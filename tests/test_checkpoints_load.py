"""Every way to name a model, and every way in which there is none."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from fakehub import FakeHub
from safetensors.numpy import save

import m2e
from m2e.checkpoints import load as hub
from m2e.errors import ModelError
from modeling_m2e import MusicEmotionPipeline
from modeling_m2e.key_m2e import key_segments

TRACK = (tiny.waveform(4.0), tiny.SAMPLING_RATE)
SINE = (np.sin(np.arange(40000) / 10), 20000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny-model"
    tiny.pipeline().save_pretrained(path)
    return path


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """A folder to damage."""
    path = tmp_path / "copy"
    for file in folder.rglob("*"):
        if file.is_file():
            (path / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (path / file.relative_to(folder)).write_bytes(file.read_bytes())
    return path


def refusal(model=None, *args, **kwargs) -> str:
    with pytest.raises(ModelError) as error:
        m2e.load(model, *args, **kwargs)
    sentence = str(error.value)
    assert "\n" not in sentence and sentence.endswith(".")
    return sentence


# --- folders ---


def test_folder(folder):
    pipe = m2e.load(folder, device="cpu", window=2, batch_size=3)
    assert isinstance(pipe, MusicEmotionPipeline) and pipe.name == "tiny-model"
    assert pipe.processor.feature_extractor.window_seconds == 2.0 and pipe.processor.windows_per_batch == 3
    record = pipe(TRACK)
    assert record.model == "tiny-model" and record.chords and len(record.curve) == 2
    assert m2e.load(str(folder), harmony=False)(TRACK).chords is None
    assert record.key_segments is None
    asked = m2e.load(folder, key_segments=True)(TRACK)
    assert asked.key_segments == key_segments(asked.chords, asked.key)


def test_record_equals_that_of_the_saved_pipeline(folder):
    record, original = m2e.load(folder)(TRACK), tiny.pipeline()(TRACK)
    assert (record.valence, record.arousal, record.moods) == (original.valence, original.arousal, original.moods)


def test_embedded_model_is_the_default(folder, monkeypatch):
    monkeypatch.setattr(hub, "embedded_model", lambda: folder)
    assert m2e.load().name == m2e.load("m2e-small").name == "m2e-small"


def test_no_code_of_a_folder_is_run(copy):
    for file in copy.glob("*.py"):
        file.write_text("raise SystemExit('the code of a repo was run')\n")
    assert m2e.load(copy)(TRACK).error is None


def test_progress_bars_are_left_as_they_were(folder, capfd):
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging

    before = are_progress_bars_disabled(), logging.is_progress_bar_enabled()
    capfd.readouterr()
    m2e.load(folder)
    assert capfd.readouterr() == ("", "")
    assert (are_progress_bars_disabled(), logging.is_progress_bar_enabled()) == before
    assert logging.set_tqdm_hook(None) is None


@pytest.mark.parametrize("name", ["a/b/c", "./missing", "/missing", "missing", "~/missing", "a b/c", "a/b/c@J_all"])
def test_neither_folder_nor_hub_id(name):
    assert "is neither a folder nor a hub id such as amaai-lab/music2emo: check the name." in refusal(name)


def test_folders_that_hold_no_model(tmp_path, copy):
    (tmp_path / "song.mp3").write_bytes(b"")
    assert "is a file: give the folder of a model" in refusal(tmp_path / "song.mp3")
    (tmp_path / "empty").mkdir()
    assert (
        "holds no model (neither config.json nor saved_models/J_all.ckpt): give another folder or hub id."
        in refusal(tmp_path / "empty")
    )
    (tmp_path / "empty" / "config.json").write_text('{"model_type": "bert"}')
    assert "holds a bert model" in refusal(tmp_path / "empty")
    assert "holds one model, without variants: omit D_all." in refusal(f"{copy}@D_all")
    assert refusal(copy, "D_all") == refusal(f"{copy}@D_all")


PARTS = [f"{part}/{name}" for part in ("chords", "encoder") for name in ("config.json", "model.safetensors")]


@pytest.mark.parametrize("file", ["processor_config.json", "model.safetensors", *PARTS])
def test_folder_that_lacks_a_file(copy, file):
    (copy / file).unlink()
    assert f"is incomplete: it lacks {file}; save or download it again." in refusal(copy)


@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "model.safetensors", *PARTS])
def test_damaged_files(copy, file):
    content = (copy / file).read_bytes()
    for damaged in (content[:100], b"", b"\xff\xfe\x00", b"[1]"):
        (copy / file).write_bytes(damaged)
        assert str(copy / file) in refusal(copy)


def test_damage_that_the_header_of_the_weights_reveals(copy):
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[:-100])
    assert f"{copy / 'model.safetensors'} is damaged (" in refusal(copy)
    (copy / "model.safetensors").write_bytes(save({}))
    assert f"{copy / 'model.safetensors'} holds no weights" in refusal(copy)


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("config.json", {"fusion_size": 7}, "has weights that do not fit its config.json: save or download it again."),
        (
            "config.json",
            {"num_members": 0},
            "config.json is wrong (M2EConfig: num_members is 0; give a whole number from 1 to 100): ",
        ),
        ("encoder/config.json", {"nets": ["foo"]}, "encoder/config.json is wrong (Unknown tagger 'foo'"),
        ("processor_config.json", {"encoder_reference": None}, "processor_config.json names no encoder: save or "),
    ],
)
def test_configurations_that_cannot_be(copy, file, change, sentence):
    (copy / file).write_text(json.dumps(json.loads((copy / file).read_text()) | change))
    assert sentence in refusal(copy)


@pytest.mark.parametrize("bug", [TypeError("a bug"), ValueError("a bug"), RuntimeError("a bug"), KeyError("a bug")])
def test_bugs_are_not_the_fault_of_the_files(folder, monkeypatch, bug):
    def fails(*args, **kwargs):
        raise bug

    monkeypatch.setattr(MusicEmotionPipeline, "from_pretrained", fails)
    with pytest.raises(type(bug), match="a bug") as error:
        m2e.load(folder)
    assert error.value is bug


# --- settings ---


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", "mps:7", ""])
def test_device_that_is_not_there(folder, device):
    sentence = f"This machine has no usable device {device!r}: choose another one, or auto."
    assert refusal(folder, device=device) == sentence


def test_cuda_without_a_card(folder, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    assert "no usable device 'cuda'" in refusal(folder, device="cuda")
    assert m2e.load(folder).device.type == m2e.load(folder, device="cpu").device.type == "cpu"


@pytest.mark.parametrize("window", [0.4, 0, -3, float("inf"), float("nan")])
def test_windows_that_cannot_be(folder, window):
    assert refusal(folder, window=window) == f"A window of {window} s cannot be used: give at least 0.5 s."


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batches_that_cannot_be(folder, batch_size):
    assert "give at least 1." in refusal(folder, batch_size=batch_size)


# --- the hub ---

LOAD = """
import json, sys
root, *models = sys.argv[1:]
sys.path.insert(0, root)
import m2e, numpy as np
from m2e.checkpoints.load import ModelError

track = np.sin(np.arange(40000) / 10), 20000
answers = {}
for model in models:
    name, _, revision = model.partition(" ")
    try:
        pipe = m2e.load(name, revision=revision or None)
        record = pipe(track)
        answers[model] = [record.model, record.valence]
    except ModelError as error:
        answers[model] = str(error)
print(json.dumps(answers))
"""


def answers(hub: FakeHub, home: Path, *models: str) -> dict:
    done = tiny.run(LOAD, str(tiny.ROOT), *models, HF_ENDPOINT=hub.endpoint, HF_HOME=str(home))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_hub(folder, tmp_path):
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    heavy = {"checkpoint-1/model.safetensors": b"", "optimizer.bin": b"", "README.md": b""}
    with FakeHub() as hub:
        hub.add("me/model", files | heavy)
        hub.add("me/half", {name: files[name] for name in files if name != "model.safetensors"})
        hub.add("me/bert", {"config.json": b'{"model_type": "bert"}'})
        hub.add("me/raw", {"saved_models/E_all.ckpt": b"", "inference/data/btc_model_large_voca.pt": b""})
        hub.refuse = {
            "me/gated": (403, "GatedRepo", "Access is restricted"),
            "me/down": (503, "", "out of order"),
            "me/token": (401, "", "Invalid credentials in Authorization header"),
        }
        for repo in hub.refuse:
            hub.add(repo, files)
        names = "model", "half", "bert", "raw", "gated", "down", "token", "nothing", "model v9"
        found = answers(hub, tmp_path / "hf", *(f"me/{name}" for name in names))
        assert set(hub.fetched("me/model")) == {"config.json", "processor_config.json", "model.safetensors", *PARTS}

    offline = m2e.load("me/model", cache_dir=tmp_path / "hf" / "hub")  # the tests' own process knows no network
    assert found["me/model"] == ["me/model", offline(SINE).valence] and offline.name == "me/model"
    assert found["me/half"] == "me/half is incomplete: it lacks model.safetensors; save or download it again."
    assert found["me/bert"] == "me/bert holds a bert model: give one that m2e saved, or Music2Emo checkpoints."
    assert found["me/raw"] == "me/raw has no variant J_all: choose E_all."
    assert found["me/gated"].startswith(f"me/gated is gated: accept its terms at {hub.endpoint}/me/gated, then log in")
    assert found["me/down"] == "The hub answers 503 for me/down: try again later."
    assert found["me/token"].startswith("The hub refuses the access token for me/token: log in")
    assert found["me/nothing"].startswith("me/nothing is neither a folder nor a hub repo that you may read")
    assert found["me/model v9"] == "me/model has no revision v9: give a branch, tag or commit of it."


def test_unknown_repo_without_network(tmp_path):
    assert "connect once, without HF_HUB_OFFLINE, or give a folder." in refusal("me/model", cache_dir=tmp_path)


def test_encoder_errors_are_model_errors(folder, monkeypatch):
    def fails(*args, **kwargs):
        raise ModelError("m-a-p/MERT has no weights.")

    monkeypatch.setattr(MusicEmotionPipeline, "from_pretrained", fails)
    assert refusal(folder) == "m-a-p/MERT has no weights."


def test_light_to_import():
    heavy = "torch", "transformers", "huggingface_hub", "librosa", "soundfile"
    script = f"import sys; import m2e.checkpoints.load; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=tiny.ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
