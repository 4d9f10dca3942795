"""Caching of what one pass over a track yields, for training and evaluation.

One ``.npz`` per track, written under a temporary name and renamed: a run that is stopped goes on where it was.
The folder is named by everything the features depend on, so that a changed encoder or chord recogniser never meets
features of another one.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from modeling_m2e import AudioError, ChordSegment, Key, M2EProcessor
from modeling_m2e.processing_m2e import TrackFeatures
from modeling_m2e.windows_m2e import Window


def fingerprint(processor: M2EProcessor) -> str:
    """12 hex digits that change with the encoder, its weights, the window and the chord recogniser."""
    digest = hashlib.sha256(json.dumps(processor.encoder_reference, sort_keys=True).encode())
    digest.update(str(processor.feature_extractor.window_seconds).encode())
    networks = [processor.encoder.model]
    if processor.chord_recognizer is not None:
        networks.append(processor.chord_recognizer.model)
        digest.update(processor.chord_recognizer.decoding.encode())
    for network in networks:
        digest.update(network.config.to_json_string().encode())
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def save_features(track: TrackFeatures, path: Path) -> None:
    """Writes one track; embeddings as float16."""
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        np.savez(
            file,
            path=track.path,
            duration=track.duration,
            embeddings=track.embeddings.numpy().astype(np.float16),
            windows=np.array([[window.start, window.end, window.weight] for window in track.windows]),
            chord_times=np.array([[chord.start, chord.end] for chord in track.chords or []]).reshape(-1, 2),
            chord_labels=np.array([chord.label for chord in track.chords or []], dtype=str),
            key=np.array([] if track.key is None else [track.key.tonic, track.key.mode], dtype=str),
            confidence=0.0 if track.key is None else track.key.confidence,
        )
    os.replace(partial, path)


def load_features(path: Path) -> TrackFeatures:
    """The track that `save_features` wrote."""
    with np.load(path, allow_pickle=False) as data:
        chords = [
            ChordSegment(float(start), float(end), str(label))
            for (start, end), label in zip(data["chord_times"], data["chord_labels"], strict=True)
        ]
        key = Key(*data["key"].tolist(), float(data["confidence"])) if len(data["key"]) else None
        return TrackFeatures(
            path=str(data["path"]),
            duration=float(data["duration"]),
            windows=[Window(*row) for row in data["windows"].tolist()],
            embeddings=torch.from_numpy(data["embeddings"].astype(np.float32)),
            chords=chords,
            key=key,
        )


def cached_features(
    ids: Sequence[str],
    paths: Sequence[Path],
    processor: M2EProcessor,
    folder: str | Path,
    report: Callable[[str], None] = print,
) -> list[TrackFeatures | None]:
    """The features of all tracks, in order; computed where the cache lacks them, None where the audio is bad."""
    folder = Path(folder) / fingerprint(processor)
    folder.mkdir(parents=True, exist_ok=True)
    tracks = []
    for count, (name, path) in enumerate(zip(ids, paths, strict=True), 1):
        cached = folder / f"{name}.npz"
        try:
            if not cached.exists():
                save_features(processor.analyze(path), cached)
            tracks.append(load_features(cached))
        except AudioError as error:
            report(f"skipped: {error}")
            tracks.append(None)
        if count % 50 == 0 or count == len(ids):
            report(f"features {count}/{len(ids)}")
    return tracks
