"""Files and folders that appear whole or not at all, and the JSON objects in files."""

import json
import os
import tempfile
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


def write_folder(folder: Path, write: Callable[[Path], object], replace: bool = True) -> None:
    """Lets `write` make a folder beside `folder`, which then takes its place.

    replace: False keeps a folder that another process makes meanwhile; with True the new one takes its place.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as work:
        made = Path(work) / folder.name
        write(made)
        if replace and folder.is_dir():
            folder.rename(Path(work) / "old")
        try:
            made.rename(folder)
        except OSError:
            if replace or not folder.is_dir():
                raise


def read_json(path: Path, error: type[M2EError] = M2EError) -> dict[str, Any]:
    """The object in a JSON file; empty if the file does not exist. Raises `error` for any other content."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as cause:  # RecursionError: nested too deeply
        raise error(f"{path} is damaged ({reason(cause)}): replace or delete it.") from cause
    if not isinstance(content, dict):
        raise error(f"{path} does not hold a JSON object: replace or delete it.")
    return content
