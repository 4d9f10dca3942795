"""The journal of all writes: an SQLite file from which `m2e tag --undo` restores files bit for bit.

An entry is on the disk before the file is replaced. A kill between the two leaves an entry of a write that did not
happen, which is harmless: entries are found by the content that a file has now.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from m2e.errors import UsageError, reason
from m2e.library.tagging.delta import apply_delta, make_delta
from m2e.library.tagging.mapping import Change, Rule

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
    changes TEXT NOT NULL,        -- JSON: [{"rule": names of the tag, "before": values, "after": values}]
    is_undo INTEGER NOT NULL,     -- whether it gave a changed file its earlier values back
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
    changes: list[Change]
    is_undo: bool
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

    def add(
        self,
        path: str,
        earlier: bytes,
        written: bytes,
        mtime_ns: int,
        changes: Sequence[Change],
        is_undo: bool = False,
    ) -> None:
        """Notes a write before it happens. earlier, written: the contents.  mtime_ns: of the earlier file.

        Raises UsageError if the journal cannot be written, because the disk is full for example.
        """
        row = (
            datetime.now(UTC).isoformat(timespec="seconds"),
            os.fsencode(os.path.realpath(path)),
            digest(written),
            digest(earlier),
            mtime_ns,
            json.dumps([_plain(change) for change in changes]),
            is_undo,
            make_delta(earlier, written),
        )
        with _explained(self._path):
            self._connection.execute(
                "INSERT INTO writes (time, path, content, earlier_content, earlier_mtime_ns, changes, is_undo, delta)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def last_write(self, path: str, content: bytes) -> Entry | None:
        """The write that gave a file its content; the file may have another name by now."""
        entries = self._entries("content = ? ORDER BY path = ? DESC, id DESC LIMIT 1", digest(content), _name(path))
        return entries[0] if entries else None

    def writes_to(self, path: str) -> list[Entry]:
        """All writes to files of this name, the last one first."""
        return self._entries("path = ? ORDER BY id DESC", _name(path))

    def is_earlier(self, path: str, content: bytes) -> bool:
        """Whether a file is as it was before a write to a file of its name."""
        return bool(self._entries("earlier_content = ? AND path = ? LIMIT 1", digest(content), _name(path)))

    def _entries(self, where: str, *values: bytes) -> list[Entry]:
        columns = "time, earlier_mtime_ns, changes, is_undo, earlier_content, delta"
        with _explained(self._path):
            rows = self._connection.execute(f"SELECT {columns} FROM writes WHERE {where}", values).fetchall()
        return [Entry(time, mtime, _changes(text), bool(undo), *rest) for time, mtime, text, undo, *rest in rows]


def _name(path: str) -> bytes:
    return os.fsencode(os.path.realpath(path))


def _plain(change: Change) -> dict[str, Any]:
    rule = {name: value for name, value in asdict(change.rule).items() if value is not None}
    return {"rule": rule, "before": change.before, "after": change.after}


def _changes(text: str) -> list[Change]:
    return [Change(Rule(**each["rule"]), each["before"], each["after"], each["after"]) for each in json.loads(text)]


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
