"""Records as rows of an Arrow table whose types never depend on the values.

A column that is null in a whole table keeps its type, so that all tables of a run read back as one.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from modeling_m2e.record_m2e import FailedTrack, MusicEmotion


def _structs(**types: pa.DataType) -> pa.DataType:
    return pa.list_(pa.struct(list(types.items())))


_TIME = pa.float64()  # seconds
# those of modeling_m2e.descriptors_m2e, whose package would import torch
ATTRIBUTES = ("energy", "danceability", "acousticness", "instrumentalness", "liveness", "speechiness")
RECORD_SCHEMA = pa.schema(
    {
        "path": pa.string(),
        "duration": _TIME,
        "valence": pa.float64(),
        "arousal": pa.float64(),
        "quadrant": pa.string(),
        "moods": _structs(label=pa.string(), score=pa.float64()),
        "selected_moods": pa.list_(pa.string()),
        "key": pa.struct({"tonic": pa.string(), "mode": pa.string(), "confidence": pa.float64()}),
        "chords": _structs(start=_TIME, end=_TIME, label=pa.string(), confidence=pa.float64()),
        "key_segments": _structs(start=_TIME, end=_TIME, key=pa.string(), confidence=pa.float64()),
        "curve": _structs(start=_TIME, end=_TIME, valence=pa.float64(), arousal=pa.float64()),
        "model": pa.string(),
        "error": pa.string(),
        "seconds_used": _TIME,
        "warnings": pa.list_(pa.string()),
        "summary": pa.string(),
        "quadrant_scores": pa.struct({f"Q{number}": pa.float64() for number in range(1, 5)}),
        "between": pa.list_(pa.string()),
        "segments": _structs(
            start=_TIME, end=_TIME, valence=pa.float64(), arousal=pa.float64(), moods=pa.list_(pa.string())
        ),
        "highlight": pa.struct({"start": _TIME, "end": _TIME}),
        "valence_interval": pa.list_(pa.float64()),
        "arousal_interval": pa.list_(pa.float64()),
        "valence_percentile": pa.float64(),
        "arousal_percentile": pa.float64(),
        "confidence": pa.float64(),
        "music": pa.float64(),
        "attributes": pa.struct({name: pa.float64() for name in ATTRIBUTES}),
        "tempo": pa.float64(),
    }
)
EMBEDDING = "embedding"


def record_schema(embedding_size: int | None = None) -> pa.Schema:
    """`RECORD_SCHEMA`; with the width of an embedding also the column "embedding", a list of so many float32."""
    if embedding_size is None:
        return RECORD_SCHEMA
    return RECORD_SCHEMA.append(pa.field(EMBEDDING, pa.list_(pa.float32(), embedding_size)))


def in_files(schema: pa.Schema) -> pa.Schema:
    """The schema as Parquet files hold it: lists of fixed size become lists.

    pyarrow before 26 cannot read a file with lists of fixed size if one of them is null; Spark reads none at all.
    """
    fields = [
        field.with_type(pa.list_(field.type.value_type)) if pa.types.is_fixed_size_list(field.type) else field
        for field in schema
    ]
    return pa.schema(fields, schema.metadata)


def to_table(records: "Iterable[MusicEmotion | FailedTrack]", schema: pa.Schema = RECORD_SCHEMA) -> pa.Table:
    """The rows of records, with the values that their JSON has; a failed track has only path, model and error."""
    return pa.Table.from_pylist([_row(record, schema) for record in records], schema)


def _row(record: "MusicEmotion | FailedTrack", schema: pa.Schema) -> dict[str, Any]:
    row = {name: text(value) if isinstance(value, str) else value for name, value in record.items()}
    if record.error is None:
        row["warnings"] = [text(warning) for warning in record.warnings]  # a mapping leaves an empty list out
    if EMBEDDING in schema.names:
        row[EMBEDDING] = record.embedding
    return row


def text(value: str) -> str:
    """The string in valid Unicode: undecodable bytes of a file name become \\udcff, as in JSON."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")
