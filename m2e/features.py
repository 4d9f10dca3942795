"""Caching of what a pass over a track yields, for training and evaluation.

Embeddings and harmony are cached apart, one ``.npz`` per track, each in a folder named by everything that it depends
on: another chord recogniser does not cost another run of the encoder, and nothing stale is ever met. Files are written
under a temporary name and renamed: a run that is stopped goes on where it was.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from modeling_m2e import AudioError, ChordSegment, Key, M2EProcessor
from modeling_m2e.processing_m2e import TrackFeatures
from modeling_m2e.windows_m2e import Window


def _fingerprint(network: torch.nn.Module, *settings) -> str:
    """12 hex digits of a network's configuration and weights, and of settings (JSON-able)."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(network.config.to_json_string().encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def encoder_fingerprint(processor: M2EProcessor) -> str:
    """12 hex digits that change with the encoder, its weights and the window."""
    window = processor.feature_extractor.window_seconds
    return _fingerprint(processor.encoder.model, processor.encoder_reference, window)


def harmony_fingerprint(processor: M2EProcessor) -> str:
    """12 hex digits that change with the chord recogniser, its weights and its decoding."""
    return _fingerprint(processor.chord_recognizer.model, processor.chord_recognizer.decoding)


def cached_features(
    ids: Sequence[str],
    paths: Sequence[Path],
    processor: M2EProcessor,
    folder: str | Path,
    report: Callable[[str], None] = print,
) -> list[TrackFeatures | None]:
    """The features of all tracks, in order; computed where the cache lacks them, None where the audio is bad."""
    embedded = Path(folder) / f"embeddings-{encoder_fingerprint(processor)}"
    harmony = Path(folder) / f"harmony-{harmony_fingerprint(processor)}"
    for cache in (embedded, harmony):
        cache.mkdir(parents=True, exist_ok=True)
    tracks: list[TrackFeatures | None] = []
    for count, (name, path) in enumerate(zip(ids, paths, strict=True), 1):
        try:
            track = _embeddings(embedded / f"{name}.npz", path, processor)
            tracks.append(_with_harmony(harmony / f"{name}.npz", path, track, processor))
        except AudioError as error:
            report(f"skipped: {error}")
            tracks.append(None)
        if count % 50 == 0 or count == len(ids):
            report(f"features {count}/{len(ids)}")
    return tracks


def _embeddings(cached: Path, path: Path, processor: M2EProcessor) -> TrackFeatures:
    if not cached.exists():
        track = processor.analyze(path, harmony=False)
        windows = [[window.start, window.end, window.weight] for window in track.windows]
        _write(cached, embeddings=track.embeddings.numpy().astype(np.float16), windows=np.array(windows))
    with np.load(cached, allow_pickle=False) as data:
        windows = [Window(*row) for row in data["windows"].tolist()]
        embeddings = torch.from_numpy(data["embeddings"].astype(np.float32))
    return TrackFeatures(str(path), windows[-1].end, windows, embeddings, chords=None, key=None)


def _with_harmony(cached: Path, path: Path, track: TrackFeatures, processor: M2EProcessor) -> TrackFeatures:
    if not cached.exists():
        chords, key = processor.hear_harmony(path)
        _write(
            cached,
            times=np.array([[chord.start, chord.end] for chord in chords]).reshape(-1, 2),
            labels=np.array([chord.label for chord in chords], dtype=str),
            key=np.array([] if key is None else [key.tonic, key.mode], dtype=str),
            confidence=0.0 if key is None else key.confidence,
        )
    with np.load(cached, allow_pickle=False) as data:
        rows = zip(data["times"].tolist(), data["labels"].tolist(), strict=True)
        chords = [ChordSegment(start, end, label) for (start, end), label in rows]
        key = Key(*data["key"].tolist(), float(data["confidence"])) if len(data["key"]) else None
    return replace(track, chords=chords, key=key)


def _write(path: Path, **arrays) -> None:
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        np.savez(file, **arrays)
    os.replace(partial, path)
