"""The tables of a library's database, and the migrations that bring an older database to them.

A track is audio content; files with the same content share it. Records are compressed JSON. What a query needs of all
tracks lies in blocks: matrices of BLOCK_ROWS rows, so that a column of 200,000 tracks is read in milliseconds.
"""

import sqlite3

from m2e.errors import LibraryError

APPLICATION_ID = 0x6D3265  # "m2e"; marks the database file as ours
BLOCK_ROWS = 512

# Each entry brings a database from the schema version of its index to the next one. Never change one: add one.
MIGRATIONS = (
    """
    -- what made a record: JSON of the model and its settings
    CREATE TABLE settings (id INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE);

    -- what the columns of blocks mean: JSON with numbers, moods and the width of embeddings
    CREATE TABLE layouts (id INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE);

    CREATE TABLE tracks (
        id INTEGER PRIMARY KEY,
        content TEXT NOT NULL UNIQUE,         -- hash of the audio
        settings_id INTEGER REFERENCES settings,
        record BLOB,                          -- zlib of the record's JSON, NULL until it is predicted
        tried_id INTEGER REFERENCES settings, -- the settings of the last prediction
        error TEXT,                           -- why it failed: one sentence; an earlier record stays
        layout_id INTEGER REFERENCES layouts,
        slot INTEGER,                         -- row in the blocks of the layout
        UNIQUE (layout_id, slot)
    );

    CREATE TABLE blocks (
        id INTEGER PRIMARY KEY,
        layout_id INTEGER NOT NULL REFERENCES layouts,
        kind TEXT NOT NULL,                   -- see columns.py
        number INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (layout_id, kind, number)
    );

    CREATE TABLE files (
        id INTEGER PRIMARY KEY,
        path BLOB NOT NULL UNIQUE,            -- bytes: names need not be UTF-8
        track_id INTEGER REFERENCES tracks,   -- NULL: the file cannot be read
        error TEXT,
        missing INTEGER NOT NULL DEFAULT 0,
        size INTEGER, mtime_ns INTEGER, device INTEGER, inode INTEGER,
        artist TEXT, title TEXT, album TEXT, year INTEGER, genre TEXT
    );
    CREATE INDEX files_track ON files (track_id);
    CREATE INDEX files_inode ON files (inode);
    CREATE INDEX files_missing ON files (missing) WHERE missing;

    -- folders that were scanned
    CREATE TABLE roots (path BLOB PRIMARY KEY, scanned REAL NOT NULL);
    """,
)
VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """Brings the database to VERSION. Raises: LibraryError if it is newer, or is not a library."""
    version, application = _pragma(connection, "user_version"), _pragma(connection, "application_id")
    if version == VERSION and application == APPLICATION_ID:
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and (tables or version):
        raise LibraryError(f"{name} is the database of another program: give another --db FILE.")
    if version > VERSION:
        raise LibraryError(f"{name} was written by a newer m2e (schema {version}, here {VERSION}): update m2e.")
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for step in MIGRATIONS[_pragma(connection, "user_version") :]:  # again: another process may have been faster
            for statement in statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def statements(script: str) -> list[str]:
    """The statements of a script. (`executescript` would end the transaction.)"""
    found, text = [], ""
    for line in script.splitlines():
        text += line + "\n"
        if sqlite3.complete_statement(text):
            found.append(text)
            text = ""
    return found


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
