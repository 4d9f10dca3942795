"""The journal of all writes: an SQLite file from which `m2e tag --undo` restores files bit for bit.

An entry is on the disk before the file is replaced. A kill between the two leaves an entry of a write that did not
happen, which is harmless: entries are found by the content that a file has now.
"""

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from m2e.errors import UsageError, reason
from m2e.library.tagging.delta import apply_delta, make_delta
from m2e.library.tagging.mapping import Tags

_VERSION = 1  # of the tables
_APPLICATION = 0x6D32656A  # "m2ej": tells the file from other databases
_PRAGMAS = ("user_version", "application_id")
_TABLES = """
CREATE TABLE writes (
    id INTEGER PRIMARY KEY,
    time TEXT NOT NULL,           -- UTC, ISO 8601
    path BLOB NOT NULL,           -- absolute; the bytes of the name
    content BLOB NOT NULL,        -- SHA-256 of the file that was written
    earlier_content BLOB NOT NULL,
    earlier_mtime_ns INTEGER NOT NULL,
    earlier_tags TEXT NOT NULL,   -- JSON: {tag: values before}
    tags TEXT NOT NULL,           -- JSON: {tag: values written}
    delta BLOB NOT NULL           -- the earlier file from the written one
);
CREATE INDEX writes_by_content ON writes (content);
CREATE INDEX writes_by_path ON writes (path);
"""


@dataclass(frozen=True)
class Entry:
    """One write. `restored` makes the earlier file."""

    time: str
    earlier_mtime_ns: int
    earlier_tags: Tags
    tags: Tags
    _earlier_content: bytes
    _delta: bytes

    def restored(self, content: bytes) -> bytes:
        """The earlier bytes of a file that has these now. Raises ValueError if the journal is damaged."""
        earlier = apply_delta(self._delta, content)
        if digest(earlier) != self._earlier_content:
            raise ValueError("the earlier file has another checksum")
        return earlier


def digest(content: bytes) -> bytes:
    return sha256(content).digest()


class Journal:
    """An open journal; see `open_journal`."""

    def __init__(self, path: Path, connection: sqlite3.Connection):
        self._path, self._connection = path, connection

    def add(self, path: str, earlier: bytes, written: bytes, mtime_ns: int, earlier_tags: Tags, tags: Tags) -> None:
        """Notes a write before it happens. earlier, written: the contents.  mtime_ns: of the earlier file.

        Raises UsageError if the journal cannot be written, because the disk is full for example.
        """
        row = (
            datetime.now(UTC).isoformat(timespec="seconds"),
            os.fsencode(os.path.realpath(path)),
            digest(written),
            digest(earlier),
            mtime_ns,
            json.dumps(earlier_tags),
            json.dumps(tags),
            make_delta(earlier, written),
        )
        with _explained(self._path):
            self._connection.execute(
                "INSERT INTO writes (time, path, content, earlier_content, earlier_mtime_ns, earlier_tags, tags, delta)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def last_write(self, path: str, content: bytes) -> Entry | None:
        """The write that gave a file its content; the file may have another name by now."""
        return self._entry(
            "content = ? ORDER BY path = ? DESC, id DESC", digest(content), os.fsencode(os.path.realpath(path))
        )

    def last_write_to(self, path: str) -> Entry | None:
        """The last write to a file of this name, whatever happened to the file since."""
        return self._entry("path = ? ORDER BY id DESC", os.fsencode(os.path.realpath(path)))

    def is_earlier(self, path: str, content: bytes) -> bool:
        """Whether a file is as it was before a write to a file of its name."""
        where = "earlier_content = ? AND path = ?"
        return self._entry(where, digest(content), os.fsencode(os.path.realpath(path))) is not None

    def _entry(self, where: str, *values: bytes) -> Entry | None:
        columns = "time, earlier_mtime_ns, earlier_tags, tags, earlier_content, delta"
        with _explained(self._path):
            row = self._connection.execute(f"SELECT {columns} FROM writes WHERE {where} LIMIT 1", values).fetchone()
        if row is None:
            return None
        time, mtime, earlier_tags, tags, earlier_content, delta = row
        return Entry(time, mtime, json.loads(earlier_tags), json.loads(tags), earlier_content, delta)


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """The journal in a file, which is made if it does not exist; no other process can write to it meanwhile.

    Raises UsageError for a file that is no journal, damaged, of a later version, in use or not writable.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"another m2e tag is writing with the journal {path}: wait for it.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written as a journal: {error.strerror or reason(error)}.") from error
    try:
        with _explained(path):
            connection = sqlite3.connect(path, isolation_level=None)
        with closing(connection):
            with _explained(path):
                _prepare(connection, path)
            yield Journal(path, connection)
    finally:
        lock.release()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version, application = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _PRAGMAS)
    if version > _VERSION and application == _APPLICATION:
        raise UsageError(f"the journal {path} was written by a later version of m2e: update m2e.")
    if application != _APPLICATION:
        if version or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise UsageError(f"{path} is the database of another program: give another --journal FILE.")
        settings = f"PRAGMA user_version = {_VERSION}; PRAGMA application_id = {_APPLICATION};"
        connection.executescript(f"BEGIN; {_TABLES} {settings} COMMIT;")
    connection.execute("PRAGMA synchronous = FULL")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise UsageError(
            f"the journal {path} cannot be used ({reason(error)}): give another --journal FILE."
        ) from error
