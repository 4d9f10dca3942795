"""Runs exported graphs by ONNX Runtime. Needs the extra `onnx`; neither PyTorch nor a network of m2e is loaded."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from m2e.errors import ModelError
from m2e.export import DESCRIPTION, FOLDER, HALF
from m2e.storage import read_json


class Graphs:
    """The graphs in the folder `onnx` of a model, and their `description`.

    half: those with weights in half precision.  threads: of one graph; 0 = as many as cores.
    Raises: ModelError where there are none.
    """

    def __init__(self, model: Path, half: bool = False, threads: int = 0):
        folder = model / FOLDER
        self.description = read_json(folder / DESCRIPTION, ModelError)
        if not self.description:
            raise ModelError(f"{folder} has no {DESCRIPTION}: write it with m2e export.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._sessions = {
            name: onnxruntime.InferenceSession(folder / f"{name}{HALF if half else ''}.onnx", options)
            for name in self.description["graphs"]
        }

    def encoder(self, waveform: np.ndarray) -> dict[str, np.ndarray]:
        """ "seconds" (n, seconds, width) and "embeddings" (n, width) of windows (n, samples)."""
        return self._run("encoder", waveform=waveform)

    def chords(self, waveform: np.ndarray) -> dict[str, np.ndarray]:
        """ "logits" (frames, classes), "levels" (frames,) and "onsets" (samples // 245,) of a track (samples,)."""
        return self._run("chords", waveform=waveform)

    def model(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of the heads for one track; inputs that they do not have are ignored."""
        return self._run("model", **{name: value for name, value in inputs.items() if name in self._inputs("model")})

    def _inputs(self, graph: str) -> dict[str, Any]:
        return self.description["graphs"][graph]["inputs"]

    def _run(self, graph: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        names = list(self.description["graphs"][graph]["outputs"])
        return dict(zip(names, self._sessions[graph].run(names, inputs), strict=True))
