"""The rows of a page, from a library's database or from a file of records."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m2e.errors import UsageError, reason

if TYPE_CHECKING:
    from m2e.library.database import Library

Row = dict[str, Any]


def library_rows(library: "Library") -> Iterator[Row]:
    """A row per track whose file is there, then one per file that failed."""
    for track in library.tracks():
        tags = track.tags
        yield row_of(track.values) | {
            "title": tags.title,
            "artist": tags.artist,
            "album": tags.album,
            "year": tags.year,
        }
    for path, sentence in library.failures():
        yield {"path": path, "error": sentence}


def record_rows(file: Path) -> Iterator[Row]:
    """A row per record in a JSON Lines or JSON file of `m2e predict`. Raises: UsageError."""
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or reason(error)}.") from error
    try:
        records = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in _lines(text)]
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} holds no records ({reason(error)}): give JSON Lines of m2e predict.") from error
    for number, record in enumerate(records, 1):
        try:
            yield row_of(record)
        except (AttributeError, KeyError, TypeError) as error:
            raise UsageError(f"{file}: record {number} is none of m2e predict: make the file again.") from error


def row_of(values: Mapping[str, Any]) -> Row:
    """The row of the plain values of a record."""
    if values["error"] is not None:
        return {"path": values["path"], "error": values["error"]}
    names = ("path", "duration", "valence", "arousal", "key", "tempo", "attributes", "model", "warnings")
    return {name: values.get(name) for name in names} | {"moods": list(values["selected_moods"])}


def _lines(text: str) -> Iterable[str]:
    return (line for line in text.split("\n") if line.strip())
