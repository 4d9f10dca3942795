"""Tracks of a library as text: a table for people, JSON Lines and CSV for programs; and as Parquet."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from m2e.errors import UsageError
from m2e.library.columns import numbers_of
from m2e.library.keys import key_name, key_number, short_key
from m2e.library.track import TAGS, LibraryTrack
from m2e.views.records import clock, printable

ROW_MOODS = 3  # in the table


def json_lines(tracks: Iterable[LibraryTrack]) -> Iterator[str]:
    """The record of each track on a line, with its id, tags and all paths."""
    for track in tracks:
        values = {"id": track.id, **track.values, **vars(track.tags), "paths": track.paths}
        yield json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def flat(track: LibraryTrack) -> dict[str, Any]:
    """The columns of CSV and Parquet: id, path, tags, numbers, and one `mood_<label>` per mood; None if unknown."""
    values = track.values
    numbers = {name: None if value != value else value for name, value in numbers_of(values).items()}
    key = numbers.pop("key")
    return {
        "id": track.id,
        "path": track.path.encode("utf-8", "backslashreplace").decode(),
        **vars(track.tags),
        **numbers,
        "quadrant": values["quadrant"],
        "key": None if key is None else key_name(int(key)),
        "selected_moods": ";".join(values["selected_moods"]),
        **{f"mood_{mood['label']}": mood["score"] for mood in sorted(values["moods"], key=lambda each: each["label"])},
        "model": values["model"],
    }


def csv_lines(tracks: Iterable[LibraryTrack]) -> Iterator[str]:
    """A header and a line per track. The columns are those of all tracks."""
    rows = [flat(track) for track in tracks]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    if not rows:
        yield "id,path\n"


def write_parquet(tracks: Iterable[LibraryTrack], path: Path) -> None:
    """A table with the columns of `flat`. Raises: UsageError without pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise UsageError('Parquet needs pyarrow: install it with pip install "m2e[train]".') from None
    rows = [flat(track) for track in tracks]
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["id", "path"]
    texts = {"path", "quadrant", "key", "selected_moods", "model", *TAGS} - {"year"}
    kinds = {"id": pa.int64(), "year": pa.int32()} | dict.fromkeys(texts, pa.string())
    schema = pa.schema([(name, kinds.get(name, pa.float32())) for name in names])
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows, schema), path)


def table(tracks: Sequence[LibraryTrack], width: int, color: bool = False) -> str:
    """A row per track: id, name, time, valence, arousal, quadrant, key and the best moods."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    rows.add_column("id", justify="right", style="dim")
    rows.add_column("track", no_wrap=True, overflow="ellipsis", ratio=3, style="bold")
    for name in ("time", "V", "A"):
        rows.add_column(name, justify="right", no_wrap=True)
    for name in ("", "key"):
        rows.add_column(name, no_wrap=True)
    rows.add_column("moods", no_wrap=True, overflow="ellipsis", ratio=2, style="green")
    for track in tracks:
        values = track.values
        key = values["key"]
        cells = [
            str(track.id),
            printable(track.name),
            clock(values["duration"]),
            f"{values['valence']:.1f}",
            f"{values['arousal']:.1f}",
            "-".join(values.get("between") or [values["quadrant"]]),
            "–" if key is None else short_key(key_number(key["tonic"], key["mode"])),
            ", ".join(printable(mood["label"]) for mood in values["moods"][:ROW_MOODS]),
        ]
        rows.add_row(*map(Text, cells))
    file = io.StringIO()
    Console(file=file, force_terminal=color, width=width, legacy_windows=False).print(rows)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"
