"""Audio networks of transformers as frozen encoders: time means of chosen hidden states.

Runs transformers' own classes on published weights (safetensors, or a checkpoint read with weights_only), with the
feature extractor that belongs to them, never the repository's code. `FAMILIES` lists the networks.
"""

import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor
from transformers.utils.hub import extract_commit_hash

from .bounds_m2e import RATE, check_number, check_parameters
from .encoder_mert_m2e import SIZES, check_layers, find_file, read_json
from .errors_m2e import UNREADABLE, ModelError, reason
from .weights_m2e import check_weights, network_settings
from .windows_m2e import WINDOW_SECONDS, check_windows

# Commits of weights that a recipe of this project names.
PINNED = {"laion/larger_clap_music": "a0b4534a14f58e20944452dff00a22a06ce629d1"}
WEIGHT_FILES = [name + end for name in ("model.safetensors", "pytorch_model.bin") for end in ("", ".index.json")]
_FAULTS = (OSError, ValueError, TypeError, KeyError, AttributeError, StrictDataclassError)  # of wrong configurations
_AST_TOKENS = 2  # class and distillation, before the patches


@dataclass(frozen=True)
class Family:
    """How networks of one type are read.

    network: class of transformers.  extractor: class of their feature extractor.
    part: path from the network to the module that is run; "": itself.  layers: path from that module to its layers.
    tokens: what a hidden state (n, tokens, width) runs over: "frames" of time, "patches" of time and frequency as in
    AST, or "all", where short audio is repeated so that all tokens count.
    """

    network: str
    extractor: str
    part: str = ""
    layers: str = "encoder.layers"
    tokens: str = "frames"


FAMILIES = {  # by model_type
    "hubert": Family("HubertModel", "Wav2Vec2FeatureExtractor"),
    "wav2vec2": Family("Wav2Vec2Model", "Wav2Vec2FeatureExtractor"),
    "wavlm": Family("WavLMModel", "Wav2Vec2FeatureExtractor"),
    "data2vec-audio": Family("Data2VecAudioModel", "Wav2Vec2FeatureExtractor"),
    "whisper": Family("WhisperModel", "WhisperFeatureExtractor", "encoder", "layers"),
    "audio-spectrogram-transformer": Family("ASTModel", "ASTFeatureExtractor", "", "layers", "patches"),
    "clap": Family(
        "ClapAudioModelWithProjection", "ClapFeatureExtractor", "audio_model", "audio_encoder.layers", "all"
    ),
}


# The states that the call in progress collects, by layer; of its thread alone.
_collected: ContextVar[dict[int, Tensor] | None] = ContextVar("_collected", default=None)


class _Reached(Exception):
    """The deepest layer that is read has been computed."""


class TransformersEncoder:
    """A network of `FAMILIES` as a frozen encoder: time means of chosen hidden states, concatenated.

    `layers` are indices into Hugging Face hidden_states: 0 is the input of the first layer, i the output of the i-th
    layer, before any norm that follows the last one. In CLAP a layer is a stage, and states differ in width. Nothing
    above the deepest layer is computed or kept, which changes no state below it.

    A network with an input of fixed length gets a longer window in equal parts, whose states are averaged; what it
    pads a shorter one with is not averaged.

    Args:
        model: the whole network of its family.
        extractor: its feature extractor.
        layers: read in this order.
        name, revision: hub id (or folder) and commit that `reference` reports.
    """

    window_seconds, seconds = WINDOW_SECONDS, None

    def __init__(
        self,
        model: transformers.PreTrainedModel,
        extractor: Any,
        layers: Sequence[int],
        name: str | None = None,
        revision: str | None = None,
    ):
        owner = name or "this model"
        self.family = FAMILIES[_family_name(model.config.model_type, owner)]
        self.model = _at(model, self.family.part).eval().requires_grad_(False)
        parent, _, attribute = self.family.layers.rpartition(".")
        stack = getattr(_at(self.model, parent), attribute)
        self.layers = check_layers(layers, len(stack), owner)
        stack = stack[: max(*self.layers, 1)]
        setattr(_at(self.model, parent), attribute, stack)  # frees the others
        stack[0].register_forward_pre_hook(self._keep_input, with_kwargs=True)
        for place, layer in enumerate(stack, 1):
            layer.register_forward_hook(partial(self._keep_output, place))
        self.extractor, self.name, self.revision = extractor, name, revision
        self.sampling_rate: int = extractor.sampling_rate
        self.widths = [_width(self.model.config, layer) for layer in self.layers]
        self.hidden_size = sum(self.widths)
        self._native = _native_samples(self.model.config, extractor)
        self._least = _least_samples(self.model.config, extractor)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        revision: str | None = None,
        layers: Sequence[int] = (),
        dtype: str | torch.dtype = "float32",
        **hub: Any,
    ) -> "TransformersEncoder":
        """Encoder with the published weights of a hub id or a local folder.

        Args:
            name: such as "laion/larger_clap_music", or a folder with config.json, preprocessor_config.json and weights.
            revision: commit, tag or branch; None takes the commit in `PINNED`, else the default branch. `reference`
                records the commit in each case. Ignored for a folder.
            layers: see the class.
            dtype: of the weights: "float32", "bfloat16" or "float16".
            hub: cache_dir, force_download, token, local_files_only, subfolder.

        Raises:
            ModelError: files missing or unreadable, a network outside of `FAMILIES`, a layer out of range.
        """
        name = os.fspath(name)
        hub = {key: value for key, value in hub.items() if value is not None}
        local = os.path.isdir(name)
        if local:
            revision = None
        else:
            hub["revision"] = revision = revision or PINNED.get(name)
        config_file = _need_file(name, "config.json", hub)
        _need_file(name, "preprocessor_config.json", hub)
        family = FAMILIES[_family_name(read_json(config_file).get("model_type"), name)]
        _find_weights(name, hub)
        # From the folder of the files: transformers would ask the hub to convert weights that are no safetensors.
        folder = os.path.dirname(config_file)
        model = _load(family, folder, name, getattr(torch, dtype) if isinstance(dtype, str) else dtype, layers)
        if not local:
            revision = extract_commit_hash(config_file, None) or revision
        return cls(model, _load_extractor(family, folder, name), layers, name, revision)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def to(self, device: str | torch.device) -> "TransformersEncoder":
        """This encoder, moved."""
        self.model.to(device)
        return self

    @torch.no_grad()
    def hidden_states(self, windows: Tensor) -> list[Tensor]:
        """The read states in the order of `layers`, each (n, tokens, width), of windows that fit the network's input.

        Raises:
            ModelError: see `__call__`.
        """
        inputs = self.extractor(
            list(check_windows(windows).cpu().numpy()), sampling_rate=self.sampling_rate, return_tensors="pt"
        )
        prepared = inputs[self.model.main_input_name].to(self.device, self.model.dtype)
        extra = {}
        if self.family.tokens == "all":  # the extractor calls one window longer by chance
            extra["is_longer"] = torch.zeros(len(windows), 1, dtype=torch.bool, device=self.device)
        states: dict[int, Tensor] = {}
        token = _collected.set(states)
        try:
            self.model(prepared, **extra)
        except _Reached:
            pass
        finally:
            _collected.reset(token)
        return [states[layer] for layer in self.layers]

    def _keep_input(self, module: torch.nn.Module, inputs: tuple, named: dict[str, Any]) -> None:
        self._keep(0, inputs[0] if inputs else named["hidden_states"])

    def _keep_output(self, place: int, module: torch.nn.Module, inputs: tuple, output: Any) -> None:
        self._keep(place, output[0] if isinstance(output, tuple) else output)

    def _keep(self, place: int, state: Tensor) -> None:
        states = _collected.get()
        if states is not None:
            states[place] = state
            if place == max(self.layers):
                raise _Reached

    def __call__(self, windows: Tensor) -> Tensor:
        """Embeddings (n, hidden_size), float32 on the CPU, of windows (n, samples) at `sampling_rate`.

        Raises:
            ModelError: windows not (n, samples), shorter than one frame of the network, or not finite.
        """
        windows = check_windows(windows)
        if len(windows) == 0:
            return torch.zeros(0, self.hidden_size)
        samples = windows.shape[1]
        if samples < self._least:
            raise ModelError(f"A window of {samples} samples is too short for this encoder: give {self._least}.")
        parts = 1 if self._native is None else math.ceil(samples / self._native)
        size = samples // parts
        split = windows[:, : parts * size].reshape(-1, size)
        share = 1.0 if self._native is None else size / self._native
        pooled = [self._pool(state.float(), share) for state in self.hidden_states(split)]
        return torch.cat(pooled, dim=-1).reshape(len(windows), parts, -1).mean(dim=1).cpu()

    def _pool(self, state: Tensor, share: float) -> Tensor:
        """(n, width) mean over the tokens of audio: the first `share` of the time."""
        if self.family.tokens == "all":
            return state.mean(dim=1)
        if self.family.tokens == "patches":
            config = self.model.config
            times = (config.max_length - config.patch_size) // config.time_stride + 1
            state = state[:, _AST_TOKENS:].unflatten(1, (-1, times)).mean(dim=1)
        return state[:, : max(1, math.ceil(share * state.shape[1]))].mean(dim=1)

    def reference(self) -> dict[str, Any]:
        """Hub id, commit and layers: the weights stay where they were published.

        Raises:
            ModelError: the encoder was built from a bare model, so that there is nothing to refer to.
        """
        if self.name is None:
            raise ModelError("This encoder was built from a bare model: give it the name of published weights.")
        return {"type": "transformers", "id": self.name, "revision": self.revision, "layers": list(self.layers)}

    def settings(self) -> dict[str, Any]:
        """See `Encoder.settings`."""
        prepared = {name: value for name, value in self.extractor.to_dict().items() if _is_plain(value)}
        settings = json.dumps(prepared, sort_keys=True, default=str)
        return network_settings(self.model, normalized=False) | {"extractor": settings}

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write nothing: `reference` says where the weights are."""


# --- loading ---


def _family_name(model_type: Any, name: str) -> str:
    if model_type == "clap_audio_model":  # of the audio tower
        return "clap"
    if model_type not in FAMILIES:
        raise ModelError(f"{name} is a {model_type!r} model: encoders of transformers are {', '.join(FAMILIES)}.")
    return str(model_type)


def _need_file(name: str, file: str, hub: dict[str, Any]) -> str:
    """Its path. Raises ModelError where there is none."""
    if found := find_file(name, file, hub):
        return found
    raise ModelError(f"{name} has no {file} here or in the cache: check the name, or connect once to download it.")


def _find_weights(name: str, hub: dict[str, Any]) -> None:
    """Downloads the weights, all shards of them. Raises ModelError where there are none."""
    file = next((file for file in (find_file(name, each, hub) for each in WEIGHT_FILES) if file is not None), None)
    if file is None:
        raise ModelError(
            f"{name} has neither {WEIGHT_FILES[0]} nor {WEIGHT_FILES[2]} here or in the cache: check the name, or "
            "connect once to download the weights."
        )
    if file.endswith(".json"):
        shards = read_json(file).get("weight_map")
        for shard in sorted(set(shards.values())) if isinstance(shards, dict) else ():
            _need_file(name, str(shard), hub)


def _load(
    family: Family, folder: str, name: str, dtype: torch.dtype, layers: Sequence[int]
) -> transformers.PreTrainedModel:
    network = getattr(transformers, family.network)
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        config = getattr(config, "audio_config", config)
        check_layers(layers, _check_sizes(config, name), name)
        with torch.device("meta"):
            check_parameters(name, sum(each.numel() for each in network(config).parameters()))
        with _quiet():
            model, report = network.from_pretrained(
                folder, config=config, dtype=dtype, output_loading_info=True, weights_only=True, trust_remote_code=False
            )
    except ModelError:
        raise
    except (*_FAULTS, SafetensorError, RuntimeError, *UNREADABLE) as error:
        raise ModelError(f"{name} cannot be loaded ({reason(error)}): check the name or download it again.") from error
    # masks are for training; their embedding is not used
    used = [key for key in sorted(report["missing_keys"]) if key.startswith(family.part)]
    if missing := [key for key in used if not key.endswith("masked_spec_embed")]:  # transformers only warns
        raise ModelError(f"{name} lacks weights of its network, the first is {missing[0]}: download it again.")
    check_weights(_at(model, family.part), name)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' report on weights that are not used, such as a text tower."""
    log = logging.getLogger("transformers.modeling_utils")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _check_sizes(config: transformers.PreTrainedConfig, name: str) -> int:
    """The number of layers. Raises ModelError for sizes that would cost memory."""
    limits = {
        **SIZES,
        "d_model": 1 << 14,
        "encoder_layers": 200,
        "decoder_layers": 200,
        "patch_embeds_hidden_size": 4096,
    }
    for setting, limit in limits.items():
        value = getattr(config, setting, 1)
        for each in value if isinstance(value, list | tuple) else [value]:
            check_number(name, setting, each, 1, limit, whole=True)
    depths = getattr(config, "depths", None)
    if depths is not None:
        check_number(name, "the sum of depths", sum(depths), 1, SIZES["num_hidden_layers"], whole=True)
        return len(depths)
    return int(getattr(config, "encoder_layers", None) or config.num_hidden_layers)


def _load_extractor(family: Family, folder: str, name: str) -> Any:
    try:
        extractor = getattr(transformers, family.extractor).from_pretrained(folder)
    except _FAULTS as error:
        raise ModelError(
            f"The preprocessor_config.json of {name} is wrong ({reason(error)}): download it again."
        ) from error
    check_number(name, "sampling_rate", extractor.sampling_rate, *RATE, whole=True)
    return extractor


# --- sizes ---


def _at(module: Any, path: str) -> Any:
    for name in filter(None, path.split(".")):
        module = getattr(module, name)
    return module


def _width(config: transformers.PreTrainedConfig, layer: int) -> int:
    """Of a hidden state; the stages of CLAP double it, but for the last."""
    if hasattr(config, "depths"):
        return int(config.patch_embeds_hidden_size * 2 ** min(layer, len(config.depths) - 1))
    return int(config.hidden_size)


def _native_samples(config: transformers.PreTrainedConfig, extractor: Any) -> int | None:
    """Samples of the input of a network that takes one length alone; None for one that takes any."""
    if hasattr(config, "max_source_positions"):  # Whisper: two convolutions, the second halves the frames
        return int(2 * config.max_source_positions * extractor.hop_length)
    if hasattr(config, "time_stride"):  # AST: frames of 25 ms, each 10 ms
        return int(config.max_length * extractor.sampling_rate // 100)
    return int(extractor.nb_max_samples) if hasattr(config, "depths") else None


def _least_samples(config: transformers.PreTrainedConfig, extractor: Any) -> int:
    """Samples of the shortest window that gives a frame."""
    if not hasattr(config, "conv_kernel"):
        return int(0.03 * extractor.sampling_rate)  # one frame of a spectrogram, and more than half a Fourier window
    return receptive_field(config.conv_kernel, config.conv_stride)


def receptive_field(kernels: Iterable[int], strides: Iterable[int]) -> int:
    """Samples that one frame of convolutions sees, which is the shortest input they take."""
    samples, hop = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        samples += (kernel - 1) * hop
        hop *= stride
    return samples


def _is_plain(value: Any) -> bool:
    """Whether a setting of an extractor decides its numbers; its tables follow from the others."""
    return isinstance(value, str | int | float | bool | None)
