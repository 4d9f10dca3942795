"""`Library`: the database of a music library. All SQL of tracks and files is here.

    with Library.open() as library:
        for track in library.tracks():
            print(track.id, track.path, track.record.valence)

Several processes may use one database. A connection belongs to one thread: open one per thread, which takes a
millisecond. Writes are short transactions; a killed process loses the one in work.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from m2e.errors import LibraryError
from m2e.library.columns import Columns, Layout, Row, free_row, write_row
from m2e.library.schema import migrate
from m2e.library.sqlite_errors import explained
from m2e.library.track import TAGS, LibraryTrack, Tags, packed

if TYPE_CHECKING:
    from modeling_m2e.record_m2e import MusicEmotion

WAIT_SECONDS = 30.0  # for another process that writes
IDS_PER_QUERY = 500  # SQLite limits the parameters of a query
_POSITIVE = (1 << 63) - 1
_TRACK_COLUMNS = "tracks.id, tracks.content, tracks.record, settings.content, files.path, files.missing, " + ", ".join(
    f"files.{name}" for name in TAGS
)
_TRACK_TABLES = (
    "tracks JOIN settings ON settings.id = tracks.settings_id JOIN files ON files.track_id = tracks.id "
    "WHERE tracks.record IS NOT NULL"
)
_FILES = (
    "SELECT files.path, track_id, coalesce(files.error, tracks.error), missing, tried_id, "
    "size, mtime_ns, device, inode FROM files LEFT JOIN tracks ON tracks.id = files.track_id"
)
_FILES_IN_ORDER = "ORDER BY tracks.id, files.missing, files.id"


def default_path() -> str:
    """The database in the user's data folder."""
    from platformdirs import user_data_path

    return str(user_data_path("m2e", appauthor=False) / "library.db")


class FileState(NamedTuple):
    """What a file system says about a file."""

    size: int
    mtime_ns: int
    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileState":
        # SQLite's integers have a sign
        return cls(status.st_size, status.st_mtime_ns, status.st_dev & _POSITIVE, status.st_ino & _POSITIVE)

    def same_content(self, other: "FileState") -> bool:
        """Whether size and time are equal: then the file is not read again."""
        return self[:2] == other[:2]


class KnownFile(NamedTuple):
    """A row of the table of files.

    error: why it cannot be read, with `track_id` None, or why the prediction failed.
    tried_id: the settings of the last prediction of its track, None before the first.
    """

    path: str
    track_id: int | None
    error: str | None
    missing: bool
    tried_id: int | None
    state: FileState


class Library:
    """The tracks of a library. Made by `open`."""

    def __init__(self, path: str, connection: sqlite3.Connection):
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None, create: bool = False) -> "Library":
        """The library in a database file, `default_path()` for None. An older schema is migrated.

        create: whether a file that does not exist is made.
        Raises: LibraryError.
        """
        name = default_path() if path is None else os.fspath(path)
        if not os.path.exists(name) and not create:
            raise LibraryError(f"{name} does not exist: make it with m2e library scan DIR.")
        with explained(name):
            if create:
                os.makedirs(os.path.dirname(os.path.abspath(name)), exist_ok=True)
            mode = "rwc" if create else "rw"
            uri = f"{Path(name).absolute().as_uri()}?mode={mode}"
            connection = sqlite3.connect(uri, timeout=WAIT_SECONDS, isolation_level=None, uri=True)
            try:
                migrate(connection, name)
                _use_wal(connection)
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
            except BaseException:
                connection.close()
                raise
        return cls(name, connection)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- reading ---

    def __len__(self) -> int:
        """The number of tracks with a record, whether or not their files are there."""
        return self._one("SELECT count(*) FROM tracks WHERE record IS NOT NULL")

    def tracks(self, ids: Iterable[int] | None = None, missing: bool = False) -> Iterator[LibraryTrack]:
        """Tracks with a record: all in the order of their ids, or those of `ids` in that order.

        missing: whether all tracks come that have no file any more; those of `ids` always come.
        """
        if ids is None:
            rows = self._rows(f"SELECT {_TRACK_COLUMNS} FROM {_TRACK_TABLES} {_FILES_IN_ORDER}")
            yield from (track for track in _grouped(rows) if missing or not track.missing)
            return
        wanted = [int(each) for each in ids]
        for start in range(0, len(wanted), IDS_PER_QUERY):
            some = wanted[start : start + IDS_PER_QUERY]
            marks = ", ".join("?" * len(some))
            query = f"SELECT {_TRACK_COLUMNS} FROM {_TRACK_TABLES} AND tracks.id IN ({marks}) {_FILES_IN_ORDER}"
            found = {track.id: track for track in _grouped(self._rows(query, some))}
            yield from (found[each] for each in some if each in found)

    def track(self, track_id: int) -> LibraryTrack | None:
        """The track with this id."""
        return next(self.tracks([track_id]), None)

    def find(self, path: str | os.PathLike[str]) -> LibraryTrack | None:
        """The track of a file."""
        name = os.fsencode(os.path.realpath(path))
        rows = list(self._rows("SELECT track_id FROM files WHERE path = ? AND track_id IS NOT NULL", [name]))
        return self.track(rows[0][0]) if rows else None

    def columns(self, missing: bool = False) -> Columns:
        """Numbers, moods and embeddings of all tracks as arrays.  missing: see `tracks`."""
        query = (
            "SELECT DISTINCT track_id FROM files AS lost WHERE missing = 1 AND track_id IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM files WHERE files.track_id = lost.track_id AND files.missing = 0)"
        )
        hidden = [] if missing else [row[0] for row in self._rows(query)]
        with explained(self.path):
            layouts = {key: Layout.parse(text) for key, text in self._rows("SELECT id, content FROM layouts")}
            return Columns(self._connection, layouts, np.array(hidden, np.int64))

    def embeddings(self) -> tuple[np.ndarray, np.ndarray]:
        """(ids (n,), matrix (n, width) float16): the embeddings of the tracks whose files are there."""
        with explained(self.path):
            return self.columns().embeddings()

    def texts(self, name: str) -> dict[int, Any]:
        """{id of a track: one of its TAGS, or "path"}, of its first file; without tracks that have no such tag."""
        if name not in (*TAGS, "path"):
            raise ValueError(f"there is no column {name}")
        query = f"SELECT track_id, {name} FROM files WHERE track_id IS NOT NULL AND {name} IS NOT NULL AND missing = "
        found: dict[int, Any] = {}
        for missing in (1, 0):  # the first file that is there comes last and stays
            with explained(self.path):
                found.update(self._connection.execute(f"{query} {missing} ORDER BY id DESC").fetchall())
        return {key: os.fsdecode(value) for key, value in found.items()} if name == "path" else found

    def count_missing(self) -> int:
        """The number of files that are not there."""
        return self._one("SELECT count(*) FROM files WHERE missing = 1")

    def files(self) -> Iterator[KnownFile]:
        """All files that were ever scanned, in no order."""
        yield from map(_known_file, self._rows(_FILES))

    def failures(self) -> list[tuple[str, str]]:
        """(path, sentence) of the files that cannot be read or predicted, sorted; missing ones are left out."""
        return sorted((file.path, file.error) for file in self.files() if file.error and not file.missing)

    def file(self, path: str) -> KnownFile | None:
        """What is known of a file, by its real path."""
        return next(map(_known_file, self._rows(f"{_FILES} WHERE files.path = ?", [os.fsencode(path)])), None)

    def files_like(self, state: FileState) -> list[KnownFile]:
        """The known files that are the same one for the file system: equal states, whatever their paths."""
        query = f"{_FILES} WHERE inode = ? AND device = ? AND size = ? AND mtime_ns = ?"
        values = [state.inode, state.device, state.size, state.mtime_ns]
        return list(map(_known_file, self._rows(query, values))) if state.inode else []

    def is_tried(self, track_id: int, settings_id: int, failed: bool = True) -> bool:
        """Whether a track has a record of these settings or, unless `failed` is False, a failure."""
        query = "SELECT count(*) FROM tracks WHERE id = ? AND tried_id = ? AND (? OR error IS NULL)"
        return bool(self._one(query, [track_id, settings_id, failed]))

    def roots(self) -> dict[str, float]:
        """{folder: time of its last scan, in seconds since 1970}."""
        return {os.fsdecode(path): scanned for path, scanned in self._rows("SELECT path, scanned FROM roots")}

    def counts_of_settings(self) -> list[tuple[dict[str, Any], int]]:
        """(model and settings, number of their records), most first."""
        query = "SELECT settings.content, count(*) AS n FROM tracks JOIN settings ON settings.id = tracks.settings_id "
        return [(json.loads(text), n) for text, n in self._rows(f"{query} GROUP BY settings.id ORDER BY n DESC")]

    # --- writing ---

    def settings_id(self, settings: Mapping[str, Any]) -> int:
        """The id of a model and its settings, which must be JSON-able."""
        text = json.dumps(dict(settings), sort_keys=True)
        with self.transaction():
            return self._id_of("settings", text)

    def content_id(self, content: str) -> int:
        """The id of the track with this hash of its audio, which is made if need be. It may have no record yet."""
        with self.transaction():
            return self._id_of("tracks", content)

    def put_file(self, path: str, state: FileState, track_id: int | None, tags: Tags, error: str | None = None) -> None:
        """Stores what is known of a file, which is there.  error: why it has no track."""
        values = (track_id, _text(error), *state, *(_text(getattr(tags, name)) for name in TAGS))
        names = ("track_id", "error", *FileState._fields, *TAGS)
        update = ", ".join(f"{name} = excluded.{name}" for name in names)
        with self.transaction():
            self._execute(
                f"INSERT INTO files (path, {', '.join(names)}) VALUES (?{', ?' * len(names)}) "
                f"ON CONFLICT (path) DO UPDATE SET missing = 0, {update}",
                [os.fsencode(path), *values],
            )

    def put_record(self, track_id: int, record: "MusicEmotion", settings_id: int) -> None:
        """Stores the record of a track, with its embedding if it has one, in place of an earlier one."""
        values = record.to_dict()
        row = Row.of(track_id, values, record.embedding, settings_id)
        with self.transaction():
            layout_id = self._id_of("layouts", row.layout.text())
            query = "SELECT layout_id, slot FROM tracks WHERE id = ?"
            old_layout, slot = next(self._rows(query, [track_id]))
            if old_layout != layout_id:
                if old_layout is not None:
                    free_row(self._connection, old_layout, slot)
                slot = self._one("SELECT coalesce(max(slot) + 1, 0) FROM tracks WHERE layout_id = ?", [layout_id])
            self._execute(
                "UPDATE tracks SET settings_id = ?, tried_id = ?, record = ?, error = NULL, layout_id = ?, slot = ? "
                "WHERE id = ?",
                [settings_id, settings_id, packed(values), layout_id, slot, track_id],
            )
            write_row(self._connection, layout_id, row.layout, slot, row)

    def put_failure(self, track_id: int, sentence: str, settings_id: int) -> None:
        """Stores why a track has no record of these settings; a record of earlier ones stays."""
        with self.transaction():
            self._execute(
                "UPDATE tracks SET tried_id = ?, error = ? WHERE id = ?", [settings_id, _text(sentence), track_id]
            )

    def move_file(self, old: str, new: str) -> bool:
        """Gives a known file another path; False if another process was faster."""
        with self.transaction():
            query = "UPDATE OR IGNORE files SET path = ?, missing = 0 WHERE path = ?"
            return self._execute(query, [os.fsencode(new), os.fsencode(old)]).rowcount == 1

    def mark_missing(self, paths: Iterable[str]) -> None:
        """Marks files as missing."""
        with self.transaction():
            for path in paths:
                self._execute("UPDATE files SET missing = 1 WHERE path = ?", [os.fsencode(path)])

    def drop_old_names(self) -> None:
        """Forgets missing files whose tracks are there under other names."""
        with self.transaction():
            self._execute(
                "DELETE FROM files WHERE missing = 1 AND track_id IN (SELECT track_id FROM files WHERE missing = 0)"
            )

    def mark_present(self, states: Mapping[str, FileState]) -> None:
        """Marks known files as there, with new states (those of a disk may change when the computer starts)."""
        with self.transaction():
            for path, state in states.items():
                self._execute(
                    "UPDATE files SET missing = 0, size = ?, mtime_ns = ?, device = ?, inode = ? WHERE path = ?",
                    [*state, os.fsencode(path)],
                )

    def put_root(self, path: str) -> None:
        """Stores that a folder was scanned now."""
        with self.transaction():
            self._execute("INSERT OR REPLACE INTO roots VALUES (?, ?)", [os.fsencode(path), time.time()])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes of the block, or none. Inside another transaction it adds nothing. Raises: LibraryError."""
        if self._connection.in_transaction:
            yield
            return
        with explained(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk ends it
                    self._connection.execute("ROLLBACK")
                raise

    def _id_of(self, table: str, content: str) -> int:
        self._execute(f"INSERT OR IGNORE INTO {table} (content) VALUES (?)", [content])
        return self._one(f"SELECT id FROM {table} WHERE content = ?", [content])

    def _execute(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        with explained(self.path):
            return self._connection.execute(query, values)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        with explained(self.path):
            yield from self._connection.execute(query, values)

    def _one(self, query: str, values: Sequence[Any] = ()) -> int:
        return next(self._rows(query, values))[0]


def _known_file(row: tuple[Any, ...]) -> KnownFile:
    path, track_id, error, missing, tried_id, *state = row
    return KnownFile(os.fsdecode(path), track_id, error, bool(missing), tried_id, FileState(*state))


def _text(value: Any) -> Any:
    """A text without the undecodable bytes of a file name, which SQLite does not take."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(value, str) else value


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switches to a journal that lets readers and a writer work at once; waits for others, which SQLite does not."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _grouped(rows: Iterable[tuple[Any, ...]]) -> Iterator[LibraryTrack]:
    """The tracks of rows, each of a file; those of a track follow each other."""
    group: list[tuple[Any, ...]] = []
    for row in rows:
        if group and group[0][0] != row[0]:
            yield _track(group)
            group = []
        group.append(row)
    if group:
        yield _track(group)


def _track(rows: Sequence[tuple[Any, ...]]) -> LibraryTrack:
    track_id, content, record, settings, _, missing, *tags = rows[0]
    paths = tuple(os.fsdecode(row[4]) for row in rows)
    return LibraryTrack(track_id, content, paths, bool(missing), Tags(*tags), json.loads(settings), record)
