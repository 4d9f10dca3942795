"""What goes up of a folder that was trained or converted, and what is refused."""

import json
import sys
from pathlib import Path

import pytest
import tiny
from safetensors.numpy import save_file
from transformers import AutoConfig, AutoModel

from m2e.checkpoints.convert_btc import convert_btc_checkpoint
from m2e.checkpoints.load import embedded_model
from m2e.errors import PublishError
from m2e.publish.facts import Facts
from m2e.publish.repository import repository
from modeling_m2e import BTCConfig, BTCModel
from modeling_m2e.chords_m2e import ChordRecognizer

WEIGHTS = {"model.safetensors", "chords/model.safetensors", "encoder/model.safetensors"}
CONFIGURATIONS = {"config.json", "processor_config.json", "chords/config.json", "encoder/config.json"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A model with its code, as training leaves it."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny.pipeline().save_pretrained(folder)
    Facts("tiny", "cc-by-nc-4.0").save(folder)
    (folder / "evaluation.json").write_text('{"results": []}')
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy to damage."""
    for path in saved.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(saved)).parent.mkdir(exist_ok=True)
            (tmp_path / path.relative_to(saved)).write_bytes(path.read_bytes())
    return tmp_path


def content(files: dict, name: str) -> bytes:
    return files[name] if isinstance(files[name], bytes) else files[name].read_bytes()


def refusal(folder, **kwargs) -> str:
    with pytest.raises(PublishError) as error:
        repository(folder, "me/tiny", **kwargs)
    assert "\n" not in str(error.value) and str(error.value).endswith(".")
    return str(error.value)


def test_holds_the_model_and_nothing_else(saved, folder):
    for clutter in ("checkpoints/checkpoint_1/model.safetensors", "optimizer.bin", "log.jsonl", "x.pt", "runs/events"):
        (folder / clutter).parent.mkdir(parents=True, exist_ok=True)
        (folder / clutter).write_bytes(b"0")
    files = repository(folder, "me/tiny")
    code = {path.name for path in saved.glob("*.py")}  # what save_pretrained copies
    more = {
        "handler.py",
        "requirements.txt",
        "README.md",
        "LICENSE",
        "LICENSE-musicnn.md",
        "evaluation.json",
        "card.json",
    }
    assert set(files) == WEIGHTS | CONFIGURATIONS | code | more and "pipeline_m2e.py" in code
    for name in WEIGHTS | code:
        assert content(files, name) == (saved / name).read_bytes()
    for name in CONFIGURATIONS:  # auto_map and custom_pipelines are those that transformers writes
        assert json.loads(content(files, name)) == json.loads((saved / name).read_text())
    assert b"Apache License" in content(files, "LICENSE") and b'model="me/tiny"' in content(files, "README.md")


def test_clips_go_with_the_card(saved, tmp_path):
    for name in ("night_song.ogg", "README.md", "make.py"):
        (tmp_path / name).write_bytes(b"x")
    files = repository(saved, "me/tiny", examples=tmp_path)
    assert {name for name in files if "/" in name} - WEIGHTS - CONFIGURATIONS == {
        "examples/night_song.ogg",
        "examples/README.md",
    }
    assert b"me/tiny/resolve/main/examples/night_song.ogg" in content(files, "README.md")
    assert b"examples/night_song.ogg" in files["notebook.ipynb"] and "notebook.ipynb" not in repository(
        saved, "me/tiny"
    )


def test_scores_on_data_sets_of_the_hub(folder):
    result = {"dataset": {"name": "EmoMusic", "id": "emomusic"}, "split": "test", "scores": {"r2_valence": 0.5}}
    (folder / "evaluation.json").write_text(json.dumps({"results": [result]}))
    assert b"id: m-a-p/EMO" in repository(folder, "me/tiny")[".eval_results/m-a-p--EMO.yaml"]


def test_what_a_model_needs_to_be_found_is_added(saved, folder):
    config = json.loads((folder / "config.json").read_text())
    del config["custom_pipelines"], config["auto_map"]
    (folder / "config.json").write_text(json.dumps(config))
    for path in folder.glob("*.py"):
        path.write_text("an older version")
    files = repository(folder, "me/tiny")
    assert json.loads(files["config.json"]) == json.loads((saved / "config.json").read_text())
    assert content(files, "modeling_m2e.py") == (saved / "modeling_m2e.py").read_bytes()


def test_embedded_model():
    files = repository(embedded_model(), "me/m2e-small")
    assert WEIGHTS | CONFIGURATIONS <= set(files) and not any(name.startswith("LICENSE-") for name in files)
    assert b"license: cc-by-nc-sa-4.0" in files["README.md"] and b"--model me/m2e-small" in files["README.md"]
    chords = repository(embedded_model() / "chords", "me/m2e-chords")
    assert chords["model.safetensors"] == embedded_model() / "chords" / "model.safetensors"


def test_weights_of_others_need_their_licence(folder):
    path = folder / "encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"nets": ["fcn_msd"]}))
    assert "weights of fcn_msd, but not their licence: add it there as LICENSE-taggers.txt." in refusal(folder)
    (folder / "LICENSE-taggers.txt").write_text("MIT License")
    assert repository(folder, "me/tiny")["LICENSE-taggers.txt"] == folder / "LICENSE-taggers.txt"


def test_shards(saved, folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    files = repository(folder, "me/tiny")
    assert {"model-00001-of-00001.safetensors", "model.safetensors.index.json"} <= set(files)
    assert "model.safetensors" not in files
    (folder / "model-00001-of-00001.safetensors").unlink()
    assert "is incomplete: it lacks model-00001-of-00001.safetensors;" in refusal(folder)


# --- graphs ---


def with_graphs(folder: Path, *names: str) -> Path:
    """The folder, with graphs of the encoder and of the heads as files of these names."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "model.json").write_text(json.dumps({"graphs": {"encoder": {}, "model": {}}}))
    for name in names or ("encoder.onnx", "encoder_fp16.onnx", "model.onnx", "model_fp16.onnx"):
        (folder / "onnx" / name).write_bytes(b"0")
    return folder


def test_graphs_go_up_and_the_card_names_them(folder):
    without = content(repository(folder, "me/tiny"), "README.md")
    assert b"onnx" not in without
    with_graphs(folder)
    (folder / "onnx" / "older.onnx").write_bytes(b"0")
    files = repository(folder, "me/tiny")
    names = ["encoder.onnx", "encoder_fp16.onnx", "model.json", "model.onnx", "model_fp16.onnx"]
    assert [name for name in files if name.startswith("onnx/")] == [f"onnx/{name}" for name in names]
    card = content(files, "README.md").decode()
    assert ": `encoder.onnx`, `encoder_fp16.onnx`, `model.onnx`, `model_fp16.onnx`." in card
    assert "- onnx" in card.split("---")[1] and "transformers.js has no class for this model" in card


def test_graphs_may_come_from_another_folder(saved, tmp_path):
    files = repository(saved, "me/tiny", graphs=with_graphs(tmp_path))
    assert files["onnx/model.onnx"] == tmp_path / "onnx" / "model.onnx"


def test_graphs_are_complete(folder):
    with_graphs(folder, "encoder.onnx", "encoder_fp16.onnx", "model.onnx")
    assert "is incomplete: it lacks onnx/model_fp16.onnx; export it again." in refusal(folder)


# --- chord recognisers ---


def test_chord_recogniser_as_a_repository_of_its_own(saved, tmp_path):
    for given in (saved / "chords", tmp_path):
        if given == tmp_path:  # what training leaves
            ChordRecognizer.from_pretrained(saved).save_pretrained(tmp_path)
        files = repository(given, "me/chords", license="mit")
        assert {"chords_m2e.py", "modeling_btc.py", "chord_labels_m2e.py"} <= set(files)
        assert not {"modeling_m2e.py", "processor_config.json"} & set(files)
        config = json.loads(files["config.json"])
        assert (
            config.pop("auto_map") == {"AutoConfig": "modeling_btc.BTCConfig", "AutoModel": "modeling_btc.BTCModel"}
            and "converted_from" not in config
        )
        assert config == json.loads((saved / "chords" / "config.json").read_text())


def test_chord_recogniser_loads_from_the_top_of_a_folder(saved):
    before = set(sys.modules)
    top, inside = ChordRecognizer.from_pretrained(saved / "chords"), ChordRecognizer.from_pretrained(saved)
    assert top.decoding == inside.decoding == "smooth"
    assert top(tiny.waveform(3.0)) == inside(tiny.waveform(3.0))
    assert type(AutoConfig.from_pretrained(saved / "chords")) is BTCConfig
    assert type(AutoModel.from_pretrained(saved / "chords")) is BTCModel
    assert not [name for name in set(sys.modules) - before if name.startswith("transformers_modules")]


def test_published_chord_recogniser(fixtures, tmp_path):
    model = convert_btc_checkpoint(fixtures / "btc" / "tiny_checkpoint.pt")
    ChordRecognizer(model).save_pretrained(tmp_path)
    files = repository(tmp_path, "me/btc")
    assert b"Copyright (c) 2019 Jonggwon Park" in files["LICENSE-btc.txt"]
    assert b"license: mit" in files["README.md"] and b"# BTC-ISMIR19" in files["README.md"]
    assert "omit --license apache-2.0" in refusal(tmp_path, license="apache-2.0")


# --- what is refused ---


@pytest.mark.parametrize("name", ["processor_config.json", *sorted(WEIGHTS)])
def test_incomplete_folder(folder, name):
    (folder / name).unlink()
    assert f"is incomplete: it lacks {name}; save or train it again." in refusal(folder)


@pytest.mark.parametrize("name", sorted(WEIGHTS))
@pytest.mark.parametrize("size", [0, 5, 1000])
def test_damaged_weights(folder, name, size):
    (folder / name).write_bytes((folder / name).read_bytes()[:size])
    assert f"{folder / name} is damaged" in refusal(folder)


def test_weights_without_any(folder):
    save_file({}, folder / "model.safetensors")
    assert f"{folder / 'model.safetensors'} holds no weights" in refusal(folder)


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS) + ["evaluation.json"])
def test_damaged_configuration(folder, name):
    (folder / name).write_text("{")
    assert f"{folder / name} is damaged" in refusal(folder)


def test_folder_of_something_else(folder, tmp_path):
    (folder / "config.json").write_text('{"model_type": "bert"}')
    assert "holds no model of m2e" in refusal(folder)
    assert "holds no model of m2e" in refusal(tmp_path / "missing")


def test_unknown_licence(folder):
    (folder / "card.json").unlink()
    assert "give --license." in refusal(folder)
    assert b"license: mit" in repository(folder, "me/tiny", license="mit")["README.md"]
