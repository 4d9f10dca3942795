"""NAME=VALUE arguments of commands. Light to import."""

import json
from typing import Any

from m2e.errors import UsageError


def name_and_value(text: str) -> tuple[str, Any]:
    """("epochs", 3) of "epochs=3"; a value that is JSON is read as such. Raises UsageError without a name or "="."""
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise UsageError(f"{text} is not NAME=VALUE: give a name, an equals sign and a value.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
