"""What a model repository holds: a folder that was trained or converted, as the files that the hub is to show.

Nothing is written here: a repository is a dict from the path in it to a file on this machine or to content.
"""

import importlib.util
import json
import re
from importlib import metadata
from pathlib import Path

from safetensors import SafetensorError, safe_open

from m2e.checkpoints.load import PARTS, SHARDS, WEIGHTS, embedded_model, missing_parts, read_json
from m2e.errors import ModelError, PublishError, reason
from m2e.publish.card import CHORD_MODEL, card
from m2e.publish.facts import BTC_LICENSE, FILE, encoder_terms
from m2e.publish.scores import EVALUATION

Repository = dict[str, Path | bytes]

EMOTION_MODEL = "m2e"  # model type
EXTRAS = (EVALUATION, FILE, "training.jsonl", "chords/training.jsonl", "LICENSE-*")
# What transformers looks up: the entry in a configuration, and the classes of the flat code that it names.
CODE = {
    EMOTION_MODEL: {"AutoConfig": "configuration_m2e.M2EConfig", "AutoModel": "modeling_m2e.M2EForMusicEmotion"},
    CHORD_MODEL: {"AutoConfig": "modeling_btc.BTCConfig", "AutoModel": "modeling_btc.BTCModel"},
}
PROCESSOR = {"AutoProcessor": "processing_m2e.M2EProcessor"}
FEATURE_EXTRACTOR = {"AutoFeatureExtractor": "feature_extraction_m2e.M2EFeatureExtractor", **PROCESSOR}
PIPELINES = {"music-emotion": {"impl": "pipeline_m2e.MusicEmotionPipeline", "pt": ["AutoModel"], "type": "audio"}}
ENTRIES = {  # modules that are asked for by name; what they import comes with them
    EMOTION_MODEL: ("configuration_m2e", "modeling_m2e", "feature_extraction_m2e", "processing_m2e", "pipeline_m2e"),
    CHORD_MODEL: ("modeling_btc", "chords_m2e"),
}


def repository(
    folder: str | Path, repo: str, license: str | None = None, examples: str | Path | None = None
) -> Repository:
    """The files of the hub repository `repo` that publishes the model in `folder`.

    folder: what save_pretrained of a pipeline or of a chord recogniser wrote, by training or conversion, whatever
    checkpoints and logs lie around it.  license: of the weights, where no card.json beside them says it.
    examples: folder of free clips, and of a README.md on whose they are, that go with the card.
    Raises PublishError for a folder that holds no complete, readable model.
    """
    folder = Path(folder).expanduser()
    if not (folder / "config.json").is_file() and (folder / "chords" / "config.json").is_file():
        folder /= "chords"  # a chord recogniser was saved into its parent
    try:
        config = read_json(folder / "config.json")
        kind = config.get("model_type")
        if kind not in CODE:
            raise PublishError(f"{folder} holds no model of this project: give what training or conversion wrote.")
        files = _chords(folder, config) if kind == CHORD_MODEL else _emotion(folder, config)
        files |= {name: path for pattern in EXTRAS for name, path in _found(folder, pattern).items()}
        clips = {} if examples is None else _clips(Path(examples))
        heard = [name for name in clips if name.endswith(".ogg")]
        files |= {"README.md": card(folder, repo, license, heard).encode(), **clips}
        files |= {**flat_code(ENTRIES[kind]), **_notices(folder)}
    except (PublishError, ModelError) as error:
        raise PublishError(str(error)) from error
    for name, path in files.items():
        if name.endswith(".safetensors"):
            _check_weights(path)
    return dict(sorted(files.items()))


def _emotion(folder: Path, config: dict) -> Repository:
    processor = read_json(folder / "processor_config.json")
    if missing := missing_parts(folder, processor):
        raise PublishError(f"{folder} is incomplete: it lacks {', '.join(missing)}; save or train it again.")
    extractor = processor.get("feature_extractor", {}) | {"auto_map": FEATURE_EXTRACTOR}
    files: Repository = {
        "config.json": _json(config | {"auto_map": CODE[EMOTION_MODEL], "custom_pipelines": PIPELINES}),
        "processor_config.json": _json(processor | {"auto_map": PROCESSOR, "feature_extractor": extractor}),
    }
    for pattern in (WEIGHTS, *SHARDS, *PARTS):
        files |= _found(folder, pattern)
    return files


def _chords(folder: Path, config: dict) -> Repository:
    if not (folder / WEIGHTS).is_file():
        raise PublishError(f"{folder} is incomplete: it lacks {WEIGHTS}; save or train it again.")
    return {"config.json": _json(config | {"auto_map": CODE[CHORD_MODEL]}), WEIGHTS: folder / WEIGHTS}


def _found(folder: Path, pattern: str) -> Repository:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob(pattern)) if path.is_file()}


def _clips(folder: Path) -> Repository:
    return {
        f"examples/{name}": path for pattern in ("*.ogg", "README.md") for name, path in _found(folder, pattern).items()
    }


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _check_weights(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy") as file:  # its header tells how long it has to be
            tensors = len(list(file.keys()))
    except (SafetensorError, OSError) as error:
        raise PublishError(f"{path} is damaged ({reason(error)}): save it again.") from error
    if not tensors:
        raise PublishError(f"{path} holds no weights: save it again.")


# --- code and notices ---


def _packages() -> Path:
    """The folder that m2e and modeling_m2e lie in."""
    return Path(importlib.util.find_spec("modeling_m2e").origin).parent.parent


def _project_file(name: str) -> Path:
    """LICENSE or NOTICE of this project: in a checkout, or where pip has put it. Raises PublishError."""
    beside = _packages() / name
    if beside.is_file():
        return beside
    try:
        installed = [file for file in metadata.files("m2e") or () if file.name == name and "dist-info" in file.parts[0]]
    except metadata.PackageNotFoundError:
        installed = []
    if not installed:
        raise PublishError(f"{beside.parent} has no {name}: publish from a checkout of the project.")
    return Path(installed[0].locate())


def flat_code(entries: tuple[str, ...]) -> Repository:
    """The modules `entries` of modeling_m2e and all that they import from it: what save_pretrained would copy."""
    from transformers.dynamic_module_utils import get_relative_import_files

    package = _packages() / "modeling_m2e"
    paths = [package / f"{name}.py" for name in entries]
    paths += [Path(other) for path in paths for other in get_relative_import_files(path)]
    return {path.name: path for path in paths}


def _notices(folder: Path) -> Repository:
    """The licence of the code, and the notices that have to go where third-party weights go."""
    files: Repository = {"LICENSE": _project_file("LICENSE")}
    for net in read_json(folder / "encoder" / "config.json").get("nets", []):
        notice = encoder_terms(net)[2]
        if notice and not (folder / notice).is_file():
            files[notice] = embedded_model() / notice
    configs = (read_json(path) for path in (folder / "config.json", folder / "chords" / "config.json"))
    if "BTC-ISMIR19" in [config.get("converted_from") for config in configs]:
        files["LICENSE-btc.txt"] = BTC_LICENSE.encode()
    return files


# --- the Space ---


def space(folder: str | Path, model: str | None = None) -> Repository:
    """The files of a Space: the folder of its app, the folder examples beside it and, unless its requirements name m2e,
    this project's packages with their licences.

    model: hub id of a model that it links to. Raises PublishError for a folder that holds no Gradio app.
    """
    from huggingface_hub import SpaceCard
    from yaml import YAMLError

    folder = Path(folder)
    missing = [name for name in ("README.md", "app.py", "requirements.txt") if not (folder / name).is_file()]
    if missing:
        raise PublishError(f"{folder} is no Space: it lacks {', '.join(missing)}.")
    try:
        front = SpaceCard((folder / "README.md").read_text(encoding="utf-8"))
    except (ValueError, YAMLError) as error:
        raise PublishError(f"{folder / 'README.md'} has no readable front matter: check its YAML.") from error
    if front.data.sdk != "gradio":
        raise PublishError(f"{folder / 'README.md'} does not say sdk: gradio in its front matter.")
    front.data.tags = [*(front.data.tags or []), *({"m2e"} - set(front.data.tags or []))]
    if model:
        front.data.models = [*(front.data.models or []), *({model} - set(front.data.models or []))]
    root = _packages()
    beside = folder.resolve().parent
    files = _tree(folder, folder) | _tree(beside, beside / "examples")
    if not re.search(r"(?mi)^(m2e|[^#\n]*[/=]m2e)\b", (folder / "requirements.txt").read_text(encoding="utf-8")):
        files |= _tree(root, root / "m2e") | _tree(root, root / "modeling_m2e")
        files |= {name: _project_file(name) for name in ("LICENSE", "NOTICE")}
    return dict(sorted((files | {"README.md": str(front).encode()}).items()))


def _tree(root: Path, folder: Path) -> Repository:
    paths = (path for path in folder.rglob("*") if path.is_file())
    shown = ((path, path.relative_to(root)) for path in paths)
    return {
        name.as_posix(): path
        for path, name in shown
        if name.suffix not in (".pyc", ".pyo") and not any(part.startswith((".", "__pycache__")) for part in name.parts)
    }
