"""The published Music2Emo networks (github.com/AMAAI-Lab/Music2Emotion, Lightning `.ckpt`) as `M2EForMusicEmotion`.

No code from a file is run: only its tensors are read.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from m2e.checkpoints.weight_files import UNREADABLE, Allowed, check_weights, load_safely
from m2e.errors import ModelError, reason
from modeling_m2e.configuration_m2e import JAMENDO_MOOD_FREQUENCIES, JAMENDO_MOODS, M2EConfig
from modeling_m2e.modeling_m2e import M2EForMusicEmotion
from modeling_m2e.weights_m2e import check_weights as check_finite

# Published module -> module here. A dropout between the two layers shifts the index of the second.
_MODULES = {
    "chord_root_embedding": "m2e.chord_transformer.root_embedding",
    "chord_attr_embedding": "m2e.chord_transformer.quality_embedding",
    "chord_transformer": "m2e.chord_transformer.encoder",
    "input_proj.0": "m2e.fusion.0",
    "classification_branch.0": "mood_branch.0",
    "classification_branch.2": "mood_branch.3",
    "regression_branch.0": "va_branch.0",
    "regression_branch.2": "va_branch.3",
}
_LOSS_BUFFER = re.compile(r"loss_fn_\w+\.(weight|pos_weight)")
_TRAINED_POSITIVE_WEIGHT = "loss_fn_classification.pos_weight"


def convert_music2emo_checkpoint(path: str | os.PathLike[str]) -> M2EForMusicEmotion:
    """The model of a published checkpoint in eval mode, float32.

    path: Lightning checkpoint, plain PyTorch state dict, or safetensors; the shapes of its tensors give the sizes.
    The mood calibration undoes the class weights of training: those in the checkpoint's loss buffers if it has them,
    otherwise those of the official MTG-Jamendo split-0 training set.
    Raises ModelError.
    """
    path = Path(path)
    tensors = _read(path)
    buffers = {name: tensor for name, tensor in tensors.items() if _LOSS_BUFFER.fullmatch(name)}
    state = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name not in buffers}
    config = _config(path, state, buffers.get(_TRAINED_POSITIVE_WEIGHT))
    model = M2EForMusicEmotion(config)
    model.load_state_dict(_renamed(path, state, model))
    check_finite(model, str(path))
    return model.eval()


def _read(path: Path) -> dict[str, torch.Tensor]:
    if path.is_file() and path.suffix == ".safetensors":
        check_weights(path)
        return load_file(path)
    content = load_safely(path, _placeholders(path) if path.is_file() else ())
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ModelError(f"{path} holds no state dict of tensors: give a Music2Emo checkpoint.")
    return state


class _Ignored:
    """Takes the place of any class or function that a training framework pickled with the weights."""

    def __init__(self, *args: object, **kwargs: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _IgnoredDict:
    """The same for kinds of dict, which the unpickler fills item by item."""

    def __new__(cls, *args: object, **kwargs: object) -> dict:  # type: ignore[misc]  # the unpickler fills a dict
        return {}


def _placeholders(path: Path) -> list[Allowed]:
    """A harmless class for every name in the file that torch would refuse (hyper-parameters, callbacks)."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (*UNREADABLE, OSError):  # load_safely says why
        return []
    return [(_IgnoredDict if name.lower().endswith("dict") else _Ignored, name) for name in names]


def _config(path: Path, state: dict[str, torch.Tensor], positive_weight: torch.Tensor | None) -> M2EConfig:
    try:
        roots, qualities = state["chord_root_embedding.weight"], state["chord_attr_embedding.weight"]
        chord_size = roots.shape[1] + qualities.shape[1]
        fusion_size, input_size = state["input_proj.0.weight"].shape
        moods, branch_size = state["classification_branch.2.weight"].shape
        ffn_size = state["chord_transformer.layers.0.linear1.weight"].shape[0]
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError(
            f"{path} is not a Music2Emo network, it lacks chord embeddings, input projection or a head ({error}): give "
            "a Music2Emo checkpoint."
        ) from error
    if moods != len(JAMENDO_MOODS):
        raise ModelError(
            f"{path} has {moods} mood outputs instead of the {len(JAMENDO_MOODS)} published ones: give a Music2Emo "
            "checkpoint."
        )
    layers = {name.split(".")[2] for name in state if name.startswith("chord_transformer.layers.")}
    frequencies: Sequence[float] = JAMENDO_MOOD_FREQUENCIES
    if positive_weight is not None and positive_weight.shape == (moods,):
        if not bool(positive_weight.isfinite().all()):
            raise ModelError(f"{path} has class weights of the loss that are not finite: download it again.")
        if bool((positive_weight >= 1).all()):
            frequencies = (1 / positive_weight.double()).tolist()
    try:
        return M2EConfig.paper(
            embedding_size=input_size - chord_size - 1,
            num_root_tokens=len(roots),
            num_quality_tokens=len(qualities),
            chord_size=chord_size,
            chord_layers=len(layers),
            chord_ffn_size=ffn_size,
            fusion_size=fusion_size,
            branch_size=branch_size,
            mood_frequencies=frequencies,
            converted_from="Music2Emo",  # its card and licence are in m2e.publish.facts
        )
    except ValueError as error:
        raise ModelError(
            f"{path} has tensor sizes of no Music2Emo network ({reason(error)}): give a Music2Emo checkpoint."
        ) from error


def _renamed(path: Path, state: dict[str, torch.Tensor], model: M2EForMusicEmotion) -> dict[str, torch.Tensor]:
    renamed = {}
    for name, tensor in state.items():
        module = next((old for old in _MODULES if name.startswith(f"{old}.")), None)
        renamed[name if module is None else _MODULES[module] + name[len(module) :]] = tensor
    expected = model.state_dict()
    faults = [f"missing {name}" for name in sorted(expected.keys() - renamed.keys())]
    faults += [f"unexpected {name}" for name in sorted(renamed.keys() - expected.keys())]
    faults += [
        f"{name} of shape {tuple(renamed[name].shape)} for {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & renamed.keys())
        if renamed[name].shape != expected[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ModelError(
            f"{path} does not hold the tensors of a Music2Emo network ({'; '.join(faults[:5])}{more}): give a "
            "Music2Emo checkpoint."
        )
    return renamed
