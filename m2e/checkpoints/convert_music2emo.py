"""Published Music2Emo checkpoints (github.com/AMAAI-Lab/Music2Emotion, Lightning `.ckpt`) to this project's model.

Nothing of a file is executed: only tensors are rebuilt from it, whatever else it holds.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from m2e.errors import ModelError, reason
from modeling_m2e.configuration_m2e import JAMENDO_MOOD_FREQUENCIES, JAMENDO_MOODS, M2EConfig
from modeling_m2e.modeling_m2e import M2EForMusicEmotion

# Published module -> module here. Dropout between the layers of a branch shifts the index of the second.
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


def convert_music2emo_checkpoint(
    path: str | os.PathLike | Sequence[str | os.PathLike],
) -> M2EForMusicEmotion | list[M2EForMusicEmotion]:
    """The model of a published checkpoint in eval mode, fp32; a list of models for several paths.

    path: Lightning checkpoint, plain PyTorch state dict, or safetensors. Sizes are read from the tensors.
    The mood calibration undoes the class weighting that the checkpoint was trained with: that of its loss buffers where
    it carries them, of the official MTG-Jamendo split-0 training set else.
    Raises ModelError.
    """
    if isinstance(path, Sequence) and not isinstance(path, str):
        return [convert_music2emo_checkpoint(one) for one in path]
    path = Path(path)
    tensors = _read(path)
    buffers = {name: tensor for name, tensor in tensors.items() if _LOSS_BUFFER.fullmatch(name)}
    state = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name not in buffers}
    config = _config(path, state, buffers.get(_TRAINED_POSITIVE_WEIGHT))
    model = M2EForMusicEmotion(config)
    model.load_state_dict(_renamed(path, state, model))
    return model.eval()


def _read(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise ModelError(f"{path}: no such file; give the path of a Music2Emo checkpoint.")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load_pickle(path)
    except Exception as error:  # a malformed file fails in as many ways as there are opcodes
        raise ModelError(f"{path}: not a checkpoint that can be read safely ({reason(error)}).") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ModelError(f"{path}: holds no state dict of tensors; give a Music2Emo checkpoint.")
    return state


class _Ignored:
    """Stands for any class or function that a training framework pickled beside the weights."""

    def __init__(self, *args, **kwargs):
        pass

    def __setstate__(self, state):
        pass


class _IgnoredDict:
    """The same for kinds of dict, which the unpickler fills item by item."""

    def __new__(cls, *args, **kwargs):
        return {}


def _load_pickle(path: Path) -> object:
    """torch.load with weights_only; objects that it would refuse (hyper-parameters, callbacks) become empty shells."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # the format before PyTorch 1.6 cannot be looked through
        names = []
    shells = [(_IgnoredDict if name.lower().endswith("dict") else _Ignored, name) for name in names]
    with torch.serialization.safe_globals(shells):
        return torch.load(path, map_location="cpu", weights_only=True)


def _config(path: Path, state: dict[str, torch.Tensor], positive_weight: torch.Tensor | None) -> M2EConfig:
    try:
        roots, qualities = state["chord_root_embedding.weight"], state["chord_attr_embedding.weight"]
        chord_size = roots.shape[1] + qualities.shape[1]
        fusion_size, input_size = state["input_proj.0.weight"].shape
        moods, branch_size = state["classification_branch.2.weight"].shape
        ffn_size = state["chord_transformer.layers.0.linear1.weight"].shape[0]
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError(
            f"{path}: not a Music2Emo student: chord embeddings, input projection or a branch are missing ({error})."
        ) from error
    if moods != len(JAMENDO_MOODS):
        raise ModelError(f"{path}: has {moods} mood outputs, not the {len(JAMENDO_MOODS)} published tags.")
    layers = {name.split(".")[2] for name in state if name.startswith("chord_transformer.layers.")}
    frequencies = JAMENDO_MOOD_FREQUENCIES
    if positive_weight is not None and positive_weight.shape == (moods,):
        if bool((positive_weight.isfinite() & (positive_weight >= 1)).all()):
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
            converted_from="Music2Emo",  # whose card and licence go with it, see m2e.publish.facts
        )
    except ValueError as error:
        raise ModelError(f"{path}: sizes that no Music2Emo network has ({error}).") from error


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
        raise ModelError(f"{path}: the tensors are not those of a Music2Emo network: {'; '.join(faults[:5])}{more}.")
    return renamed
