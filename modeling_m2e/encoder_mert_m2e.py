"""Reading a MERT from a hub repository or a folder: its configuration and weights, as transformers' HubertModel."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import HubertConfig
from transformers.utils import cached_file

from .bounds_m2e import check_number
from .errors_m2e import UNREADABLE, ModelError, reason

if TYPE_CHECKING:
    from transformers import HubertModel

# Indices into Hugging Face hidden_states that the published checkpoints were trained on: the outputs of the 6th and 7th
# layer. The paper (arXiv 2502.03979) calls them layers 5 and 6, as its code drops hidden_states[0] before it indexes.
MERT_LAYERS = (6, 7)
# A CPU with AMX (PyTorch 2.13, oneDNN) computes grouped convolutions wrongly in low precision where a group has fewer
# channels than this. The published MERTs have 48 or 64.
_LOW_PRECISION_CHANNELS = 16
# Upper ends of the sizes in a configuration.
SIZES = {
    "num_hidden_layers": 200,
    "hidden_size": 1 << 14,
    "intermediate_size": 1 << 16,
    "num_attention_heads": 256,
    "num_conv_pos_embeddings": 1 << 12,
    "num_conv_pos_embedding_groups": 1 << 12,
}
MAX_CONVOLUTIONS = 20
_MODEL_TYPES = ("mert_model", "hubert")


def mert_config(
    published: dict[str, Any], layers: Sequence[int] = MERT_LAYERS, name: str = "this model"
) -> HubertConfig:
    """HubertConfig of a published MERT (or HuBERT) configuration, with only as many layers as are read.

    Raises:
        ModelError: a network that HubertModel cannot express (a CQT front end, deepnorm), or a layer out of range.
    """
    model_type = published.get("model_type", "hubert")
    if model_type not in _MODEL_TYPES:
        raise ModelError(f"{name} is a {model_type!r} model: name a MERT or HuBERT model.")
    if published.get("feature_extractor_cqt"):
        raise ModelError(f"{name} adds a CQT to its input, which HubertModel cannot express: use a MERT without it.")
    if published.get("deepnorm"):
        raise ModelError(f"{name} uses deepnorm, which HubertModel cannot express: use a MERT without it.")
    # attention_relax needs no refusal: it subtracts a constant before the softmax, which changes nothing.
    default = HubertConfig()
    described = ("model_type", "architectures", "transformers_version", "dtype", "num_feat_extract_layers")
    known = {key: published[key] for key in default.to_dict() if key in published and key not in described}
    layer_count = known.get("num_hidden_layers", default.num_hidden_layers)
    for setting, limit in SIZES.items():
        check_number(name, setting, known.get(setting, getattr(default, setting)), 1, limit, whole=True)
    for setting in ("conv_dim", "conv_kernel", "conv_stride"):
        values = known.get(setting, getattr(default, setting))
        if not isinstance(values, list | tuple) or len(values) > MAX_CONVOLUTIONS:
            raise ModelError(f"{name}: {setting} is no list of at most {MAX_CONVOLUTIONS} numbers: download it again.")
        for value in values:
            check_number(name, setting, value, 1, 1 << 14, whole=True)
    depth = max(check_layers(layers, layer_count, name))
    # Masking is for training; without it the network has no mask embedding either.
    return HubertConfig(
        **known
        | {"num_hidden_layers": max(depth, 1), "layerdrop": 0.0, "apply_spec_augment": False}
        | {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    )


def build(config: HubertConfig, weights: dict[str, Tensor], dtype: torch.dtype, source: str) -> "HubertModel":
    """HubertModel with these weights and no others.

    Not by HubertModel.from_pretrained: for a repository that has only a .bin it starts a thread that asks the hub for a
    conversion, and it reports every layer that is not loaded.
    """
    from transformers import HubertModel  # needs the compiler of PyTorch, which no other encoder does

    with torch.device("meta"):  # no time for initial values, which are replaced at once
        model = HubertModel(config)
    weights = {key: value.to(dtype) for key, value in weights.items()}
    try:
        # torch itself maps weight_g and weight_v of 2023 to today's parametrizations.
        model.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        differences = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{source} does not hold the weights that its config.json describes ({differences}): download both again."
        ) from error
    if dtype != torch.float32 and config.hidden_size // config.num_conv_pos_embedding_groups < _LOW_PRECISION_CHANNELS:
        convolution = model.encoder.pos_conv_embed.conv.float()
        convolution.register_forward_pre_hook(lambda module, inputs: (inputs[0].float(),))
        convolution.register_forward_hook(lambda module, inputs, output: output.to(dtype))
    return model


def fastest_dtype(device: torch.device) -> torch.dtype:
    """The precision that a network of dense layers is fastest in, at a relative error near 1 %; float32 where the
    device computes nothing else faster."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # True where PyTorch emulates it, too: ask for the instructions. Older versions cannot tell.
    instructions = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
    return torch.bfloat16 if device.type == "cpu" and any(ask and ask() for ask in instructions) else torch.float32


def read_weights(path: str, depth: int) -> dict[str, Tensor]:
    """Tensors of a checkpoint without the layers above `depth` and without the mask embedding."""

    def is_read(key: str) -> bool:
        parts = key.split(".")
        above = parts[:2] == ["encoder", "layers"] and int(parts[2]) >= depth
        return not above and key != "masked_spec_embed"

    try:
        if path.endswith(".safetensors"):
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys() if is_read(key)}
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {key: tensor for key, tensor in tensors.items() if is_read(key)}
    except (OSError, SafetensorError, *UNREADABLE) as error:
        raise ModelError(f"{path} is not a readable checkpoint ({reason(error)}): download it again.") from error


def find_file(name: str, filename: str, hub: dict[str, Any]) -> str | None:
    """Path of a file in a folder, or of a cached or downloaded file of a hub repository; None where there is none."""
    try:
        return cached_file(name, filename, _raise_exceptions_for_missing_entries=False, **hub)
    except OSError as error:
        raise ModelError(f"{name} cannot be loaded ({reason(error)}): check the name and the connection.") from error


def read_json(path: str) -> dict[str, Any]:
    """The JSON object in a file. Raises ModelError."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply
        raise ModelError(f"{path} is not valid JSON ({reason(error)}): download it again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} does not hold a JSON object: download it again.")
    return content


def check_layers(layers: Sequence[int], depth: int, name: str) -> tuple[int, ...]:
    """The layers, distinct and each from 0 to ``depth``. Raises ModelError."""
    layers = tuple(layers)
    if not layers or len(set(layers)) < len(layers):
        raise ModelError(f"The layers to read must be distinct and at least one, not {list(layers)}.")
    if any(not isinstance(layer, int) or isinstance(layer, bool) or not 0 <= layer <= depth for layer in layers):
        raise ModelError(f"{name} has hidden states 0 to {depth}: layers {list(layers)} are out of range.")
    return layers
