"""What the demo does with a file: download it, predict its record, outline its waveform."""

import os
import re
import shutil
import tempfile
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from m2e.checkpoints.load import load
from m2e.errors import AudioError, ModelError, UsageError
from m2e.inputs import Source
from m2e.workers import predict_one
from modeling_m2e import MusicEmotion, MusicEmotionPipeline
from modeling_m2e.audio_m2e import stream
from modeling_m2e.download_m2e import download as fetch
from modeling_m2e.limits_m2e import Limits
from modeling_m2e.record_m2e import FailedTrack

P = ParamSpec("P")
R = TypeVar("R")

OUTLINE_RATE, OUTLINE_PEAKS = 8000, 100  # Hz of the decoded audio; peaks per second, before they are joined
OUTLINE_BINS = 240  # peaks of a whole track
MODELS_AT_ONCE = 3  # in memory
KEPT_SECONDS = 1800.0  # after which the server deletes uploads and downloads
MAX_SECONDS = 900.0  # of a track
MAX_ANALYSIS_SECONDS = 600.0  # a file that makes a decoder hang must not close the queue
OPENING = "moonlight_sonata.ogg"  # of the examples
EXAMPLE_WINDOW = 5.0  # seconds; the examples are too short for a curve of longer windows
GPU_SECONDS = 60  # that a Space with ZeroGPU asks for; fewer come sooner in its queue
ZERO_GPU = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")  # a GPU in decorated functions only


def on_gpu(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which gets a GPU for its time where the demo runs on a Space with ZeroGPU."""
    if not ZERO_GPU:
        return function
    try:
        import spaces
    except ImportError:  # not on Hugging Face
        return function
    return spaces.GPU(duration=GPU_SECONDS)(function)


@dataclass(frozen=True)
class Track:
    """A track on the page: its record, the file to play, and the outline of its waveform (0-1).

    opening: it was there when the page opened, and leaves when a visitor adds another.
    """

    record: MusicEmotion
    file: str
    outline: Sequence[float]
    opening: bool = False


def pipeline(model: str, window: float | None = None, harmony: bool = True) -> MusicEmotionPipeline:
    """The model of that name or folder, loaded once per setting; window: seconds, 0 or None as trained.

    Raises: ModelError.
    """
    if not model:
        raise ModelError("No model is given: give a folder or a hub id.")
    return _loaded(model, window or None, harmony)


@lru_cache(maxsize=MODELS_AT_ONCE)
def _loaded(model: str, window: float | None, harmony: bool) -> MusicEmotionPipeline:
    # lru_cache takes f(a) and f(a, None) for two calls, so all arguments are given here
    return load(
        model,
        window=window,
        harmony=harmony,
        key_segments=True,
        max_duration=MAX_SECONDS,
        timeout=MAX_ANALYSIS_SECONDS,
        device="cuda" if ZERO_GPU else "auto",  # which ZeroGPU emulates until a function has its GPU
    )


Pipe = Callable[[str], MusicEmotion]  # what a MusicEmotionPipeline is for a file


def record_of(pipe: Pipe, file: str, name: str | None = None) -> MusicEmotion | FailedTrack:
    """The record of a file, failed or not, with the name of the file instead of its path on the server."""
    name = name or os.path.basename(file)
    record = predict_one(pipe, Source(file))
    record.path = name
    if record.error is not None:
        record.error = record.error.replace(file, name)
    return record


@on_gpu
def predict(
    model: str, file: str, name: str | None = None, window: float | None = None, harmony: bool = True
) -> MusicEmotion | FailedTrack:
    """The record of a file by the model of that name or folder; see `pipeline` and `record_of`. Raises: ModelError."""
    return record_of(pipeline(model, window, harmony), file, name)


def analyze(model: str, file: str, name: str | None = None, window: float | None = None, harmony: bool = True) -> Track:
    """The track of a file. Raises: ModelError; AudioError, with the sentence of its record."""
    record = predict(model, file, name, window, harmony)
    if record.error is not None:
        raise AudioError(record.error)
    return Track(record, file, outline(file))


def examples() -> list[Path]:
    """The clips that ship with the page; the one that it opens on comes first."""
    clips = sorted(Path(str(files("m2e.space") / "examples")).glob("*.ogg"))
    return sorted(clips, key=lambda clip: clip.name != OPENING)


def opening(model: str) -> Track:
    """The track that the page opens on. Raises: ModelError."""
    clip = str(examples()[0])
    record = record_of(pipeline(model, EXAMPLE_WINDOW), clip)  # not `predict`: nobody has asked for a GPU yet
    if record.error is not None:
        raise ModelError(f"{model} cannot analyse an example ({record.error}): choose another model.")
    return Track(record, clip, outline(clip), opening=True)


def download(link: str, folder: str) -> str:
    """The downloaded file of an http(s) link, in a new folder of `folder`. Links into the server's network are refused.

    Raises: UsageError.
    """
    if not link.lower().startswith(("http://", "https://")):
        raise UsageError(f"{link}: is not a link: give one that begins with https:// or http://.")
    name = os.path.basename(urllib.parse.unquote(urllib.parse.urlsplit(link).path))
    name = re.sub(r"[^\w.-]", "_", name)[-100:].lstrip(".") or "audio"
    path = os.path.join(temporary_folder(folder), name)
    try:
        fetch(link, Path(path), public_only=True)
    except AudioError as error:
        raise UsageError(str(error)) from error
    return path


def temporary_folder(parent: str, seconds: float = KEPT_SECONDS) -> str:
    """A new folder in `parent`, which is deleted after `seconds`."""
    os.makedirs(parent, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="m2e-", dir=parent)
    timer = threading.Timer(seconds, shutil.rmtree, (folder, True))
    timer.daemon = True
    timer.start()
    return folder


def outline(file: str, bins: int = OUTLINE_BINS) -> list[float]:
    """At most `bins` peaks of the waveform from start to end; the highest is 1."""
    size = OUTLINE_RATE // OUTLINE_PEAKS
    blocks: list[np.ndarray] = []
    rest = np.zeros(0, np.float32)
    for block in stream(file, [OUTLINE_RATE], limits=Limits(MAX_SECONDS, MAX_ANALYSIS_SECONDS)):
        samples = np.abs(np.concatenate([rest, block[OUTLINE_RATE]]))
        whole = len(samples) // size * size
        blocks.append(samples[:whole].reshape(-1, size).max(axis=1))
        rest = samples[whole:]
    peaks = np.concatenate(blocks)
    edges = np.linspace(0, len(peaks), min(bins, len(peaks)) + 1).astype(int)
    joined = [float(peaks[a:b].max()) for a, b in pairwise(edges)]
    loudest = max(joined, default=0.0) or 1.0
    return [round(peak / loudest, 3) for peak in joined]
