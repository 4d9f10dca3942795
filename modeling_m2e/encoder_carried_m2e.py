"""Frozen encoders whose weights travel with the model repo, in its folder "encoder"."""

import os
from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers.utils import SAFE_WEIGHTS_NAME

from .errors_m2e import ModelError, reason
from .modeling_encoder import M2EEncoderModel
from .modeling_taggers import TaggersModel
from .weights_m2e import CheckedModel, halve_file, load_complete, network_settings
from .windows_m2e import WINDOW_SECONDS, check_windows

ENCODER_FOLDER = "encoder"


class CarriedEncoder:
    """A network as a frozen encoder. A subclass names the class of the network and its embeddings."""

    kind: ClassVar[str]  # in `reference`
    network: ClassVar[type[CheckedModel]]
    window_seconds = WINDOW_SECONDS
    seconds: Callable[[Tensor], Tensor] | None = None

    def __init__(self, model: CheckedModel):
        self.model = model.eval().requires_grad_(False)
        self.sampling_rate: int = model.config.sampling_rate
        self.hidden_size: int = model.config.hidden_size

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], **hub_arguments: Any) -> Self:
        """Encoder of a model repo (hub id or folder), read from its folder "encoder".

        Args:
            name: the repo that carries the encoder.
            hub_arguments: cache_dir, force_download, token, revision, local_files_only, subfolder (where the model
                repo itself lies; the encoder is looked for below).

        Raises:
            ModelError: there is no readable encoder.
        """
        hub = {key: value for key, value in hub_arguments.items() if value is not None}
        parent = hub.pop("subfolder", "")
        return cls.from_network(name, f"{parent}/{ENCODER_FOLDER}" if parent else ENCODER_FOLDER, **hub)

    @classmethod
    def from_network(cls, name: str | os.PathLike[str], subfolder: str = "", **hub: Any) -> Self:
        """Encoder of a repo or folder that is the network's own. Raises ModelError."""
        name = os.fspath(name)
        place = f"folder {subfolder}" if subfolder else "top folder"
        try:
            model = load_complete(
                cls.network, name, subfolder=subfolder, dtype=torch.float32, trust_remote_code=False, **hub
            )
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ModelError(
                f"{name} has no readable encoder in its {place} ({reason(error)}): save or download it again."
            ) from error
        return cls(model)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def to(self, device: str | torch.device) -> Self:
        """This encoder, moved."""
        self.model.to(device)
        return self

    def embed(self, windows: Tensor) -> Tensor:
        """(n, hidden_size) of windows (n, samples) on the network's device."""
        raise NotImplementedError

    @torch.no_grad()
    def __call__(self, windows: Tensor) -> Tensor:
        """Embeddings (n, hidden_size), float32 on the CPU, of windows (n, samples) at `sampling_rate`.

        Raises:
            ModelError: windows not (n, samples), empty or not finite.
        """
        windows = check_windows(windows)
        if len(windows) == 0:
            return torch.zeros(0, self.hidden_size)
        return self.embed(windows.to(self.device)).float().cpu()

    def reference(self) -> dict[str, Any]:
        """The type only: the weights lie in the model repo, see `save_pretrained`."""
        return {"type": self.kind}

    def settings(self) -> dict[str, Any]:
        """See `Encoder.settings`."""
        return network_settings(self.model, normalized=False)

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write configuration and weights to the folder "encoder" below `save_directory`.

        Weights that float16 holds exactly are stored in it.
        """
        folder = os.path.join(save_directory, ENCODER_FOLDER)
        self.model.save_pretrained(folder)
        halve_file(os.path.join(folder, SAFE_WEIGHTS_NAME), self.model)


class DistilledEncoder(CarriedEncoder):
    """This project's encoder: the mean of its embeddings of each second. The level of a window does not matter."""

    kind = "m2e-encoder"
    network = M2EEncoderModel

    def embed(self, windows: Tensor) -> Tensor:
        return self.model(windows).pooler_output

    @torch.no_grad()
    def seconds(self, windows: Tensor) -> Tensor:
        """Embeddings (n, seconds, hidden_size) of each second of windows (n, samples), float32 on the CPU."""
        return self.model(check_windows(windows).to(self.device)).last_hidden_state.float().cpu()


class TaggerEncoder(CarriedEncoder):
    """Small music taggers. Windows shorter than a network needs are repeated by the network itself."""

    kind = "taggers"
    network = TaggersModel

    def embed(self, windows: Tensor) -> Tensor:
        return self.model(input_values=windows).embeddings


CARRIED: dict[str, type[CarriedEncoder]] = {encoder.kind: encoder for encoder in (DistilledEncoder, TaggerEncoder)}
