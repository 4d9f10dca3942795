"""The published tagger weights (.npz) as a `TaggersModel`."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from m2e.errors import ModelError, reason
from modeling_m2e.modeling_taggers import MusiCNN, TaggersConfig, TaggersModel

Arrays = Mapping[str, np.ndarray]  # the content of an .npz file


def published_file(folder: str | Path, name: str) -> Path:
    """Path of the weights of net `name`: `musicnn/MSD_musicnn.npz`, `taggers/msd_fcn.npz`, ... below `folder`."""
    architecture, _, training_set = name.partition("_")
    if architecture == "musicnn":
        return Path(folder) / "musicnn" / f"{training_set.upper()}_musicnn.npz"
    return Path(folder) / "taggers" / f"{training_set}_{architecture}.npz"


def _batch_norm(weights: Arrays, name: str) -> dict[str, np.ndarray]:
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return {ours: weights[f"{name}/{theirs}"] for ours, theirs in names.items()}


def musicnn_state_dict(weights: Arrays) -> dict[str, np.ndarray]:
    """State dict of `MusiCNN` from TensorFlow's tensors (kernels height x width x in x out, dense kernels in x out)."""
    state: dict[str, np.ndarray] = {}

    def put(target: str, values: dict[str, np.ndarray]) -> None:
        state.update({f"{target}.{key}": value for key, value in values.items()})

    front = ["timbral.0", "timbral.1", "temporal.0", "temporal.1", "temporal.2"]
    for i, target in enumerate(front):
        source = f"conv2d_{i}" if i else "conv2d"
        kernel = weights[f"{source}/kernel"].transpose(3, 2, 0, 1)
        put(target, {"weight": kernel, "bias": weights[f"{source}/bias"]})
        put(f"front_norms.{i}", _batch_norm(weights, f"batch_normalization_{i + 1}"))
    for i in range(3):
        source = f"conv2d_{i + 5}"
        kernel = weights[f"{source}/kernel"][:, :, 0].transpose(2, 1, 0)  # the kernel's width spans all channels
        put(f"middle.{i}", {"weight": kernel, "bias": weights[f"{source}/bias"]})
        put(f"middle_norms.{i}", _batch_norm(weights, f"batch_normalization_{i + 6}"))
    for target, source in (("dense", "dense"), ("output", "dense_1")):
        put(target, {"weight": weights[f"{source}/kernel"].T, "bias": weights[f"{source}/bias"]})
    for target, source in (("input_norm", ""), ("pool_norm", "_9"), ("dense_norm", "_10")):
        put(target, _batch_norm(weights, f"batch_normalization{source}"))
    return state


def mel_conv_state_dict(weights: Arrays) -> dict[str, np.ndarray]:
    """State dict of `FCN` or `CRNN`: the same tensors under this project's names."""
    state = {}
    for key in weights:
        first, _, rest = key.partition(".")
        if first.startswith("layer"):
            block = int(first.removeprefix("layer")) - 1
            state[f"blocks.{block}.{rest}" if rest.startswith(("conv", "bn")) else f"gru.{rest}"] = weights[key]
        elif first in ("spec_bn", "dense"):
            state[key] = weights[key]
    return state


def convert_taggers(folder: str | Path, nets: list[str] | None = None) -> TaggersModel:
    """`TaggersModel` in eval mode with the published weights below `folder` (musicnn/*.npz, taggers/*.npz).

    nets: names as in `TaggersConfig.nets` (None: its default). Raises ModelError.
    """
    model = TaggersModel(TaggersConfig(nets=nets) if nets else TaggersConfig())
    for name, net in model.nets.items():
        path = published_file(folder, name)
        weights = _read(path)
        try:
            if isinstance(net, MusiCNN):
                _fill(net, musicnn_state_dict(weights), path)
            else:
                _fill(net, mel_conv_state_dict(weights), path)
                _take_mel_matrix(model, weights["spec.spectrogram.window"], weights["spec.mel_scale.fb"], path)
        except KeyError as error:  # of an array in the file
            raise ModelError(f"{path} lacks the array {error}: use the published .npz file.") from error
    return model.eval()


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise ModelError(f"{path} is missing: download the published weights of the taggers.")
    try:
        with np.load(path, allow_pickle=False) as weights:
            return dict(weights)
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:  # TypeError: one .npy
        raise ModelError(f"{path} cannot be read ({reason(error)}): download it again.") from error


def _fill(net: nn.Module, state: dict[str, np.ndarray], path: Path) -> None:
    """Raises ModelError where a tensor is missing, unexpected or of another shape."""
    # np.array: a copy that can be written to, and a scalar keeps its shape ()
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
    expected = net.state_dict()
    for key, value in expected.items():
        if key.endswith("num_batches_tracked"):
            tensors.setdefault(key, torch.zeros_like(value))
    if {k: v.shape for k, v in tensors.items()} != {k: v.shape for k, v in expected.items()}:
        raise ModelError(f"{path} does not hold a {type(net).__name__}: use the published .npz file.")
    net.load_state_dict(tensors)


def _take_mel_matrix(model: TaggersModel, window: np.ndarray, matrix: np.ndarray, path: Path) -> None:
    """Replaces the computed mel matrix by that of the file (they differ by 1e-5); all files hold the same."""
    mel, computed = torch.from_numpy(matrix), model.get_buffer("mel_htk")
    hann = torch.hann_window(len(window)).numpy()
    if not np.allclose(window, hann, atol=1e-6) or not torch.allclose(mel, computed, atol=1e-4):
        raise ModelError(f"{path} was trained on another spectrogram: use the published weights of FCN and CRNN.")
    computed.copy_(mel)
