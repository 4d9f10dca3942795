"""Tracks of a library on stdout or in a file: the formats and options that several commands share."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from m2e.cli.options import end_of_pipe
from m2e.cli.output_file import STDOUT, check_output, open_output, writing
from m2e.errors import LibraryError, M2EError, UsageError
from m2e.library.query_language import QueryError
from m2e.storage import write_whole
from m2e.terminal import is_terminal, tell, terminal_width

if TYPE_CHECKING:
    from m2e.library.track import LibraryTrack

Name = Literal["table", "jsonl", "csv", "parquet", "m3u8", "jspf", "paths"]
SUFFIXES: dict[str, Name] = {
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".m3u8": "m3u8",
    ".m3u": "m3u8",
    ".jspf": "jspf",
}
Form = Annotated[
    Name | None, typer.Option("--format", help="Choose the format.", show_default="suffix of FILE, or table")
]
Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="FILE", help="Write to FILE.", show_default="stdout")
]
Relative = Annotated[
    bool | None,
    typer.Option(
        "--relative/--absolute",
        help="Write paths in an M3U8 relative to its folder.",
        show_default="relative in FILE, absolute on stdout",
    ),
]
Null = Annotated[bool, typer.Option("-0", help="Write paths that end with NUL, for xargs -0.")]


def chosen_form(form: Name | None, output: str | None, null: bool = False) -> Name:
    """The format that the options mean. Raises: UsageError."""
    if null and form not in (None, "paths"):
        raise UsageError(f"-0 writes paths: remove --format {form}.")
    chosen = "paths" if null else form or SUFFIXES.get(os.path.splitext(output or "")[1].lower(), "table")
    if output is not None and output != "-":
        check_output(output, [])
    elif chosen == "parquet":
        raise UsageError("Parquet needs a file: add -o FILE.")
    return chosen


def write_tracks(
    tracks: "Iterable[LibraryTrack]",
    form: Name,
    output: str | None,
    relative: bool | None = None,
    null: bool = False,
    name: str | None = None,
) -> None:
    """Writes tracks in a format of `chosen_form`.  name: of the playlist. Raises: UsageError."""
    from m2e.library import listing

    output = None if output == "-" else output
    try:
        if form == "table":
            color = output is None and is_terminal(sys.stdout)
            with open_output(output, for_people=True) as file:
                file.write(listing.table(list(tracks), terminal_width(), color))
        elif form in ("jsonl", "csv"):
            with open_output(output) as file:
                file.writelines(listing.json_lines(tracks) if form == "jsonl" else listing.csv_lines(tracks))
        elif form == "parquet":
            with writing(str(output)):
                write_whole(Path(os.path.realpath(str(output))), lambda part: listing.write_parquet(tracks, part))
        else:
            _write_bytes(os.fsencode(_playlist(tracks, form, output, relative, null, name)), output)
    except BrokenPipeError:
        end_of_pipe()


def _playlist(
    tracks: "Iterable[LibraryTrack]",
    form: Name,
    output: str | None,
    relative: bool | None,
    null: bool,
    name: str | None,
) -> str:
    from m2e.library import playlist_files

    if form == "paths":
        return "".join(track.path + ("\0" if null else "\n") for track in tracks)
    if form == "jspf":
        return playlist_files.jspf(list(tracks), name)
    folder = os.path.dirname(os.path.abspath(output)) if output is not None else os.getcwd()
    wanted = relative if relative is not None else output is not None
    return playlist_files.m3u8(list(tracks), folder if wanted else None)


def _write_bytes(content: bytes, output: str | None) -> None:
    """Names need not be UTF-8, so that they are written as bytes."""
    if output is None:
        if sys.stdout is None:
            raise UsageError("stdout is closed: add -o FILE.")
        with writing(STDOUT):
            sys.stdout.flush()
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
    else:
        with writing(output):
            write_whole(Path(os.path.realpath(output)), lambda part: part.write_bytes(content))


def refuse(error: M2EError) -> NoReturn:
    """Prints an error, for a wrong query with a mark under the fault, and ends the command."""
    tell(str(error))
    if isinstance(error, QueryError):
        for line in error.pointer().splitlines():
            tell("  " + line)
    raise typer.Exit(1 if isinstance(error, LibraryError) else 2)
