"""The tags of files that a library keeps: artist, title, album, year, genre."""

import re
from collections.abc import Mapping
from typing import Any

from m2e.library.track import Tags

# In ID3, MP4, ASF, and for the rest: Vorbis comments and APE. The first name that a file has counts.
NAMES = {
    "artist": ("TPE1", "\xa9ART", "Author", "artist", "TPE2", "aART", "albumartist"),
    "title": ("TIT2", "\xa9nam", "Title", "title"),
    "album": ("TALB", "\xa9alb", "WM/AlbumTitle", "album"),
    "year": ("TDRC", "TYER", "TDRL", "\xa9day", "WM/Year", "date", "year"),
    "genre": ("TCON", "\xa9gen", "WM/Genre", "genre"),
}
MAX_LETTERS = 1000  # of a tag


def read_tags(path: str) -> Tags:
    """The tags of a file; empty where it has none, or none that can be read."""
    import mutagen

    try:
        found = mutagen.File(path)
    except Exception:  # a damaged tag may raise anything; the audio may be fine
        return Tags()
    return tags_of(found.tags) if found is not None and found.tags is not None else Tags()


def tags_of(tags: Any) -> Tags:
    """The Tags in mutagen's tags of any format."""
    texts = {name: _text(tags, candidates) for name, candidates in NAMES.items()}
    year = re.search(r"(?<!\d)\d{4}(?!\d)", texts.pop("year") or "")
    return Tags(**texts, year=int(year[0]) if year else None)


def _text(tags: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        try:
            value = tags.get(name)
        except (KeyError, ValueError):  # no name that this format could have
            continue
        values = _values(value)
        if values:
            return "; ".join(dict.fromkeys(values))[:MAX_LETTERS]
    return None


def _values(value: Any) -> list[str]:
    """The texts of a frame, a list or a single value. A NUL stands between the texts of APE and of some ID3 tags."""
    if value is None:
        return []
    many = getattr(value, "genres", None) or getattr(value, "text", None) or value
    texts = many if isinstance(many, list | tuple) else [many]
    cleaned = (part.strip() for text in texts for part in str(text).split("\0"))
    return [text for text in cleaned if text]
