"""What `benchmarks/paper.py` will do: models, hours, disk, and what exists already."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from datasets import Dataset

from m2e.evaluation import paper_tables as tables
from m2e.features.cache import feature_cache
from m2e.training.network import preset
from m2e.training.recipe import Recipe
from modeling_m2e import M2EForMusicEmotion, M2EProcessor

SPEED = Path(__file__).resolve().parent / "results" / "training.json"
HARMONY_SPEED = 200  # seconds of audio in one second, of decoding, CQT, chords and key
WITHOUT_CHORDS = 0.17  # of the time of a track, by benchmarks/paper_hours.py: the chords' transformer is most of it
CHECKPOINT = 5  # float32 copies of the weights in a checkpoint: weights, best weights, average, two of Adam


def plan(
    recipe: Recipe,
    splits: Mapping[str, Dataset],
    processor: M2EProcessor,
    caches: Mapping[str, Path],
    rows: Sequence[tables.Row],
    todo: Sequence[tuple[tables.Row, int]],
    seeds: Sequence[int],
) -> str:
    """The plan in Markdown. Times are of this machine for features (one window is measured), and scaled from
    `benchmarks/training.py` for training."""
    windows, lines = window_seconds(processor), []
    feature_hours = disk = 0.0
    for name, table in splits.items():
        ids, files, durations = table["id"][:], table["audio"][:], table["duration"][:]
        missing = {job.id for job in feature_cache(caches[name], zip(ids, files, strict=True), processor).jobs()}
        left = sum(seconds or 0.0 for track, seconds in zip(ids, durations, strict=True) if track in missing)
        hours = left / processor.encoder.window_seconds * windows / 3600 + left / HARMONY_SPEED / 3600
        size = left / processor.encoder.window_seconds * processor.encoder.hidden_size * 2 / 1e9
        feature_hours, disk = feature_hours + hours, disk + size
        lines.append(["features", tables.NAMES[name], f"{len(ids):,} tracks, {len(missing):,} to do", f"{hours:.2f}"])
    counts = {name: table["split"][:].count("train") for name, table in splits.items()}
    pending, training_hours = {}, 0.0
    for row, _ in todo:
        pending[row] = pending.get(row, 0) + 1
    for row in rows:
        tracks = sum(counts[name] for name in row.datasets)
        hours = tracks * recipe.training.epochs * track_seconds(recipe, row) / 3600
        number = pending.get(row, 0)
        training_hours += hours * number
        state = f"{tracks:,} tracks, {recipe.training.epochs} epochs, {number} of {len(seeds)} seeds to do"
        lines.append(["model", row.name, state, f"{hours * number:.2f}"])
    disk += len(todo) * CHECKPOINT * weights(recipe, processor) * 4 / 1e9
    total = f"Features {feature_hours:.1f} h, training {training_hours:.1f} h, disk {disk:.1f} GB."
    return "\n\n".join(["## Plan", tables.grid(["step", "", "", "hours"], lines), total])


def window_seconds(processor: M2EProcessor) -> float:
    """That the encoder takes for one window."""
    encoder = processor.encoder
    window = torch.randn(1, round(encoder.window_seconds * encoder.sampling_rate)) * 0.1
    began = time.perf_counter()
    encoder(window)
    return time.perf_counter() - began


def track_seconds(recipe: Recipe, row: tables.Row) -> float:
    """Of training a model on one track, with validation, by the measured run of the recipe that is most alike."""
    runs = json.loads(SPEED.read_text())["runs"]
    alike = "mert-95m-paper" if recipe.model.get("preset") == "paper" else "mert-95m"
    measured = runs[alike]["student"]
    seconds = measured["with_validation_s"] / measured["tracks"]
    return float(seconds * (WITHOUT_CHORDS if row.features == "mert" else 1))


def weights(recipe: Recipe, processor: M2EProcessor) -> int:
    """How many a network of the recipe has."""
    settings = {name: value for name, value in recipe.model.items() if name != "preset"}
    make = preset(recipe.model.get("preset", "default"))
    with torch.device("meta"):
        model = M2EForMusicEmotion(make(embedding_size=processor.encoder.hidden_size, **settings))
    return sum(each.numel() for each in model.parameters())
