"""Loads every model: the embedded one, a folder, a hub repo, or the published checkpoints.

Each becomes a local folder first. Only its weights and configuration are read: the code in a model repo is neither
downloaded nor run.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m2e.checkpoints.hub_errors import explained
from m2e.checkpoints.weight_files import check_weights
from m2e.errors import ModelError, reason
from m2e.storage import read_json

if TYPE_CHECKING:
    import torch

    from modeling_m2e import MusicEmotionPipeline
    from modeling_m2e.limits_m2e import Limits

EMBEDDED = "m2e-small"
GPU_BATCH = 8  # windows per batch on a GPU; a CPU gains nothing from more than one
WEIGHTS = "model.safetensors"
MODEL_FILES = ("config.json", "processor_config.json", WEIGHTS)
SHARDS = ("model-*.safetensors", f"{WEIGHTS}.index.json")  # instead of one file of weights
PARTS = tuple(f"{part}/*.{suffix}" for part in ("chords", "encoder") for suffix in ("json", "safetensors"))

_loading = threading.Lock()  # safe globals of torch are a setting of the whole process


def embedded_model() -> Path:
    """The folder of the model that ships inside the package."""
    return Path(str(files("m2e") / "models" / EMBEDDED))


def load(
    model: str | PathLike | None = None,
    variant: str | None = None,
    *,
    device: str = "auto",
    window: float | None = None,
    hop: float | None = None,
    batch_size: int | None = None,
    dtype: str = "float32",
    harmony: bool = True,
    key_segments: bool = False,
    include_embedding: bool = False,
    include_embeddings: bool = False,
    tempo: bool = False,
    max_duration: float | None = None,
    timeout: float | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | PathLike | None = None,
    local_files_only: bool = False,
) -> "MusicEmotionPipeline":
    """A pipeline that turns audio into `MusicEmotion` records; none of a repo's own code is run.

    model: None for the embedded "m2e-small"; a folder or hub id, either of a model that this project saved or in the
    layout of "amaai-lab/music2emo", which is converted once and cached (see `m2e.checkpoints.music2emo`).
    variant: the checkpoint in that layout ("J_all"); "amaai-lab/music2emo@D_all" names both at once.
    device: "auto" (an accelerator if there is one), "cpu", "cuda", "cuda:1", "mps".
    window: length of windows that follow each other, in seconds.  hop: from window to window, if they overlap; whole
    seconds, as the window, and only for models whose encoder has an embedding of each second.
    batch_size: windows per batch of the encoder.
    dtype: precision of a MERT encoder, "float32", "bfloat16", "float16", or "auto" (the fastest on the device).
    harmony: recognise chords and key.
    key_segments: add the keys over time to records, for music that modulates.
    include_embedding, include_embeddings: add the mean embedding of the track, those of its windows to records.
    tempo: add the tempo in beats per minute, by librosa: pip install "m2e[tempo]".
    max_duration, timeout: refuse tracks that are longer, or whose analysis takes longer, than so many seconds.
    revision, token, cache_dir, local_files_only: as in huggingface_hub; the last three also apply to the encoder.

    Raises: ModelError.
    """
    from modeling_m2e import MusicEmotionPipeline

    if window is not None and not 0.5 <= window < float("inf"):
        raise ModelError(f"A window of {window} s cannot be used: give at least 0.5 s.")
    if hop is not None and not 1 <= hop < float("inf"):
        raise ModelError(f"A hop of {hop} s cannot be used: give at least 1 s.")
    if batch_size is not None and batch_size < 1:
        raise ModelError(f"A batch of {batch_size} windows cannot be used: give at least 1.")
    chosen = _device(device)
    hub = {"token": token, "cache_dir": cache_dir, "local_files_only": local_files_only}
    model = EMBEDDED if model is None else fspath(model)
    with _loading, readable(model):
        folder, name = local_folder(model, variant, revision, hub)
        mert = _encoder_id(folder)
        with explained(mert or name):
            pipe = MusicEmotionPipeline.from_pretrained(
                folder,
                device=chosen,
                window_seconds=window,
                hop_seconds=hop,
                windows_per_batch=batch_size or _windows_per_batch(chosen, window if mert else None),
                encoder_dtype=_dtype(dtype, chosen),
                harmony=harmony,
                key_segments=key_segments,
                include_embedding=include_embedding,
                include_embeddings=include_embeddings,
                tempo=tempo,
                **hub,
            )
    pipe.name = name
    pipe.processor.limits = limits(max_duration, timeout)
    return pipe


def limits(max_duration: float | None, timeout: float | None) -> "Limits":
    """The limits of tracks; None = no limit."""
    from modeling_m2e.limits_m2e import Limits

    return Limits(math.inf if max_duration is None else max_duration, math.inf if timeout is None else timeout)


def _device(name: str) -> "torch.device":
    import torch

    if name == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        name = accelerator.type if accelerator else "cpu"
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError, TypeError) as error:  # AssertionError: PyTorch was built without it
        raise ModelError(f"This machine has no usable device {name!r}: choose another one, or auto.") from error
    return torch.device(name)


def _windows_per_batch(device: "torch.device", window: float | None) -> int | None:
    """None: as saved.  window: seconds, of an encoder with large dense layers, which work best on 30 s at once."""
    if device.type != "cpu":
        return GPU_BATCH
    return max(1, int(30 / window)) if window else None


def _dtype(name: str, device: "torch.device") -> "str | torch.dtype":
    from modeling_m2e.encoder_mert_m2e import fastest_dtype

    return fastest_dtype(device) if name == "auto" else name


# --- the folder of a model ---


def local_folder(
    model: str, variant: str | None = None, revision: str | None = None, hub: dict[str, Any] | None = None
) -> tuple[Path, str]:
    """(folder of a complete model, downloaded and converted if need be; the name of the model in records).

    model, variant, revision: as in `load`.  hub: its arguments token, cache_dir and local_files_only.
    Raises: ModelError.
    """
    hub = {"token": None, "cache_dir": None, "local_files_only": False} | (hub or {})
    if model == EMBEDDED:
        return _complete(embedded_model(), EMBEDDED), EMBEDDED
    local = Path(model).expanduser()
    if variant is None and "@" in model and not local.exists():
        model, _, variant = model.rpartition("@")
        local = Path(model).expanduser()
    if local.exists():
        if not local.is_dir():
            raise ModelError(f"{model} is a file: give the folder of a model, or a hub id.")
        source, name, commit = local, local.resolve().name, None
    else:
        source, name = download(model, variant, revision, hub), model
        commit = source.name
    model_type = read_json(source / "config.json", ModelError).get("model_type")
    if model_type == "m2e":
        if variant:
            raise ModelError(f"{model} holds one model, without variants: omit {variant}.")
        return _complete(source, model), name

    from m2e.checkpoints import music2emo

    variant = variant or music2emo.DEFAULT_VARIANT
    if music2emo.missing_files(source, variant):
        raise ModelError(_no_model(model, model_type, source, variant, hub))
    with explained(music2emo.ENCODER):
        return music2emo.converted(source, variant, name, commit, hub), f"{name}@{variant}"


def download(repo: str, variant: str | None, revision: str | None, hub: dict[str, Any]) -> Path:
    """The folder in the cache with the files of a hub repo that make a model, in either of the two layouts."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    from m2e.checkpoints import music2emo

    try:
        validate_repo_id(repo)
    except HFValidationError:
        valid = False
    else:
        valid = "/" in repo
    if not valid:
        raise ModelError(f"{repo} is neither a folder nor a hub id such as amaai-lab/music2emo: check the name.")
    patterns = [*MODEL_FILES, *SHARDS, *PARTS, *music2emo.files(variant or music2emo.DEFAULT_VARIANT)]
    with explained(repo, revision), _no_hub_bars():  # a few megabytes; the encoder keeps its bars
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns, **hub))


@contextmanager
def _no_hub_bars() -> Iterator[None]:
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = not are_progress_bars_disabled()
    if shown:
        disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()


def missing_parts(folder: Path, processor: dict[str, Any]) -> list[str]:
    """The files that a model folder lacks; `processor` is the content of its processor_config.json."""
    from modeling_m2e.encoder_carried_m2e import CARRIED

    parts = [
        ("chords", processor.get("has_chords", True)),
        ("encoder", _reference(processor).get("type") in CARRIED),
    ]
    needed = [*MODEL_FILES, *(f"{part}/{name}" for part, there in parts if there for name in (WEIGHTS, "config.json"))]
    index = f"{WEIGHTS}.index.json"
    if (folder / index).is_file():
        needed.remove(WEIGHTS)
        needed += sorted(set(read_json(folder / index, ModelError).get("weight_map", {}).values()))
    return [name for name in needed if not (folder / name).is_file()]


def _reference(processor: dict[str, Any]) -> dict[str, Any]:
    """The description of the encoder in the content of a processor_config.json; empty where there is none."""
    reference = processor.get("encoder_reference")
    return reference if isinstance(reference, dict) else {}


def _complete(folder: Path, model: str) -> Path:
    """`folder`, whose files are all there and readable. Raises ModelError."""
    processor = read_json(folder / "processor_config.json", ModelError)
    if missing := missing_parts(folder, processor):
        raise ModelError(f"{model} is incomplete: it lacks {', '.join(missing)}; save or download it again.")
    if not _reference(processor):
        raise ModelError(f"{folder / 'processor_config.json'} names no encoder: save or download the model again.")
    _check_configurations(folder, _reference(processor).get("type", ""))
    for pattern in (WEIGHTS, *SHARDS, *PARTS):
        for path in folder.glob(pattern):
            if path.suffix == ".safetensors":
                check_weights(path)
    return folder


def _check_configurations(folder: Path, encoder: str) -> None:
    from modeling_m2e import BTCConfig, M2EConfig
    from modeling_m2e.encoder_carried_m2e import CARRIED

    configs: dict[str, Any] = {".": M2EConfig, "chords": BTCConfig}
    if encoder in CARRIED:
        configs["encoder"] = CARRIED[encoder].network.config_class
    for part, config in configs.items():
        path = folder / part / "config.json"
        if content := read_json(path, ModelError):
            if not isinstance(content.get("model_type", ""), str):
                raise ModelError(f"{path} is wrong (model_type is no name): save or download the model again.")
            try:
                config.from_dict(content)
            except (AttributeError, TypeError, ValueError) as error:  # what transformers raises for wrong types
                raise ModelError(f"{path} is wrong ({reason(error)}): save or download the model again.") from error


@contextmanager
def readable(model: str) -> Iterator[None]:
    """Turns what transformers raises for damaged or wrong files of `model` into a ModelError; bugs pass."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{model} cannot be loaded ({reason(error)}): save or download it again.") from error
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):  # how transformers names weights of the wrong shapes
            raise
        raise ModelError(f"{model} has weights that do not fit its config.json: save or download it again.") from error


def _no_model(model: str, model_type: str | None, folder: Path, variant: str, hub: dict[str, Any]) -> str:
    """Why a folder without our config.json cannot be converted: a sentence."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    from m2e.checkpoints import music2emo

    try:  # only some files of a hub repo were downloaded
        names = [file.path for file in get_cached_repo_tree(model, revision=folder.name, cache_dir=hub["cache_dir"])]
    except (CachedRepoTreeNotFoundError, ValueError):
        names = [path.relative_to(folder).as_posix() for path in folder.glob("saved_models/*")]
    variants = music2emo.variants(names)
    if variants and variant not in variants:
        return f"{model} has no variant {variant}: choose {', '.join(variants)}."
    if variants:
        return f"{model} is incomplete: it lacks {', '.join(music2emo.missing_files(folder, variant))}; get it again."
    if model_type == "m2e-btc":
        return f"{model} is a chord recogniser: give a model of emotions, or use m2e chords --model {model}."
    if model_type is not None:
        return f"{model} holds a {model_type} model: give one that m2e saved, or Music2Emo checkpoints."
    checkpoint = music2emo.files(variant)[0]
    return f"{model} holds no model (neither config.json nor {checkpoint}): give another folder or hub id."


def _encoder_id(folder: Path) -> str | None:
    """Hub id of an encoder whose weights are not in the folder."""
    return _reference(read_json(folder / "processor_config.json", ModelError)).get("id")
