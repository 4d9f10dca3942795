"""Copies a file of a remote store (s3://, gs://, hf://, ...) within a bound of size, by fsspec."""

import os
import re
from pathlib import Path
from typing import Any

from .errors_m2e import AudioError, reason

# Schemes of object stores, and of fsspec's own store in memory. Not those of local files or of other protocols: a
# server may pass on what a stranger wrote.
STORES = ("s3", "s3a", "gs", "gcs", "hf", "az", "abfs", "abfss", "memory")
MAX_BYTES = 2 << 30
INSTALL = 'install it with pip install "m2e[remote]"'


def store_of(path: str) -> str | None:
    """The scheme of a remote store that a path begins with, None for all other paths."""
    scheme = re.match(r"([A-Za-z0-9]+)://", path)
    return scheme[1].lower() if scheme and scheme[1].lower() in STORES else None


def filesystem(url: str) -> tuple[Any, str]:
    """(the fsspec file system, the path in it) of a URL. It caches no listings, which would grow with the names.

    Raises: AudioError where its package is missing.
    """
    import fsspec

    store = store_of(url)
    try:
        files = fsspec.filesystem(store, use_listings_cache=False)
    except ImportError as error:
        raise AudioError(f"{url}: {store}:// needs a package ({reason(error)}); {INSTALL}.") from error
    return files, files._strip_protocol(url)


def fetch(url: str, path: Path, name: str | None = None, max_bytes: int | None = None) -> None:
    """Writes the content of a file in a remote store to `path`.

    name: what errors call it.  max_bytes: bound; None = MAX_BYTES.  Raises: AudioError.
    """
    name, limit = name or url, MAX_BYTES if max_bytes is None else max_bytes
    try:
        files, where = filesystem(url)
        found = files.info(where)
        if found["type"] == "directory":
            raise AudioError(f"{name}: is a folder; give the audio files in it.")
        if (found.get("size") or 0) <= limit:
            files.get_file(where, os.fspath(path))
        if max(found.get("size") or 0, path.stat().st_size if path.exists() else 0) > limit:
            raise AudioError(f"{name}: is larger than {limit / 2**20:g} MiB; download it and give its path.")
    except AudioError:
        raise
    except FileNotFoundError as error:
        raise AudioError(f"{name}: no such file.") from error
    except Exception as error:  # a store raises errors of its own, of credentials and connections
        raise AudioError(f"{name}: cannot be downloaded ({reason(error)[:200]}).") from error
