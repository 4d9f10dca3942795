"""Files that are written whole or not at all, and JSON objects in files."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from m2e.errors import M2EError, reason


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """`write` gets a temporary path; its file then replaces `path`. If the process is killed, the old file remains."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    write(partial)
    os.replace(partial, path)


def write_text(path: Path, text: str) -> None:
    """Writes text in UTF-8 with `write_whole`."""
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def read_json(path: Path, error: type[M2EError] = M2EError) -> dict[str, Any]:
    """The object in a JSON file; empty if the file does not exist. Raises `error` if the file is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as cause:
        raise error(f"{path} is damaged ({reason(cause)}): replace or delete it.") from cause
    return content if isinstance(content, dict) else {}
