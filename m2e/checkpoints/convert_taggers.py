"""The published tagger weights (.npz) as a `TaggersModel`."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from m2e.errors import ModelError
from modeling_m2e.modeling_taggers import TaggersConfig, TaggersModel


def published_file(folder: str | Path, name: str) -> Path:
    """Where the weights of net `name` lie: `musicnn/MSD_musicnn.npz`, `taggers/msd_fcn.npz`, ... below `folder`."""
    architecture, _, training_set = name.partition("_")
    if architecture == "musicnn":
        return Path(folder) / "musicnn" / f"{training_set.upper()}_musicnn.npz"
    return Path(folder) / "taggers" / f"{training_set}_{architecture}.npz"


def _batch_norm(weights, name: str) -> dict[str, np.ndarray]:
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return {ours: weights[f"{name}/{theirs}"] for ours, theirs in names.items()}


def musicnn_state_dict(weights) -> dict[str, np.ndarray]:
    """State dict of `MusiCNN` from TensorFlow's tensors (kernels height x width x in x out, dense kernels in x out)."""
    state = {}

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


def mel_conv_state_dict(weights) -> dict[str, np.ndarray]:
    """State dict of `FCN` or `CRNN`: the same tensors under this project's names."""
    state = {}
    for key in weights.files:
        first, _, rest = key.partition(".")
        if first.startswith("layer"):
            block = int(first.removeprefix("layer")) - 1
            state[f"blocks.{block}.{rest}" if rest.startswith(("conv", "bn")) else f"gru.{rest}"] = weights[key]
        elif first in ("spec_bn", "dense"):
            state[key] = weights[key]
    return state


def _load(net: nn.Module, state: dict[str, np.ndarray], path: Path) -> None:
    """Fills the net, or raises ModelError when a tensor is missing, left over or of another shape."""
    # np.array: a copy that can be written to, and a scalar keeps its shape ()
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
    expected = net.state_dict()
    for key, value in expected.items():
        if key.endswith("num_batches_tracked"):
            tensors.setdefault(key, torch.zeros_like(value))
    if {k: v.shape for k, v in tensors.items()} != {k: v.shape for k, v in expected.items()}:
        raise ModelError(f"{path} does not hold a {type(net).__name__}; use the published .npz file.")
    net.load_state_dict(tensors)


def convert_taggers(folder: str | Path, nets: list[str] | None = None, **config) -> TaggersModel:
    """`TaggersModel` in eval mode with the published weights found below `folder` (musicnn/*.npz, taggers/*.npz).

    nets: names as in `TaggersConfig.nets` (None: its default); further keywords go to `TaggersConfig`.
    """
    model = TaggersModel(TaggersConfig(**({"nets": nets} if nets else {}), **config))
    for name, net in model.nets.items():
        path = published_file(folder, name)
        if not path.is_file():
            raise ModelError(f"{path} is missing: it holds the weights of {name}.")
        with np.load(path, allow_pickle=False) as weights:
            try:
                state = musicnn_state_dict(weights) if name.startswith("musicnn") else mel_conv_state_dict(weights)
            except KeyError as error:
                raise ModelError(f"{path} lacks {error}; use the published .npz file.") from error
            _load(net, state, path)
            if net.mel_scale == "htk":
                _take_mel_matrix(model, weights, path)
    return model.eval()


def _take_mel_matrix(model: TaggersModel, weights, path: Path) -> None:
    """The nets' own matrix replaces the computed one (they differ by 1e-5); all files hold the same."""
    window, mel = weights["spec.spectrogram.window"], torch.from_numpy(weights["spec.mel_scale.fb"])
    if not np.allclose(window, torch.hann_window(len(window)).numpy(), atol=1e-6) or not torch.allclose(
        mel, model.mel_htk, atol=1e-4
    ):
        raise ModelError(f"{path} was trained on another spectrogram than the published FCN and CRNN.")
    model.mel_htk.copy_(mel)


def halve_weights(model: TaggersModel) -> TaggersModel:
    """The same model, its parameters in float16 for storage; mel matrices and batch norm statistics stay float32."""
    for parameter in model.parameters():
        parameter.data = parameter.data.half()
    return model
