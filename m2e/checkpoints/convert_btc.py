"""The published chord recogniser (BTC-ISMIR19, .pt) as a `BTCModel`."""

import _codecs
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from m2e.errors import ModelError, reason
from modeling_m2e.chord_labels_m2e import ROOTS, VOCABULARY
from modeling_m2e.modeling_btc import BTCConfig, BTCModel

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
_UNUSED = "output_layer.lstm."  # in every published file, never run


def convert_btc_checkpoint(
    path: str | Path, normalization: str | Path | None = None, num_attention_heads: int = 4
) -> BTCModel:
    """The model of a published checkpoint, float32, in eval mode.

    path: `{'model', 'mean', 'std'}`, or what its training writes, `{'model', 'optimizer', 'epoch'}`, with mean and std
    in the file `normalization`. The number of heads is nowhere in these files; 4 is the published one.
    Files are read without running code from them. Raises ModelError for anything else.
    """
    checkpoint = _load(path)
    if not isinstance(checkpoint.get("model"), Mapping):
        raise ModelError(f"{path} has no entry 'model': use a checkpoint of BTC-ISMIR19 (.pt).")
    scale = checkpoint if normalization is None else _load(normalization)
    if not {"mean", "std"} <= scale.keys():
        source = path if normalization is None else normalization
        raise ModelError(
            f"{source} has no 'mean' and 'std' of the features: name the file that holds them as normalization."
        )
    try:
        return convert_btc_state_dict(
            checkpoint["model"], float(scale["mean"]), float(scale["std"]), num_attention_heads
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def convert_btc_state_dict(
    state: Mapping[str, torch.Tensor], mean: float, std: float, num_attention_heads: int = 4
) -> BTCModel:
    """The model of a state dict with published names; sizes are read off the shapes. See `convert_btc_checkpoint`."""
    tensors = _rename(state)
    try:
        classes = len(tensors["classifier.bias"])
        inner, hidden, kernel = tensors["layers.0.forward_block.feed_forward.conv_in.weight"].shape
        bins = tensors["embedding.weight"].shape[1]
    except (KeyError, ValueError) as error:
        raise ModelError("The weights are not those of a BTC network; use a checkpoint of BTC-ISMIR19.") from error
    if classes not in _VOCABULARIES:
        raise ModelError(f"The network has {classes} chords; only those with 170 and 25 are known.")
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
        converted_from="BTC-ISMIR19",  # whose card and licence go with it, see m2e.publish.facts
    )
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
        parts = [tensors.pop(f"{stem}{name}.weight", None) for name in ("query", "key", "value")]
        if all(part is not None for part in parts):
            tensors[f"{stem}query_key_value.weight"] = torch.cat(parts)
    return tensors


def _load(path: str | Path) -> dict:
    """The dictionary in a torch file. Published files hold a NumPy scalar: the five names it needs are let through."""
    core = np._core if hasattr(np, "_core") else np.core  # NumPy 2, NumPy 1
    scalar = core.multiarray.scalar
    allowed = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        np.dtypes.Float64DType,
        _codecs.encode,
    ]
    if not Path(path).is_file():
        raise ModelError(f"{path} is not a file: give the path of a BTC-ISMIR19 checkpoint (.pt).")
    try:
        with torch.serialization.safe_globals(allowed):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen kinds for a file that is not one of its own
        raise ModelError(f"{path} is not a checkpoint that can be read safely ({reason(error)}).") from error
    if not isinstance(checkpoint, dict):
        raise ModelError(f"{path} holds no dictionary: use a checkpoint of BTC-ISMIR19 (.pt).")
    return checkpoint
