"""Arguments, options and endings that several commands share."""

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from m2e.errors import DataError, UsageError, reason
from m2e.terminal import tell

if TYPE_CHECKING:
    from datasets import Dataset

MAX_DURATION = 6 * 3600.0  # seconds; a small file may decode to days

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH",
        help="Files, folders (searched for audio), globs, URLs (http, s3, ...), playlists, or - for audio or a list.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(metavar="DIR|REPO", help="Use the model in this folder or hub repo.", show_default="m2e-small"),
]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Run the networks on this device.")]
Window = Annotated[
    float | None,
    typer.Option(
        min=0.5,
        metavar="SECONDS",
        help="Set the length of a window; windows then follow each other.",
        show_default="the model's",
    ),
]
Hop = Annotated[
    float | None,
    typer.Option(
        min=1,
        metavar="SECONDS",
        help="Begin a window every SECONDS, so that windows overlap.",
        show_default="the model's",
    ),
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Encode N windows at once.", show_default="the model's")
]
Database = Annotated[
    str | None,
    typer.Option("--db", metavar="FILE", help="Use the library in this database.", show_default="in your data folder"),
]
Precision = Annotated[
    Literal["float32", "bfloat16", "float16", "auto"],
    typer.Option(help="Set the precision of MERT. auto: bfloat16 where the CPU is faster in it."),
]
Runtime = Annotated[
    Literal["torch", "onnx"],
    typer.Option(help="Compute with PyTorch, or with ONNX Runtime; onnx: the model has graphs by m2e export."),
]
Tempo = Annotated[bool, typer.Option("--tempo", help='Add the tempo in beats per minute (pip install "m2e[tempo]").')]
Verbose = Annotated[bool, typer.Option("--verbose", help="Name all files that a search of folders skips.")]
MaxDuration = Annotated[
    float, typer.Option(min=0.5, metavar="SECONDS", help="Refuse tracks that are longer than SECONDS.")
]
Timeout = Annotated[
    float | None,
    typer.Option(min=0.1, metavar="SECONDS", help="Stop a track after SECONDS.", show_default="no limit"),
]
DataName = Annotated[
    str, typer.Option(metavar="NAME", help="Name the data set: mtg-jamendo, deam, 4q, folder, hub, ...")
]
DataFolder = Annotated[
    str, typer.Option(metavar="FOLDER", help="Read your copy of it from FOLDER. For hub: the id of the data set.")
]
DataOptions = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Set an option of the data set, as labels=published; may be repeated."),
]


def data_options(texts: Sequence[str] | None) -> dict[str, Any]:
    """{NAME: VALUE} of the DataOptions; a VALUE may be JSON. Raises UsageError."""
    from m2e.datasets.options import name_and_value

    options = {}
    for text in texts or ():
        try:
            name, value = name_and_value(text)
        except ValueError as error:
            raise UsageError(f"--option {text} cannot be read: give NAME=VALUE.") from error
        options[name] = value
    return options


def read_data(name: str, folder: str, options: dict[str, Any]) -> "Dataset":
    """The data set that the options name. Raises DataError, for files that cannot be opened, too."""
    from m2e.datasets import read_dataset

    try:
        return read_dataset(name, folder, **options)
    except OSError as error:
        where = f"{error.filename} cannot be read" if error.filename else f"{name} cannot be read from {folder}"
        raise DataError(f"{where}: {error.strerror or reason(error)}.") from error


def tell_skipped(skipped: Mapping[str, str], verbose: bool) -> None:
    """Prints how many files a search of folders did not take, and why; their names if `verbose`."""
    if not skipped:
        return
    reasons = ", ".join(f"{count} {why}" for why, count in Counter(skipped.values()).most_common())
    tell(f"{len(skipped)} files or folders were skipped: {reasons}" + (":" if verbose else " (--verbose names them)."))
    for path, why in skipped.items() if verbose else ():
        tell(f"{path}: {why}.")


def tell_failures(failures: Sequence[str], tracks: int) -> None:
    """Prints the sentences of the tracks that failed, and ends the command with exit status 1 if there are any."""
    if failures and tracks > 1:
        tell(f"{len(failures)} of {tracks} files failed:")
    for sentence in failures:
        tell(sentence)
    if failures:
        raise typer.Exit(1)


def interrupted(where: str = "") -> NoReturn:
    """Ends the command after Ctrl-C, SIGTERM or SIGHUP; `where`: a sentence on what is left of its work."""
    tell(f"interrupted.{where and ' '}{where}")
    raise typer.Exit(130) from None


def end_of_pipe() -> NoReturn:
    """Ends the command without an error: the reader of stdout, `head` for example, has closed it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
    raise typer.Exit(0) from None
