"""What SQLite raises, as sentences that a person can act on."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from m2e.errors import LibraryError, reason

SENTENCES = {
    sqlite3.SQLITE_BUSY: "{name} is locked by another program: wait until it has finished.",
    sqlite3.SQLITE_LOCKED: "{name} is locked by another program: wait until it has finished.",
    sqlite3.SQLITE_FULL: "{name} cannot grow, its disk is full: free some space; what was stored is kept.",
    sqlite3.SQLITE_NOTADB: "{name} is not the database of a library: give another --db FILE.",
    sqlite3.SQLITE_CORRUPT: "{name} is damaged: restore a copy, or delete it and scan again.",
    sqlite3.SQLITE_READONLY: "{name} cannot be written: check its permissions and those of its folder.",
    sqlite3.SQLITE_CANTOPEN: "{name} cannot be opened: check that it is a file, its permissions and its folder.",
}


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turns what SQLite and the file system raise into a LibraryError that names the database; bugs pass."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a bug
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended code
        if code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISUSE):
            raise  # a bug
        sentence = SENTENCES.get(code, "{name} cannot be used ({why}): check its disk.")
        raise LibraryError(sentence.format(name=name, why=reason(error))) from error
    except OSError as error:
        raise LibraryError(f"{name} cannot be used: {error.strerror or reason(error)}.") from error
