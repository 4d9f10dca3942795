"""Answers the requests of an Inference Endpoint with the model in this repository, whichever of m2e's it is.

The toolkit of the endpoints calls `EndpointHandler(folder)` once and the handler for every request. This file stands
beside the code and the weights that it loads, and needs no package m2e.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Any

from transformers import AutoConfig, AutoModel, pipeline
from transformers.dynamic_module_utils import get_class_from_dynamic_module

MAX_SECONDS, MAX_ANALYSIS_SECONDS = 900.0, 600.0  # of a track, and of its analysis

Answer = Callable[..., dict[str, Any]]


class EndpointHandler:
    """Calls with {"inputs": the bytes of a music file, or these in base64, "parameters": {}} return a dict."""

    def __init__(self, path: str = ""):
        # Whoever runs this file runs the code beside it: here trust_remote_code asks for nothing more
        kind = AutoConfig.from_pretrained(path, trust_remote_code=True).model_type
        self._answer = {"m2e": _emotion, "m2e-btc": _chords, "m2e-encoder": _embeddings}[kind](path)

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """data["parameters"]: of an emotion model those of its pipeline (top_k, harmony, key_segments).

        Raises: ValueError with one sentence, which the toolkit answers with status 400.
        """
        return self._answer(_bytes(data.get("inputs")), **(data.get("parameters") or {}))


def _bytes(inputs: Any) -> bytes:
    if isinstance(inputs, bytes | bytearray):
        return bytes(inputs)
    if not isinstance(inputs, str):
        raise ValueError("inputs holds no audio: send the bytes of a music file, or these in base64.")
    try:
        return base64.b64decode(inputs, validate=True)
    except binascii.Error as error:
        raise ValueError("inputs is no base64: send the bytes of a music file, or these in base64.") from error


def _part(path: str, name: str) -> Any:
    """The class or function `name`, "module.name", of the code beside this file."""
    return get_class_from_dynamic_module(name, path)


def _limits(path: str) -> Any:
    return _part(path, "limits_m2e.Limits")(MAX_SECONDS, MAX_ANALYSIS_SECONDS)


def _emotion(path: str) -> Answer:
    """Answers with the record of a track: valence, arousal, moods, key, chords and more."""
    pipe: Any = pipeline("music-emotion", model=path, trust_remote_code=True)  # type: ignore[call-overload]
    pipe.processor.limits = _limits(path)

    def answer(audio: bytes, **parameters: Any) -> dict[str, Any]:
        return pipe(audio, **parameters).to_dict()

    return answer


def _chords(path: str) -> Answer:
    """Answers with duration, key, chords and key_segments."""
    recognizer, limits = _part(path, "chords_m2e.ChordRecognizer").from_pretrained(path), _limits(path)
    analyze, record = _part(path, "harmony_m2e.analyze_harmony"), _part(path, "record_m2e.TrackHarmony")
    key_segments = _part(path, "key_m2e.key_segments")

    def answer(audio: bytes) -> dict[str, Any]:
        found = analyze(audio, recognizer, limits=limits)
        keys = key_segments(found.chords, found.key)
        return record(None, found.duration, found.key, found.chords, keys, warnings=list(found.warnings)).to_dict()

    return answer


def _embeddings(path: str) -> Answer:
    """Answers with `embeddings`, one per second, and `mean`, their average."""
    import torch

    encoder = AutoModel.from_pretrained(path, trust_remote_code=True).eval()
    load = _part(path, "audio_m2e.load")

    def answer(audio: bytes) -> dict[str, Any]:
        waveform, _ = load(audio, encoder.config.sampling_rate, max_seconds=MAX_SECONDS)
        with torch.no_grad():
            output = encoder(torch.from_numpy(waveform)[None])
        return {"embeddings": output.last_hidden_state[0].tolist(), "mean": output.pooler_output[0].tolist()}

    return answer
