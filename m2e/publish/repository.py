"""The files of a hub repository of a model that was trained or converted.

A repository is a dict: path in the repository -> file on this machine, or content. Nothing is written here.
"""

import inspect
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from m2e.checkpoints.load import PARTS, SHARDS, WEIGHTS, missing_parts
from m2e.checkpoints.weight_files import check_weights
from m2e.errors import ModelError, PublishError
from m2e.export import DESCRIPTION, FOLDER, HALF
from m2e.publish import handler
from m2e.publish.card import CHORD_MODEL, ENCODER_MODEL, PACKAGES, card, has_notebook
from m2e.publish.facts import BTC_LICENSE, FILE, encoder_terms, facts_of
from m2e.publish.fidelity import FIDELITY
from m2e.publish.notebook import notebook
from m2e.publish.scores import EVALUATION, eval_results
from m2e.storage import read_json
from modeling_m2e import AUTO_CLASSES, CUSTOM_PIPELINES, MusicEmotionPipeline, TrackHarmony, auto_map
from modeling_m2e.audio_m2e import load as load_audio
from modeling_m2e.chords_m2e import ChordRecognizer
from modeling_m2e.harmony_m2e import analyze_harmony

Repository = dict[str, Path | bytes]

# What an Inference Endpoint runs, and what its image may lack or have in an older version.
ENDPOINT: Repository = {
    "handler.py": Path(handler.__file__),
    "requirements.txt": b"transformers>=5.23,<6\nsafetensors>=0.8\nsoundfile>=0.13\nsoxr\n",
}
EXTRAS = (EVALUATION, FIDELITY, FILE, "training.jsonl", "chords/training.jsonl", "LICENSE-*")


def repository(
    folder: str | Path,
    repo: str,
    license: str | None = None,
    examples: str | Path | None = None,
    graphs: str | Path | None = None,
) -> Repository:
    """The files of the hub repository `repo` for the model in `folder`.

    folder: written by save_pretrained of a pipeline, a chord recogniser or an encoder; checkpoints and logs in it are
    ignored.  license: of the weights, if the folder has no card.json.
    examples: folder of free sample tracks, with a README.md on their sources, for the card.
    graphs: folder with the exported graphs of the model in `onnx`; None = `folder`, which may have none.
    Raises PublishError for a folder without a complete, readable model.
    """
    folder = Path(folder).expanduser()
    if not (folder / "config.json").is_file() and (folder / "chords" / "config.json").is_file():
        folder /= "chords"  # the parent folder of a saved chord recogniser
    try:
        config = read_json(folder / "config.json", PublishError)
        model_type = config.get("model_type")
        if model_type not in AUTO_CLASSES:
            raise PublishError(f"{folder} holds no model of m2e: give a folder that training or conversion wrote.")
        alone = model_type in (CHORD_MODEL, ENCODER_MODEL)
        files = _network(folder, config) if alone else _emotion(folder, config)
        exported = {} if alone else _graphs(Path(graphs or folder))
        files |= {name: path for pattern in EXTRAS for name, path in _found(folder, pattern).items()}
        clips = {} if examples is None else _clips(Path(examples))
        samples = [name for name in clips if name.endswith(".ogg")]
        nets = [name for name in exported if name.endswith(".onnx")]
        files |= {"README.md": card(folder, repo, license, samples, nets).encode(), **clips, **exported}
        files |= eval_results(read_json(folder / EVALUATION, PublishError), repo)
        if has_notebook(config, samples):
            files["notebook.ipynb"] = notebook(facts_of(folder, config, license).name, repo, PACKAGES, samples[0])
        files |= {**flat_code(model_type), **_notices(folder), **ENDPOINT}
        for path in files.values():
            if isinstance(path, Path) and path.suffix == ".safetensors":
                check_weights(path)
    except ModelError as error:
        raise PublishError(str(error)) from error
    return dict(sorted(files.items()))


def _emotion(folder: Path, config: dict[str, Any]) -> Repository:
    processor = read_json(folder / "processor_config.json", PublishError)
    if missing := missing_parts(folder, processor):
        raise PublishError(f"{folder} is incomplete: it lacks {', '.join(missing)}; save or train it again.")
    extractor_map = auto_map(config["model_type"], "AutoFeatureExtractor", "AutoProcessor")
    extractor = processor.get("feature_extractor", {}) | {"auto_map": extractor_map}
    processor |= {"auto_map": auto_map(config["model_type"], "AutoProcessor"), "feature_extractor": extractor}
    files: Repository = {
        "config.json": _json(_with_code(config) | {"custom_pipelines": CUSTOM_PIPELINES}),
        "processor_config.json": _json(processor),
    }
    for pattern in (WEIGHTS, *SHARDS, *PARTS):
        files |= _found(folder, pattern)
    return files


def _graphs(folder: Path) -> Repository:
    """What `m2e export` wrote; empty where it did not. Raises PublishError where a graph is missing."""
    described = read_json(folder / FOLDER / DESCRIPTION, PublishError)
    if not described:
        return {}
    names = [f"{FOLDER}/{graph}{half}.onnx" for graph in described.get("graphs", {}) for half in ("", HALF)]
    held = _found(folder, f"{FOLDER}/*")
    if missing := [name for name in names if name not in held]:
        raise PublishError(f"{folder} is incomplete: it lacks {', '.join(missing)}; export it again.")
    return {name: held[name] for name in (*names, f"{FOLDER}/{DESCRIPTION}")}


def _network(folder: Path, config: dict[str, Any]) -> Repository:
    if not (folder / WEIGHTS).is_file():
        raise PublishError(f"{folder} is incomplete: it lacks {WEIGHTS}; save or train it again.")
    return {"config.json": _json(_with_code(config)), WEIGHTS: folder / WEIGHTS}


def _with_code(config: dict[str, Any]) -> dict[str, Any]:
    return config | {"auto_map": auto_map(config["model_type"], "AutoConfig", "AutoModel")}


def _found(folder: Path, pattern: str) -> Repository:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob(pattern)) if path.is_file()}


def _clips(folder: Path) -> Repository:
    return {
        f"examples/{name}": path for pattern in ("*.ogg", "README.md") for name, path in _found(folder, pattern).items()
    }


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


# --- code and notices ---


INSTALLED = Path(__file__).resolve().parents[2]  # the folder of m2e and modeling_m2e
NOTICES = Path(__file__).resolve().parent / "notices"  # of weights that may travel with a model


def _project_file(name: str) -> Path:
    """LICENSE or NOTICE of this project, in a checkout or in the installed package. Raises PublishError."""
    if (INSTALLED / name).is_file():
        return INSTALLED / name
    try:
        installed = [file for file in metadata.files("m2e") or () if file.name == name and "dist-info" in file.parts[0]]
    except metadata.PackageNotFoundError:
        installed = []
    if not installed:
        raise PublishError(f"{INSTALLED} has no {name}: publish from a checkout of the project.")
    return Path(str(installed[0].locate()))


def flat_code(model_type: str) -> Repository:
    """The modules of modeling_m2e that a model of this type and its handler need, as save_pretrained copies them."""
    from transformers.dynamic_module_utils import get_relative_import_files

    more: dict[str, list[Any]] = {
        CHORD_MODEL: [ChordRecognizer, analyze_harmony, TrackHarmony],
        ENCODER_MODEL: [load_audio],
    }
    parts = [*AUTO_CLASSES[model_type].values(), *more.get(model_type, [MusicEmotionPipeline])]
    paths = [Path(inspect.getfile(each)) for each in parts]
    paths += [Path(other) for path in paths for other in get_relative_import_files(path)]
    return {path.name: path for path in paths}


def _notices(folder: Path) -> Repository:
    """The licence of the code, and the notices that third-party weights require. Raises PublishError without one."""
    files: Repository = {"LICENSE": _project_file("LICENSE")}
    for net in read_json(folder / "encoder" / "config.json", PublishError).get("nets", []):
        notice = encoder_terms(net)[2]
        if notice and not (folder / notice).is_file():
            if not (NOTICES / notice).is_file():
                raise PublishError(f"{folder} has weights of {net}, but not their licence: add it there as {notice}.")
            files[notice] = NOTICES / notice
    configs = [read_json(folder / part / "config.json", PublishError) for part in (".", "chords")]
    if "BTC-ISMIR19" in [config.get("converted_from") for config in configs]:
        files["LICENSE-btc.txt"] = BTC_LICENSE.encode()
    return files
