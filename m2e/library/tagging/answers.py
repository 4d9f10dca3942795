"""Records that are known already, from a file of records or the library's database, without a prediction."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from m2e.errors import UsageError, reason
from m2e.inputs import identity
from m2e.library.database import Library, default_path

Values = Mapping[str, Any]  # of a record, plain


def known_answers(paths: Iterable[str], records: str | None = None, database: str | None = None) -> dict[str, Values]:
    """{identity of a file: the values of its record}, from a file of records, else from the library.

    Without either, from the user's library if there is one. Raises UsageError and LibraryError.
    """
    answers = {} if records is None else read_records(records)
    if database is None and (records is not None or not os.path.exists(default_path())):
        return answers
    with Library.open(database or default_path()) as library:
        for path in paths:
            name = identity(path)
            if name not in answers and (track := library.find(name)) is not None:
                answers[name] = track.values
    return answers


def read_records(path: str) -> dict[str, Values]:
    """{identity of a track: the values of its record} in JSON Lines or a JSON list, as `m2e predict` writes them.

    Relative paths count from the current folder or, if there is no such file, from the folder of the records. Records
    of failed tracks are left out. Raises UsageError, which names the line.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as records: {reason(error)}.") from error
    found: dict[str, Values] = {}
    for number, values in _parsed(path, text):
        if not isinstance(values, dict) or not {"path", "error", "selected_moods", "valence"} <= values.keys():
            raise UsageError(f"{path}, record {number}: this is no record; give the output of m2e predict.")
        if values["error"] is None and isinstance(values["path"], str):
            found[_identity(values["path"], path)] = values
    return found


def _parsed(path: str, text: str) -> list[tuple[int, Any]]:
    """The records in a text, numbered from 1."""
    lines = [text] if text.lstrip().startswith("[") else [line for line in text.split("\n") if line.strip()]
    parsed: list[Any] = []
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}, record {len(parsed) + 1}: this is no JSON ({reason(error)}).") from error
        parsed += value if isinstance(value, list) else [value]
    return list(enumerate(parsed, 1))


def _identity(name: str, records: str) -> str:
    beside = os.path.join(os.path.dirname(records), name)
    return identity(beside if not os.path.exists(name) and os.path.exists(beside) else name)
