"""Parquet files of records, on disk or in a store: how work is split, files that appear whole, many made one."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from m2e.batch.schema import in_files, text
from m2e.errors import UsageError, first_line, reason
from m2e.remote import explained, filesystem, is_remote

SETTINGS = b"m2e"  # key of the metadata of a file: what its records were made with, as JSON
SUCCESS = "_SUCCESS"  # the file that says that a folder of parts is complete
PARTIAL = ".partial"
GROUP = 1024  # rows of a row group
_SHARD = re.compile(r"shard-(\d+)-of-(\d+)\.parquet")


# --- the split ---


def digest(path: str) -> int:
    """64 bits that depend on the name of a track and on nothing else."""
    return int.from_bytes(hashlib.blake2b(text(path).encode("utf-8"), digest_size=8).digest(), "little")


def in_shard(path: str, index: int, count: int) -> bool:
    """Whether a track belongs to the shard `index`, 1 to `count`."""
    return digest(path) % count == index - 1


def shard_name(index: int, count: int) -> str:
    return f"shard-{index:05d}-of-{count:05d}.parquet"


class Known:
    """The names of tracks as their sorted digests: 8 bytes each."""

    def __init__(self, digests: np.ndarray):
        self._digests = np.unique(digests.astype(np.uint64))

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, path: str) -> bool:
        wanted = np.uint64(digest(path))
        at = int(np.searchsorted(self._digests, wanted))
        return at < len(self._digests) and bool(self._digests[at] == wanted)


# --- files ---


class Folder:
    """A folder of Parquet files, local or in a store. Methods raise UsageError if one cannot be read or written."""

    def __init__(self, url: str):
        self.url = url.rstrip("/") or url
        self.files, path = filesystem(url)
        self.path = path.rstrip("/")

    def names(self, inner: str = "") -> list[str]:
        """The names of the Parquet files in it, or in a folder in it; sorted."""
        with explained(self.url):
            try:
                self.files.invalidate_cache()
                found = self.files.ls(f"{self.path}/{inner}".rstrip("/"), detail=False)
            except FileNotFoundError:
                return []
        names = sorted(os.path.basename(path) for path in found)
        return [f"{inner}/{name}".lstrip("/") for name in names if name.endswith(".parquet") and name[0] not in "._"]

    def exists(self, name: str) -> bool:
        with explained(self.url):
            return self.files.exists(f"{self.path}/{name}")

    def write(self, name: str, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
        """Writes a file, which is there with all rows or not at all."""
        path = f"{self.path}/{name}"
        try:
            if not is_remote(self.url):
                partial = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}{PARTIAL}")
                os.makedirs(os.path.dirname(path), exist_ok=True)
                try:
                    _write(partial, tables, schema)
                    os.replace(partial, path)
                finally:
                    if os.path.exists(partial):
                        os.remove(partial)
                return
            with tempfile.TemporaryDirectory(prefix="m2e-") as folder:
                _write(os.path.join(folder, "rows"), tables, schema)
                self.files.put_file(os.path.join(folder, "rows"), path)
        except UsageError:
            raise
        except Exception as error:  # a store raises errors of its own
            raise UsageError(f"{self.url}/{name} cannot be written: {_why(error)}.") from error

    def touch(self, name: str) -> None:
        """Writes an empty file."""
        with explained(self.url):
            self.files.pipe_file(f"{self.path}/{name}", b"")

    def remove(self, name: str) -> None:
        """Removes a file, or a folder with all in it, if it is there."""
        with explained(self.url):
            try:
                self.files.rm(f"{self.path}/{name}", recursive=True)
            except FileNotFoundError:
                pass

    def sweep(self, start: str) -> None:
        """Removes what killed writers of files with this start of their names have left."""
        with explained(self.url):
            local = not is_remote(self.url) and self.files.isdir(self.path)
            for path in self.files.ls(self.path, detail=False) if local else ():
                name = os.path.basename(path)
                if name.startswith(f".{start}") and name.endswith(PARTIAL):
                    self.files.rm(path)

    def rows(self, name: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The rows of a file, some at a time."""
        with self._reading(name), self.files.open(f"{self.path}/{name}", "rb") as file:
            for batch in pq.ParquetFile(file).iter_batches(GROUP, columns=columns):
                yield pa.Table.from_batches([batch])

    def schema(self, name: str) -> pa.Schema:
        """The schema of a file, with the settings of its records."""
        with self._reading(name), self.files.open(f"{self.path}/{name}", "rb") as file:
            return pq.read_schema(file)

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        with explained(f"{self.url}/{name}"):
            try:
                yield
            except pa.ArrowException as error:
                raise UsageError(f"{self.url}/{name} is damaged ({reason(error)[:200]}): delete it.") from error

    def check(self, names: Iterable[str], schema: pa.Schema) -> None:
        """Raises UsageError if one of the files was made with other settings than those of `schema`."""
        for name in names:
            if (self.schema(name).metadata or {}).get(SETTINGS) != schema.metadata[SETTINGS]:
                raise UsageError(
                    f"{self.url}/{name} holds records of another model or other options: give another -o DIR."
                )

    def known(self, names: Iterable[str], failed: bool = True) -> Known:
        """The tracks in the files; with failed=False, those without an error."""
        digests = [_digests(self.rows(name, ["path", "error"]), failed) for name in names]
        return Known(np.concatenate([np.zeros(0, np.uint64), *digests]))


def _write(path: str, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    schema = in_files(schema)
    waiting: list[pa.Table] = []
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for table in tables:
            waiting.append(table)
            if sum(map(len, waiting)) >= GROUP:
                file.write_table(pa.concat_tables(waiting).cast(schema))
                waiting.clear()
        if waiting:
            file.write_table(pa.concat_tables(waiting).cast(schema))


def _why(error: Exception) -> str:
    return (getattr(error, "strerror", None) or first_line(error)).rstrip(".")[:200]


def _digests(tables: Iterable[pa.Table], failed: bool = True) -> np.ndarray:
    return np.array(
        [
            digest(path or "")
            for table in tables
            for path, error in zip(table.column("path").to_pylist(), table.column("error").to_pylist(), strict=True)
            if failed or error is None
        ],
        np.uint64,
    )


def with_settings(schema: pa.Schema, settings: Mapping[str, Any]) -> pa.Schema:
    """The schema of files whose records were made with these settings."""
    return schema.with_metadata({SETTINGS: json.dumps(dict(settings), sort_keys=True).encode()})


# --- one file that grows ---


class Shard:
    """A Parquet file that is written block by block and appears whole.

    The blocks lie in the hidden folder .NAME.blocks beside it until `finish`, so that a killed run loses one at most.
    """

    def __init__(self, folder: Folder, name: str, schema: pa.Schema):
        self.folder, self.name, self.schema = folder, name, schema
        self.blocks = f".{name}.blocks"

    def parts(self) -> list[str]:
        """The file, if it is there, and the blocks of an unfinished run."""
        return [self.name] * self.folder.exists(self.name) + self.folder.names(self.blocks)

    def known(self) -> Known:
        """The tracks that need not be predicted again. Raises: UsageError."""
        self.folder.check(self.parts(), self.schema)
        return self.folder.known(self.parts(), failed=False)

    def add(self, table: pa.Table) -> None:
        last = max(self.folder.names(self.blocks), default=f"{self.blocks}/-1.parquet")
        number = 1 + int(os.path.basename(last).removesuffix(".parquet"))
        self.folder.write(f"{self.blocks}/{number:08d}.parquet", [table], self.schema)

    def finish(self) -> None:
        """Makes the file of what was there and the blocks."""
        parts = self.parts()
        if parts != [self.name]:
            self.folder.write(self.name, once(self.folder, parts), self.schema)
            self.folder.remove(self.blocks)
            self.folder.sweep(self.name)


def once(folder: Folder, names: list[str]) -> Iterator[pa.Table]:
    """The rows of the files, one for each track: the first without an error, or else the last."""
    digests = [_digests(folder.rows(name, ["path", "error"])) for name in names]
    failed = [column.is_valid().to_numpy() for name in names for column in _columns(folder, name, "error")]
    tracks, errors = np.concatenate([np.zeros(0, np.uint64), *digests]), np.concatenate([np.zeros(0, bool), *failed])
    places = np.arange(len(tracks))
    order = np.lexsort((np.where(errors, -places, places), errors, tracks))
    first = np.ones(len(order), bool)
    first[1:] = tracks[order][1:] != tracks[order][:-1]
    keep = np.zeros(len(order), bool)
    keep[order[first]] = True
    row = 0
    for name in names:
        for table in folder.rows(name):
            yield table.filter(pa.array(keep[row : row + len(table)]))
            row += len(table)


def _columns(folder: Folder, name: str, column: str) -> Iterator[pa.ChunkedArray]:
    return (table.column(column) for table in folder.rows(name, [column]))


# --- a folder of all of them ---


def complete(folder: Folder, partial: bool = False) -> list[str]:
    """The names of the files of a whole folder. Raises: UsageError if some are missing, unless `partial`."""
    names = folder.names()
    if not names:
        raise UsageError(f"{folder.url} holds no Parquet files: give the folder that m2e predict wrote.")
    shards = [match for match in map(_SHARD.fullmatch, names) if match]
    counts = {int(match[2]) for match in shards}
    if len(counts) > 1 or (shards and len(shards) < len(names)):
        raise UsageError(f"{folder.url} holds the files of several runs: merge each run from a folder of its own.")
    if shards and not partial:
        (count,) = counts
        missing = sorted(set(range(1, count + 1)) - {int(match[1]) for match in shards})
        if missing:
            some = ", ".join(map(str, missing[:10])) + (", ..." if missing[10:] else "")
            raise UsageError(
                f"{folder.url} lacks {len(missing)} of {count} shards ({some}): run them, or add --partial."
            )
    if not shards and not partial and not folder.exists(SUCCESS):
        raise UsageError(f"{folder.url} is not complete: run the command again with --resume, or add --partial.")
    first = folder.schema(names[0])
    for name in names[1:]:
        if folder.schema(name) != first or folder.schema(name).metadata != first.metadata:
            raise UsageError(f"{folder.url}/{name} has other columns or settings than {names[0]}: merge only one run.")
    return names
