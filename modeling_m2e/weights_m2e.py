"""Weights of networks: checks where they are loaded, a fingerprint, and storage in half precision."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from .errors_m2e import ModelError, reason

Network = TypeVar("Network", bound=torch.nn.Module)
M = TypeVar("M", bound=PreTrainedModel)
_bars = threading.RLock()  # they are a setting of the whole process


class CheckedModel(PreTrainedModel):
    """The base of all networks here: every way to load them refuses weights that are not finite.

    Downloads show progress bars, the reading of small files does not.
    """

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers. Raises ModelError, also for settings of wrong types; see `check_weights`."""
        folder = kwargs.get("subfolder")
        source = f"{pretrained_model_name_or_path}{f', folder {folder},' if folder else ''}"
        try:
            with _no_bars():
                loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        except (AttributeError, LookupError, TypeError) as error:  # of transformers, for wrong types
            raise ModelError(f"{source} has a wrong config.json ({reason(error)}): download it again.") from error
        check_weights(loaded[0] if isinstance(loaded, tuple) else loaded, source)  # a pair, with output_loading_info
        return loaded


def load_complete(network: type[M], name: str | os.PathLike[str], **arguments: Any) -> M:
    """The network of a folder or hub id, with all its weights.  arguments: of from_pretrained. Raises: ModelError."""
    loaded = network.from_pretrained(name, output_loading_info=True, **arguments)
    model, report = cast(tuple[M, dict[str, Any]], loaded)
    if report["missing_keys"]:  # transformers only warns, and leaves such weights random
        missing = min(report["missing_keys"])
        raise ModelError(f"{name} lacks weights of the model, the first is {missing}: save or download it again.")
    return model


@contextmanager
def _no_bars() -> Iterator[None]:
    with _bars:
        hook = logging.set_tqdm_hook(lambda bar, args, options: bar(*args, **{**options, "disable": True}))
        try:
            yield
        finally:
            logging.set_tqdm_hook(hook)


def fingerprint(network: PreTrainedModel, leave_out: Sequence[str] = ()) -> str:
    """16 hex digits of a network's weights and of the settings of its architecture.

    leave_out: names of settings in the configuration that do not count.
    """
    config, common = network.config.to_dict(), PreTrainedConfig().to_dict()  # the common ones vary with transformers
    own = {name: config[name] for name in config if name not in common or name == "id2label"}
    own = {name: value for name, value in own.items() if name not in leave_out}
    digest = hashlib.sha256(json.dumps(own, sort_keys=True, default=str).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def network_settings(network: PreTrainedModel, normalized: bool) -> dict[str, Any]:
    """What embeddings of a frozen network depend on. normalized: whether its windows are, before it."""
    dtype = str(network.dtype).removeprefix("torch.")
    return {"network": fingerprint(network), "dtype": dtype, "normalized": normalized}


def check_weights(network: torch.nn.Module, source: str) -> None:
    """Raises ModelError for NaN and infinite weights, and for stored deviations that are not above 0."""
    for name, tensor in network.state_dict().items():
        if tensor.is_meta:  # its weights are loaded later
            continue
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(f"{source} has weights that are not finite, the first are {name}: download it again.")
        if name.endswith("_std") and not (tensor > 0).all():
            raise ModelError(f"{source} has deviations in {name} that are not above 0: download it again.")


def halve_weights(model: Network) -> Network:
    """The same model with its parameters in float16 for storage; its buffers stay float32."""
    for parameter in model.parameters():
        parameter.data = parameter.data.half()
    return model


def halve_file(file: str | os.PathLike[str], model: torch.nn.Module) -> None:
    """Store the parameters of a saved model in float16 if that loses nothing; a reader loads them in float32."""
    parameters = dict(model.named_parameters())
    if all(torch.equal(each, each.half().to(each.dtype)) for each in parameters.values()):
        tensors = {name: t.half() if name in parameters else t for name, t in load_file(file).items()}
        partial = f"{os.fspath(file)}.partial"
        save_file(tensors, partial, metadata={"format": "pt"})
        os.replace(partial, file)
