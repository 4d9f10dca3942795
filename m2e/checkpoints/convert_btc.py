"""The published chord recogniser (BTC-ISMIR19, .pt) as a `BTCModel`."""

import _codecs
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from m2e.checkpoints.weight_files import Allowed, load_safely
from m2e.errors import ModelError
from modeling_m2e.chord_labels_m2e import ROOTS, VOCABULARY
from modeling_m2e.modeling_btc import BTCConfig, BTCModel
from modeling_m2e.weights_m2e import check_weights

MAJMIN_VOCABULARY = (*(root + quality for root in ROOTS for quality in ("", ":min")), "N")  # the small published net
_VOCABULARIES = {len(labels): labels for labels in (VOCABULARY, MAJMIN_VOCABULARY)}

# Published names -> ours, in this order.
_NAMES = (
    (r"^output_layer\.output_projection\.", "classifier."),
    (r"^self_attn_layers\.embedding_proj\.", "embedding."),
    (r"^self_attn_layers\.layer_norm\.", "norm."),
    (r"^self_attn_layers\.self_attn_layers\.", "layers."),
    (r"^(layers\.\d+)\.linear\.", r"\1.projection."),
    (r"\.attn_block\.", ".forward_block."),
    (r"\.backward_attn_block\.", ".backward_block."),
    (r"\.layer_norm_mha\.", ".attention_norm."),
    (r"\.layer_norm_ffn\.", ".feed_forward_norm."),
    (r"\.positionwise_convolution\.layers\.0\.conv\.", ".feed_forward.conv_in."),
    (r"\.positionwise_convolution\.layers\.1\.conv\.", ".feed_forward.conv_out."),
    (r"\.multi_head_attention\.(query|key|value)_linear\.", r".attention.\1."),
    (r"\.multi_head_attention\.output_linear\.", ".attention.output."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
)
_UNUSED = "output_layer.lstm."  # weights in every published file that the network does not use


def convert_btc_checkpoint(
    path: str | Path, normalization: str | Path | None = None, num_attention_heads: int = 4
) -> BTCModel:
    """The model of a published checkpoint, float32, in eval mode. No code from the files is run.

    path: `{'model', 'mean', 'std'}`, or what its training writes, `{'model', 'optimizer', 'epoch'}`, with mean and std
    in the file `normalization`.  num_attention_heads: these files do not say it; the published network has 4.
    Raises ModelError.
    """
    checkpoint = _load(Path(path))
    if not isinstance(checkpoint.get("model"), Mapping):
        raise ModelError(f"{path} has no entry 'model': use a checkpoint of BTC-ISMIR19 (.pt).")
    source, scale = (path, checkpoint) if normalization is None else (normalization, _load(Path(normalization)))
    try:
        mean, std = float(scale["mean"]), float(scale["std"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{source} has no 'mean' and 'std' of the features: name the file that holds them as normalization."
        ) from error
    try:
        model = convert_btc_state_dict(checkpoint["model"], mean, std, num_attention_heads)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    check_weights(model, str(path))
    return model


def convert_btc_state_dict(
    state: Mapping[str, torch.Tensor], mean: float, std: float, num_attention_heads: int = 4
) -> BTCModel:
    """The model of a state dict with published names; its shapes give the sizes. See `convert_btc_checkpoint`."""
    tensors = _rename(state)
    try:
        classes = len(tensors["classifier.bias"])
        inner, hidden, kernel = tensors["layers.0.forward_block.feed_forward.conv_in.weight"].shape
        bins = tensors["embedding.weight"].shape[1]
    except (KeyError, ValueError) as error:
        raise ModelError("The weights are not those of a BTC network; use a checkpoint of BTC-ISMIR19.") from error
    if classes not in _VOCABULARIES:
        raise ModelError(f"The network has {classes} chords: use one with 170 or 25.")
    labels = _VOCABULARIES[classes]
    config = BTCConfig(
        num_bins=bins,
        hidden_size=hidden,
        num_hidden_layers=1 + max(int(key.split(".")[1]) for key in tensors if key.startswith("layers.")),
        num_attention_heads=num_attention_heads,
        intermediate_size=inner,
        kernel_size=kernel,
        feature_mean=mean,
        feature_std=std,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    config.converted_from = "BTC-ISMIR19"  # its card and licence are in m2e.publish.facts
    model = BTCModel(config)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        fault = " ".join(str(error).split("\n\t")[1].split())
        raise ModelError(f"The weights do not fit a BTC network: {fault}") from error
    return model.eval()


def _rename(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    tensors = {}
    for key, tensor in state.items():
        key = key.removeprefix("module.")  # of a model trained on several devices
        if key.startswith(_UNUSED):
            continue
        for pattern, replacement in _NAMES:
            key = re.sub(pattern, replacement, key)
        tensors[key] = tensor.float()
    for key in [key for key in tensors if key.endswith(".attention.query.weight")]:  # one matrix here
        stem = key.removesuffix("query.weight")
        names = [f"{stem}{name}.weight" for name in ("query", "key", "value")]
        if all(name in tensors for name in names):
            tensors[f"{stem}query_key_value.weight"] = torch.cat([tensors.pop(name) for name in names])
    return tensors


def _load(path: Path) -> dict[str, Any]:
    """The dictionary in a torch file. Published files hold a NumPy scalar, which needs five names."""
    core = np._core if hasattr(np, "_core") else np.core  # NumPy 2, NumPy 1
    scalar = core.multiarray.scalar
    allowed: list[Allowed] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        np.dtypes.Float64DType,
        _codecs.encode,
    ]
    checkpoint = load_safely(path, allowed)
    if not isinstance(checkpoint, dict):
        raise ModelError(f"{path} holds no dictionary: use a checkpoint of BTC-ISMIR19 (.pt).")
    return checkpoint
