"""Frozen audio encoders: equal windows of a waveform in, one embedding per window out.

The rest of the project uses nothing but the members of the protocol `Encoder`. `MertEncoder` has them (MERT, a HuBERT
network whose published weights stay on the hub), and so have the encoders whose weights travel with the model repo, see
`encoder_carried_m2e`.
"""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from transformers.utils.hub import extract_commit_hash

from .bounds_m2e import RATE, check_number
from .encoder_carried_m2e import CARRIED
from .encoder_mert_m2e import MERT_LAYERS, build, check_layers, find_file, mert_config, read_json, read_weights
from .errors_m2e import ModelError
from .weights_m2e import check_weights, network_settings
from .windows_m2e import WINDOW_SECONDS, check_windows

if TYPE_CHECKING:
    from transformers import HubertModel

MERT_SAMPLING_RATE = 24000  # Hz

# Commits that fix what "the published weights" means, so that a later push cannot change an embedding.
PINNED_REVISIONS = {
    "m-a-p/MERT-v1-95M": "12af15fef9d0ac838c3f475bfbbf26d2060dd4f5",
    "m-a-p/MERT-v1-330M": "5240c2708a5acaee1007f43fb9735c7dcd0b78c9",
}

HUB_ARGUMENTS = ("cache_dir", "force_download", "token", "revision", "local_files_only", "subfolder")

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_VARIANCE_FLOOR = 1e-7  # of Wav2Vec2FeatureExtractor: keeps silence finite


class Encoder(Protocol):
    """What a frozen encoder offers, and all that the rest of the project uses of it.

    sampling_rate: Hz.  hidden_size: width of an embedding.  window_seconds: the longest window it is meant for.
    seconds: windows (n, samples) to embeddings (n, seconds, hidden_size) of each second; None without these.
    """

    sampling_rate: int
    hidden_size: int
    window_seconds: float

    @property
    def seconds(self) -> Callable[[Tensor], Tensor] | None:
        """See above."""
        ...

    def to(self, device: str | torch.device) -> "Encoder":
        """This encoder, moved."""
        ...

    def __call__(self, windows: Tensor) -> Tensor:
        """Embeddings (n, hidden_size), float32 on the CPU, of windows (n, samples) at `sampling_rate`."""
        ...

    def reference(self) -> dict[str, Any]:
        """What `load_encoder` needs to make this encoder again; JSON-able."""
        ...

    def settings(self) -> dict[str, Any]:
        """What embeddings depend on besides `reference`: weights, precision, normalisation; JSON-able.

        Encoders with equal settings give equal embeddings. Cached features are named by them.
        """
        ...

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write the weights that travel with the model repo, if any."""
        ...


def normalize(windows: Tensor) -> Tensor:
    """Windows (n, samples) moved to zero mean and unit variance, each by itself.

    The same numbers as Wav2Vec2FeatureExtractor with do_normalize; a constant window becomes zeros.
    """
    centred = windows - windows.mean(dim=-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(dim=-1, keepdim=True) + _VARIANCE_FLOOR)


class MertEncoder:
    """MERT as a frozen encoder: time means of chosen hidden states, concatenated.

    Runs transformers' own HubertModel on the published weights, never the repository's code. `layers` are indices into
    Hugging Face hidden_states: 0 is the input of the first layer, i the output of the i-th layer. Pre-norm networks
    (MERT-v1-330M) apply one more norm after their last layer; every state here, the last included, is taken before it.

    Args:
        model: its encoder has at least max(layers) layers; further ones cost time only (`from_pretrained` drops them).
        layers: read in this order; the published emotion models read (6, 7) of MERT-v1-95M, which their paper calls
            layers 5 and 6.
        name, revision: hub id (or folder) and commit that `reference` reports.
        sampling_rate: of the windows, in Hz.
        do_normalize: whether the network was trained on waveforms of zero mean and unit variance.
    """

    window_seconds = WINDOW_SECONDS
    seconds = None

    def __init__(
        self,
        model: "HubertModel",
        layers: Sequence[int] = MERT_LAYERS,
        name: str | None = None,
        revision: str | None = None,
        sampling_rate: int = MERT_SAMPLING_RATE,
        do_normalize: bool = True,
    ):
        self.layers = check_layers(layers, model.config.num_hidden_layers, name or "this model")
        # eval() also keeps layer drop from shortening the tuple of hidden states.
        self.model = model.eval().requires_grad_(False)
        self.name = name
        self.revision = revision
        self.sampling_rate = sampling_rate
        self.do_normalize = do_normalize
        self.hidden_size = len(self.layers) * model.config.hidden_size
        self._min_samples = _receptive_field(model.config.conv_kernel, model.config.conv_stride)

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike,
        revision: str | None = None,
        layers: Sequence[int] = MERT_LAYERS,
        dtype: str | torch.dtype = "float32",
        **hub_arguments: Any,
    ) -> "MertEncoder":
        """Encoder with the published weights of a hub id or a local folder, cut off above the highest layer read.

        Args:
            name: such as "m-a-p/MERT-v1-95M", or a folder with config.json and model.safetensors or pytorch_model.bin.
            revision: commit, tag or branch; None takes the pinned commit of the known repositories, else the default
                branch. Ignored for a folder.
            layers: see the class.
            dtype: "bfloat16" halves time and memory on hardware that has it, for a relative difference near 1 %.
            hub_arguments: cache_dir, force_download, token, local_files_only, subfolder.

        Raises:
            ModelError: files missing or unreadable, a network that HubertModel cannot express, a layer out of range.
        """
        unknown = set(hub_arguments) - set(HUB_ARGUMENTS)
        if unknown:
            raise TypeError(f"MertEncoder.from_pretrained got unexpected arguments: {', '.join(sorted(unknown))}")
        name = os.fspath(name)
        dtype = _check_dtype(dtype)
        hub = {key: value for key, value in hub_arguments.items() if value is not None}
        if os.path.isdir(name):
            revision = None
        else:
            hub["revision"] = revision = revision or PINNED_REVISIONS.get(name)

        config_file = find_file(name, "config.json", hub)
        if config_file is None:
            raise ModelError(
                f"{name} has no config.json here or in the cache: check the name, or connect once to download it."
            )
        published = read_json(config_file)
        config = mert_config(published, layers, name)
        preprocessor_file = find_file(name, "preprocessor_config.json", hub)
        preprocessor = {} if preprocessor_file is None else read_json(preprocessor_file)
        weights_file = find_file(name, "model.safetensors", hub) or find_file(name, "pytorch_model.bin", hub)
        if weights_file is None:
            raise ModelError(
                f"{name} has neither model.safetensors nor pytorch_model.bin here or in the cache: check the name, or "
                "connect once to download the weights."
            )
        rate = preprocessor.get("sampling_rate", published.get("sample_rate", MERT_SAMPLING_RATE))
        check_number(name, "sampling_rate", rate, *RATE, whole=True)
        model = build(config, read_weights(weights_file, config.num_hidden_layers), dtype, weights_file)
        check_weights(model, weights_file)
        if not os.path.isdir(name):
            revision = extract_commit_hash(config_file, None) or revision  # a branch is recorded as its commit
        return cls(
            model,
            layers,
            name=name,
            revision=revision,
            sampling_rate=rate,
            do_normalize=preprocessor.get("do_normalize", True),
        )

    @property
    def device(self) -> torch.device:
        return self.model.device

    def to(self, device: str | torch.device) -> "MertEncoder":
        """This encoder, moved."""
        self.model.to(device)
        return self

    # no_grad rather than inference_mode: inference tensors cannot enter a later training graph.
    @torch.no_grad()
    def hidden_states(self, windows: Tensor) -> list[Tensor]:
        """The read hidden states in the order of `layers`: each (n, frames, width) on the encoder's device.

        Windows have equal lengths by being one tensor: with group norm in the convolutions (both published MERTs)
        padding would change the result, even under an attention mask.

        Raises:
            ModelError: windows not (n, samples), shorter than one frame of the network, or not finite.
        """
        windows = check_windows(windows)
        if windows.shape[1] < self._min_samples:
            raise ModelError(
                f"A window of {windows.shape[1]} samples is too short for MERT, which needs {self._min_samples}."
            )
        windows = windows.to(self.device)
        if self.do_normalize:
            windows = normalize(windows)
        output = self.model(windows.to(self.model.dtype), output_hidden_states=list(self.layers), return_dict=True)
        return [output.hidden_states[layer] for layer in self.layers]

    def __call__(self, windows: Tensor) -> Tensor:
        """Embeddings (n, hidden_size), float32 on the CPU, of windows (n, samples) at `sampling_rate`.

        Means over time per layer, concatenated in the order of `layers` (as the paper does).

        Raises:
            ModelError: see `hidden_states`.
        """
        windows = check_windows(windows)
        if len(windows) == 0:
            return torch.zeros(0, self.hidden_size)
        return torch.cat([state.float().mean(dim=1) for state in self.hidden_states(windows)], dim=-1).cpu()

    def reference(self) -> dict[str, Any]:
        """Hub id, commit and layers: the weights stay where they were published.

        Raises:
            ModelError: the encoder was built from a bare model, so that there is nothing to refer to.
        """
        if self.name is None:
            raise ModelError("This MERT encoder was built from a bare model: give it the name of published weights.")
        return {"type": "mert", "id": self.name, "revision": self.revision, "layers": list(self.layers)}

    def settings(self) -> dict[str, Any]:
        """See `Encoder.settings`."""
        return network_settings(self.model, self.do_normalize)

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write nothing: `reference` says where the weights are."""


def load_encoder(
    reference: dict[str, Any],
    repo: str | os.PathLike | None = None,
    dtype: str | torch.dtype = "float32",
    **hub_arguments: Any,
) -> Encoder:
    """The encoder that `Encoder.reference` described.

    Args:
        reference: {"type": "mert" or "transformers", "id": ..., "revision": ..., "layers": [...]}, or {"type": NAME} of
            `CARRIED`.
        repo: hub id or folder of the model repo; needed where the weights travel with it.
        dtype: of MERT's weights; the taggers are small and always run in float32.
        hub_arguments: those in HUB_ARGUMENTS are passed on, others (of Auto classes) ignored. `revision` and
            `subfolder` are the model repo's and therefore never applied to MERT's own repository.

    Raises:
        ModelError: unknown or incomplete reference, or see the encoders' `from_pretrained`.
    """
    hub = {key: hub_arguments[key] for key in HUB_ARGUMENTS if hub_arguments.get(key) is not None}
    kind = reference.get("type")
    if kind in CARRIED:
        if repo is None:
            raise ModelError("The weights of this encoder travel with the model: name the model repo or folder.")
        return CARRIED[kind].from_pretrained(repo, **hub)
    if kind == "mert":
        if not reference.get("id"):
            raise ModelError("A reference to a MERT encoder needs an id: a hub id or a folder.")
        hub = {key: value for key, value in hub.items() if key not in ("revision", "subfolder")}
        layers = reference.get("layers", MERT_LAYERS)
        return MertEncoder.from_pretrained(reference["id"], reference.get("revision"), layers, dtype, **hub)
    if kind == "transformers":
        from .encoder_transformers_m2e import TransformersEncoder  # imported by those alone who use it

        if not reference.get("id") or not reference.get("layers"):
            raise ModelError("A reference to an encoder of transformers needs an id and layers.")
        hub = {key: value for key, value in hub.items() if key not in ("revision", "subfolder")}
        layers = reference["layers"]
        return TransformersEncoder.from_pretrained(
            reference["id"], reference.get("revision"), layers, _check_dtype(dtype), **hub
        )
    known = ", ".join(["mert", "transformers", *CARRIED])
    raise ModelError(f"There is no encoder of type {kind!r}: known types are {known}.")


def _check_dtype(dtype: str | torch.dtype) -> torch.dtype:
    resolved = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if resolved is None or resolved not in _DTYPES.values():
        raise ModelError(f"An encoder cannot run in {dtype}: choose {', '.join(_DTYPES)}.")
    return resolved


def _receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Samples that one frame of the convolutions sees, which is the shortest input they take."""
    samples, hop = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        samples += (kernel - 1) * hop
        hop *= stride
    return samples
