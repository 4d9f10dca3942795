"""What the demo does with music: fetch a link, predict its record, outline its waveform."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from gradio.processing_utils import ssrf_protected_download

from m2e.checkpoints.load import load
from m2e.errors import AudioError, ModelError, UsageError, reason
from m2e.inputs import Source
from m2e.workers import predict_one
from modeling_m2e import MusicEmotion, MusicEmotionPipeline
from modeling_m2e.audio_m2e import stream

OUTLINE_RATE, OUTLINE_PEAKS = 8000, 100  # Hz of the audio that is outlined; peaks per second, before they are joined
OUTLINE_BINS = 360  # of a whole track
MODELS_AT_ONCE = 2  # kept in memory


@dataclass(frozen=True)
class Track:
    """A track on show: its record, the file to play, and the outline of its waveform (0-1)."""

    record: MusicEmotion
    file: str
    outline: Sequence[float]


@lru_cache(maxsize=MODELS_AT_ONCE)
def pipeline(model: str, window: float | None = None, harmony: bool = True) -> MusicEmotionPipeline:
    """The model of that name or folder, loaded once. Raises: ModelError."""
    if not model:
        raise ModelError("No model is named: give a folder or a hub id.")
    return load(model, window=window, harmony=harmony, key_segments=True)


def record_of(pipe: MusicEmotionPipeline, file: str, name: str | None = None) -> MusicEmotion:
    """The record of a file, failed or not, that calls it by its name instead of its place on the server."""
    name = name or os.path.basename(file)
    record = predict_one(pipe, Source(file))
    record.path = name
    if record.error is not None:
        record.error = record.error.replace(file, name)
    return record


def hear(pipe: MusicEmotionPipeline, file: str, name: str | None = None) -> Track:
    """A file's track. Raises: AudioError, with the sentence of its record."""
    record = record_of(pipe, file, name)
    if record.error is not None:
        raise AudioError(record.error)
    return Track(record, file, outline(file))


def download(link: str, folder: str) -> str:
    """The file of an http(s) link, in `folder`; links into the server's own network are refused. Raises: UsageError."""
    if not link.lower().startswith(("http://", "https://")):
        raise UsageError(f"{link}: is no link; it begins with https:// or http://.")
    try:
        return ssrf_protected_download(link, folder)
    except Exception as error:  # of the address, the network or the server
        raise UsageError(f"{link}: cannot be downloaded ({reason(error)}).") from error


def outline(file: str, bins: int = OUTLINE_BINS) -> list[float]:
    """At most `bins` peaks of the waveform from begin to end, the highest 1."""
    size = OUTLINE_RATE // OUTLINE_PEAKS
    peaks, rest = [], np.zeros(0, np.float32)
    for block in stream(file, [OUTLINE_RATE]):
        samples = np.abs(np.concatenate([rest, block[OUTLINE_RATE]]))
        whole = len(samples) // size * size
        peaks.append(samples[:whole].reshape(-1, size).max(axis=1))
        rest = samples[whole:]
    peaks = np.concatenate(peaks)
    edges = np.linspace(0, len(peaks), min(bins, len(peaks)) + 1).astype(int)
    joined = [float(peaks[a:b].max()) for a, b in pairwise(edges)]
    loudest = max(joined, default=0.0) or 1.0
    return [round(peak / loudest, 3) for peak in joined]
