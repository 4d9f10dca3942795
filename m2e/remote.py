"""Files in remote stores (s3://, gs://, hf://, memory://); names are listed while they are used. Light to import."""

import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from m2e.errors import M2EError, UsageError, reason

OTHERS = ("http", "https", "file")


def is_remote(path: str) -> bool:
    """Whether a path names something in a store, as s3://bucket/song.mp3 does."""
    scheme = re.match(r"([A-Za-z0-9]{2,})://", path)
    return scheme is not None and scheme[1].lower() not in OTHERS


def filesystem(url: str) -> tuple[Any, str]:
    """(the fsspec file system, the path in it) of a URL or of a local path. Raises: UsageError."""
    if not is_remote(url):
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem(auto_mkdir=True), LocalFileSystem._strip_protocol(url)
    from modeling_m2e.remote_m2e import STORES, store_of
    from modeling_m2e.remote_m2e import filesystem as open_store

    if store_of(url) is None:
        raise UsageError(f"{url}: this kind of URL is not read: give http(s) or {', '.join(STORES)}.")
    try:
        return open_store(url)
    except M2EError as error:
        raise UsageError(str(error)) from error


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turns what a store raises in the block into a UsageError that names the URL."""
    try:
        yield
    except M2EError:
        raise
    except Exception as error:  # a store raises errors of its own, of credentials and connections
        why = "no such file or folder" if isinstance(error, FileNotFoundError) else reason(error)[:200]
        raise UsageError(f"{url}: cannot be read ({why}).") from error


def read(url: str) -> bytes:
    """The content of a file. Raises: UsageError."""
    files, path = filesystem(url)
    with explained(url):
        return files.cat_file(path)


def file_size(path: str) -> int | None:
    """The bytes of a local file or of one in a store; None if there is none. Raises: UsageError."""
    if not is_remote(path):
        return os.path.getsize(path) if os.path.isfile(path) else None
    files, where = filesystem(path)
    with explained(path):
        try:
            found = files.info(where)
        except FileNotFoundError:
            return None
    return (found.get("size") or 0) if found["type"] == "file" else None


def is_folder(url: str) -> bool:
    """Whether there are names below a URL. Raises: UsageError, also where there is nothing."""
    files, path = filesystem(url)
    with explained(url):
        return files.info(path)["type"] == "directory"


def is_pattern(url: str) -> bool:
    """Whether a URL is a glob and not the name of a file, which may have the same letters. Raises: UsageError."""
    files, path = filesystem(url)
    with explained(url):
        return glob.has_magic(path) and not files.exists(path)


def listing(url: str) -> Iterator[str]:
    """The URLs of all files that lie below a URL or match it; the next ones are asked for when these are used.

    S3 gives a thousand names at a time, other stores a folder at a time. Raises: UsageError.
    """
    files, path = filesystem(url)
    scheme, matches = url.partition("://")[0], None
    if is_pattern(url):
        from fsspec.utils import glob_translate

        matches = re.compile(glob_translate(path)).match
        path = path[: re.search(r"[*?[]", path).start()].rpartition("/")[0]  # type: ignore[union-attr]
    with explained(url):
        for name in _pages(files, path) if hasattr(files, "call_s3") else _folders(files, path):
            if matches is None or matches(name):
                yield f"{scheme}://{name.lstrip('/')}"


def _pages(files: Any, path: str) -> Iterator[str]:
    bucket, prefix, _ = files.split_path(path)
    more = {"Prefix": f"{prefix.rstrip('/')}/"} if prefix else {}
    while True:
        page = files.call_s3("list_objects_v2", Bucket=bucket, **more)
        for found in page.get("Contents", ()):
            if not found["Key"].endswith("/"):  # some tools make such objects to stand for folders
                yield f"{bucket}/{found['Key']}"
        if not page.get("IsTruncated"):
            return
        more["ContinuationToken"] = page["NextContinuationToken"]


def _folders(files: Any, path: str) -> Iterator[str]:
    for where, folders, names in files.walk(path, on_error="raise"):
        folders.sort()
        for name in sorted(names):
            yield f"{where.rstrip('/')}/{name}"
