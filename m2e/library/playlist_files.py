"""Playlists as files: M3U8 and JSPF. Names of any bytes are kept."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from m2e.library.track import LibraryTrack
from m2e.views.records import printable


def m3u8(tracks: Sequence[LibraryTrack], folder: str | None = None) -> str:
    """An extended M3U playlist.

    folder: where the playlist will lie; paths are relative to it. None: paths are absolute.
    """
    lines = ["#EXTM3U"]
    for track in tracks:
        lines.append(f"#EXTINF:{round(track.seconds or 0)},{printable(title(track))}")
        lines.append(entry(track.path, folder))
    return "\n".join(lines) + "\n"


def entry(path: str, folder: str | None) -> str:
    """The line of a file in an M3U8: its path, or a file URI where a path would be misread."""
    if not path.isprintable():  # a line break, or bytes that are no UTF-8
        return file_uri(path)
    if folder is None:
        return path
    try:
        relative = os.path.relpath(path, os.path.realpath(folder))
    except ValueError:  # on another drive
        return path
    return relative if not relative.startswith("#") else os.path.join(os.curdir, relative)


def jspf(tracks: Sequence[LibraryTrack], name: str | None = None) -> str:
    """A JSPF playlist, the JSON form of XSPF."""
    described = [_jspf_track(track) for track in tracks]
    playlist = ({"title": name} if name else {}) | {"track": described}
    return json.dumps({"playlist": playlist}, ensure_ascii=False, indent=1) + "\n"


def _jspf_track(track: LibraryTrack) -> dict[str, Any]:
    found: dict[str, Any] = {"location": [file_uri(track.path)], "title": printable(track.tags.title or title(track))}
    for field, text in (("creator", track.tags.artist), ("album", track.tags.album)):
        if text:
            found[field] = printable(text)
    if track.seconds is not None:
        found["duration"] = round(track.seconds * 1000)
    return found


def title(track: LibraryTrack) -> str:
    """'Artist - Title', or the name of the file without its suffix."""
    return track.name if track.tags.title else os.path.splitext(track.name)[0]


def file_uri(path: str) -> str:
    """file:// with percent signs; the bytes of the name are kept."""
    return Path(path).absolute().as_uri()
