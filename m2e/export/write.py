"""Writes the graphs of a model into its folder `onnx`, and a description of them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from m2e.errors import ModelError, UsageError
from m2e.export import DESCRIPTION, FOLDER, HALF
from m2e.export.describe import description
from m2e.export.graphs import ChordGraph, EncoderGraph, Graph, HeadsGraph
from m2e.storage import write_folder, write_text
from modeling_m2e.encoder_carried_m2e import DistilledEncoder

if TYPE_CHECKING:
    from modeling_m2e import MusicEmotionPipeline


def export(pipe: "MusicEmotionPipeline", out: Path) -> list[Path]:
    """Writes OUT/onnx, which takes the place of an earlier one; returns its files.

    Raises: ModelError for a model that cannot be exported, UsageError where a library is missing.
    """
    parts = graphs(pipe)
    try:
        from m2e.export.convert import to_onnx, with_half_weights
    except ImportError as error:
        raise UsageError(f'm2e export needs {error.name}: install it with pip install "m2e[onnx]".') from error

    def write(folder: Path) -> None:
        folder.mkdir()
        for part in parts:
            model = to_onnx(part)
            (folder / f"{part.name}.onnx").write_bytes(model.SerializeToString())
            half = with_half_weights(model, part.filters())
            (folder / f"{part.name}{HALF}.onnx").write_bytes(half.SerializeToString())
        write_text(folder / DESCRIPTION, json.dumps(description(pipe, parts), ensure_ascii=False) + "\n")

    write_folder(out / FOLDER, write)
    return sorted((out / FOLDER).iterdir())


def graphs(pipe: "MusicEmotionPipeline") -> list[Graph]:
    """The networks of a model: encoder, chords where it has them, heads. Raises ModelError for other encoders."""
    encoder = pipe.processor.encoder
    if not isinstance(encoder, DistilledEncoder):
        raise ModelError(
            f"{pipe.name or 'The model'} cannot be exported: its encoder is of type {encoder.reference()['type']!r}; "
            f"give a model whose encoder is of type {DistilledEncoder.kind!r}."
        )
    recognizer = pipe.processor.chord_recognizer
    found: list[Graph] = [EncoderGraph(encoder.model)]
    if recognizer is not None:
        found.append(ChordGraph(recognizer.model, overlap=recognizer.decoding != "paper"))
    return [*found, HeadsGraph(pipe.model)]
