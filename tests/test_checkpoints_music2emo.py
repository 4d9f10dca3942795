"""The published checkpoints, from a hub on loopback and from folders, to records."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import soundfile as sf
import tiny
import torch
from fakehub import FakeHub

import m2e
from m2e.checkpoints import music2emo as published
from m2e.errors import ModelError
from modeling_m2e.encoder_m2e import PINNED_REVISIONS

REPO = "amaai-lab/music2emo"
MERT = published.ENCODER


def saved(content) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.fixture(scope="session")
def mert() -> dict[str, bytes]:
    return tiny.published_mert()


@pytest.fixture(scope="session")
def layout(fixtures) -> dict[str, bytes]:
    """The published layout, with random heads and a chord recogniser that always detects A minor."""
    return {
        "README.md": b"# Music2Emo\n",
        "music2emo.py": b"raise SystemExit('the code of a repo was run')",
        "inference/data/run_config.yaml": b"mp3: {}\n",
        "saved_models/J_all.ckpt": saved(tiny.published_head(seed=0)),
        "saved_models/D_all.ckpt": saved(tiny.published_head(seed=1)),
        "inference/data/btc_model_large_voca.pt": saved(
            tiny.constant_chord(fixtures / "btc" / "tiny_checkpoint.pt", "A:min")
        ),
    }


@pytest.fixture
def track(tmp_path) -> str:
    sf.write(tmp_path / "song.wav", tiny.waveform(2.5), tiny.SAMPLING_RATE)
    return str(tmp_path / "song.wav")


# --- from the hub, in a process of its own ---

PREDICT = """
import json, sys
root, model, *tracks = sys.argv[1:]
sys.path.insert(0, root)
import m2e
pipe = m2e.load(model)
inputs = []
names = ("mode", "chord_roots", "chord_qualities")
pipe.model.register_forward_pre_hook(
    lambda module, args, kwargs: inputs.append({name: kwargs[name][0].tolist() for name in names}), with_kwargs=True
)
records = [pipe(track).to_dict() for track in tracks]
print(json.dumps({"records": records, "inputs": inputs, "encoder": pipe.processor.encoder.reference()}))
"""
COMMAND = """
import sys
sys.path.insert(0, sys.argv[1])
sys.argv[:2] = ["m2e", "predict"]
from m2e.cli import main
main()
"""


def predict(hub: FakeHub, home: Path, model: str, *tracks: str) -> dict:
    done = tiny.run(PREDICT, str(tiny.ROOT), model, *tracks, HF_ENDPOINT=hub.endpoint, HF_HOME=str(home))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def cached_models(home: Path) -> list[Path]:
    return sorted((home / "m2e").glob("v*/*")) + sorted((home / "m2e").glob("v*/.*"))


def test_one_line_then_offline(layout, mert, track, tmp_path):
    with FakeHub() as hub:
        commit = hub.add(REPO, layout)
        hub.add(MERT, mert, PINNED_REVISIONS[MERT])
        hub.add(MERT, mert | {"config.json": b"{}"})  # a later push changes nothing
        first = predict(hub, tmp_path / "hf", REPO, track)

        assert hub.fetched(REPO) == ["inference/data/btc_model_large_voca.pt", "saved_models/J_all.ckpt"]
        assert hub.fetched(MERT) == ["config.json", "preprocessor_config.json", "pytorch_model.bin"]
        assert not [line for line in hub.log if line.endswith(".py")]
        (folder,) = cached_models(tmp_path / "hf")
        assert folder.name == f"amaai-lab--music2emo--{commit}--J_all"

        made, asked = (folder / "config.json").stat().st_mtime_ns, len(hub.log)
        environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
        again = tiny.run(COMMAND, str(tiny.ROOT), "--model", REPO, "--format", "json", track, **environment)
        assert again.returncode == 0 and json.loads(again.stdout) == first["records"], again.stderr
        assert len(hub.log) == asked
        assert cached_models(tmp_path / "hf") == [folder] and (folder / "config.json").stat().st_mtime_ns == made

    (record,) = first["records"]
    assert record["error"] is None and record["model"] == f"{REPO}@J_all" and len(record["moods"]) == 56
    assert {chord["label"] for chord in record["chords"]} == {"A:min"}
    assert (record["key"]["tonic"], record["key"]["mode"]) == ("A", "minor")
    assert first["inputs"][0]["mode"] == 1.0  # the published code always says major
    assert first["encoder"] == {"type": "mert", "id": MERT, "revision": PINNED_REVISIONS[MERT], "layers": [6, 7]}


def test_golden_songs(shared, layout, mert, tmp_path):
    golden = shared / "golden"
    files = {
        "saved_models/J_all.ckpt": golden / "head" / "lightning_head.ckpt",
        "inference/data/btc_model_large_voca.pt": golden / "btc" / "full_checkpoint.pt",
    }
    with FakeHub() as hub:
        hub.add(REPO, layout | files)
        hub.add(MERT, mert, PINNED_REVISIONS[MERT])
        songs = [str(golden / "btc" / f"song_{name}.flac") for name in "de"]
        found = predict(hub, tmp_path / "hf", REPO, *songs)

    decoded = json.loads((golden / "btc" / "songs.full.decode.json").read_text())
    for name, record, inputs in zip("de", found["records"], found["inputs"], strict=True):
        expected = decoded[name]["after_lab"]
        assert inputs["mode"] == (expected["key_type"] == "minor")
        length = len(inputs["chord_roots"])
        assert inputs["chord_roots"] == expected["root_ids"][:length] and not any(expected["root_ids"][length:])
        assert inputs["chord_qualities"] == expected["attr_ids"][:length]
        assert record["key"]["mode"] == expected["key_type"]
        assert 1 <= record["valence"] <= 9 and 1 <= record["arousal"] <= 9
    assert [inputs["mode"] for inputs in found["inputs"]] == [1.0, 0.0]


# --- from a folder, with the encoder in the cache ---


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def cache(mert, tmp_path) -> Path:
    """A cache that holds the encoder."""
    write(tmp_path / "cache" / f"models--{MERT.replace('/', '--')}" / "snapshots" / PINNED_REVISIONS[MERT], mert)
    return tmp_path / "cache"


@pytest.fixture
def checkout(layout, tmp_path) -> Path:
    return write(tmp_path / "Music2Emotion", layout)


@pytest.fixture
def conversions(monkeypatch) -> list[str]:
    """The names of the folders that are made."""
    made, convert = [], published.convert
    monkeypatch.setattr(published, "convert", lambda *args: made.append(args[2].name) or convert(*args))
    return made


@pytest.mark.parametrize(("instructions", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_short_windows_share_a_batch_in_the_fastest_precision(checkout, cache, track, monkeypatch, instructions, dtype):
    for name in ("amx_tile", "avx512_bf16"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda: instructions, raising=False)
    pipe = m2e.load(checkout, cache_dir=cache, device="cpu", window=5, dtype="auto")
    assert pipe.processor.encoder.model.dtype == dtype and pipe.processor.windows_per_batch == 6
    exact = m2e.load(checkout, cache_dir=cache, device="cpu", window=5, batch_size=1)
    assert exact.processor.encoder.model.dtype == torch.float32 and exact.processor.windows_per_batch == 1
    assert pipe(track).valence == pytest.approx(exact(track).valence, abs=0.05)


def test_folder_is_converted_once_per_variant_and_content(checkout, cache, track, conversions):
    pipe = m2e.load(checkout, cache_dir=cache)
    assert pipe.name == "Music2Emotion@J_all" and len(conversions) == 1
    assert pipe.model.config.embedding_size == 1536 and pipe.model.config.chord_vocabulary == "paper"
    assert pipe.processor.chord_vocabulary == "paper" and pipe.processor.chord_recognizer.decoding == "paper"
    assert pipe.processor.feature_extractor.window_seconds == 30
    assert pipe.processor.encoder_reference["revision"] == PINNED_REVISIONS[MERT]

    again = m2e.load(str(checkout), "J_all", cache_dir=cache)
    other = m2e.load(f"{checkout}@D_all", cache_dir=cache)
    assert len(conversions) == 2 and other.name == "Music2Emotion@D_all"
    valence, same, different = (one(track).valence for one in (pipe, again, other))
    assert same == valence != different

    (checkout / "saved_models" / "J_all.ckpt").write_bytes((checkout / "saved_models" / "D_all.ckpt").read_bytes())
    assert m2e.load(checkout, cache_dir=cache)(track).valence == different
    assert len(conversions) == 3 and len(cached_models(cache)) == 3


def test_new_commit_is_converted_anew(checkout, cache, conversions):
    hub = {"cache_dir": cache}
    first, second, again = (published.converted(checkout, "J_all", REPO, commit * 40, hub) for commit in "aba")
    assert first == again != second and first.is_dir() and second.is_dir()
    assert conversions == [first.name, second.name] and "a" * 40 in first.name


# --- what is no checkpoint ---


class Code:
    """What a hostile file unpickles to: a call."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def archived(code: Code) -> bytes:
    """The same in the layout of today's torch files."""
    content = saved({"state_dict": {}})
    names, file = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names.namelist():
            hostile = name.endswith("data.pkl")
            archive.writestr(name, pickle.dumps({"state_dict": code}, 2) if hostile else names.read(name))
    return file.getvalue()


@pytest.mark.parametrize("file", ["saved_models/J_all.ckpt", "inference/data/btc_model_large_voca.pt"])
@pytest.mark.parametrize("form", [lambda code: pickle.dumps(code, 2), archived], ids=["pickle", "archive"])
def test_code_in_a_checkpoint_is_not_run(checkout, cache, tmp_path, file, form):
    hostile = form(Code(tmp_path / "was run"))
    (checkout / file).write_bytes(hostile)
    with pytest.raises(ModelError) as refusal:
        m2e.load(checkout, cache_dir=cache)
    assert (
        str(refusal.value) == f"{checkout / file} cannot be read safely: download it again from where it was published."
    )
    assert not (tmp_path / "was run").exists() and cached_models(cache) == []
    if form is not archived:
        pickle.loads(hostile)
        assert (tmp_path / "was run").exists()  # it would have been


def test_checkpoint_for_another_encoder(checkout, cache):
    (checkout / "saved_models" / "J_all.ckpt").write_bytes(saved(tiny.published_head(embedding_size=24)))
    with pytest.raises(ModelError, match="embeddings of 24 numbers, but m-a-p/MERT-v1-95M gives 1536"):
        m2e.load(checkout, cache_dir=cache)


@pytest.mark.parametrize(
    ("variant", "sentence"),
    [("X_all", "has no variant X_all: choose D_all, J_all."), ("../J_all", "'../J_all' is not a variant")],
)
def test_unknown_variant(checkout, cache, variant, sentence):
    with pytest.raises(ModelError) as error:
        m2e.load(checkout, variant, cache_dir=cache)
    assert sentence in str(error.value)


def test_missing_chord_recogniser(checkout, cache):
    (checkout / published.CHORDS).unlink()
    with pytest.raises(ModelError, match="is incomplete: it lacks inference/data/btc_model_large_voca.pt"):
        m2e.load(checkout, cache_dir=cache)


def test_encoder_out_of_reach(checkout, tmp_path):
    with pytest.raises(ModelError, match="m-a-p/MERT-v1-95M has no config.json here or in the cache: .*connect once"):
        m2e.load(checkout, cache_dir=tmp_path / "empty")
    assert cached_models(tmp_path / "empty") == []


def test_variants_of_a_repo():
    names = ["README.md", "saved_models/P_all.ckpt", "saved_models/E_all.ckpt", "saved_models/E_all.txt", "J_all.ckpt"]
    assert published.variants(names) == ["E_all", "P_all"]
