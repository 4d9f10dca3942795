"""`LibraryTrack`: a track of a library with its files, tags and record."""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from m2e.errors import LibraryError, reason

if TYPE_CHECKING:
    from modeling_m2e.record_m2e import MusicEmotion


@dataclass(frozen=True)
class Tags:
    """What the tags of a file say; several values of a tag are joined by "; "."""

    artist: str | None = None
    title: str | None = None
    album: str | None = None
    year: int | None = None
    genre: str | None = None


TAGS = ("artist", "title", "album", "year", "genre")


@dataclass(frozen=True, eq=False)
class LibraryTrack:
    """Audio content, and the files that hold it.

    content: hash of the audio.
    paths: of the files, those that are there first; never empty.  missing: whether no file is there.
    tags: of the first file.  settings: the model and the settings that made the record.
    """

    id: int
    content: str
    paths: tuple[str, ...]
    missing: bool
    tags: Tags
    settings: dict[str, Any]
    compressed: bytes  # the record

    @property
    def path(self) -> str:
        """The first of its paths."""
        return self.paths[0]

    @cached_property
    def values(self) -> dict[str, Any]:
        """The record as plain values, as in JSON, with the first path. Imports no torch."""
        return {**unpacked(self.compressed), "path": self.path}

    @cached_property
    def record(self) -> "MusicEmotion":
        """The record. Imports torch."""
        from modeling_m2e.record_m2e import MusicEmotion, record_of

        record = record_of(self.values)
        assert isinstance(record, MusicEmotion)  # failed tracks are not stored
        return record

    @property
    def seconds(self) -> float | None:
        """The duration."""
        return self.values["duration"]

    @property
    def name(self) -> str:
        """'Artist - Title' as far as the tags go, else the name of the file."""
        parts = [part for part in (self.tags.artist, self.tags.title) if part]
        return " - ".join(parts) if self.tags.title else os.path.basename(self.path)


def packed(values: Mapping[str, Any]) -> bytes:
    """The plain values of a record as compressed JSON, without the path."""
    return zlib.compress(json.dumps({**values, "path": None}, ensure_ascii=False, allow_nan=False).encode())


def unpacked(data: bytes) -> dict[str, Any]:
    """The plain values that `packed` was given. Raises: LibraryError."""
    try:
        return json.loads(zlib.decompress(data))
    except (zlib.error, ValueError) as error:
        raise LibraryError(f"a record of the library is damaged ({reason(error)}): restore a copy.") from error
