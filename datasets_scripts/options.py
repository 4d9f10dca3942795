"""NAME=VALUE, as commands take what has names of its own. Light to import."""

import json
from typing import Any


def name_and_value(text: str) -> tuple[str, Any]:
    """("epochs", 3) of "epochs=3"; a value that is JSON is read as such. Raises ValueError for anything else."""
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise ValueError(f"{text} is not NAME=VALUE.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
