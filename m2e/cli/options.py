"""Arguments and options that several commands share."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from m2e.errors import UsageError

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH",
        help="Files, folders (searched for audio), globs, http(s) URLs, or - for a list of these on stdin.",
    ),
]
Model = Annotated[
    str | None, typer.Option(metavar="DIR|REPO", help="Folder or hub repo of a model.", show_default="m2e-small")
]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where the networks run.")]
Window = Annotated[
    float | None, typer.Option(min=0.5, metavar="SECONDS", help="Length of a window.", show_default="the model's")
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Windows encoded at once.", show_default="the model's")
]
DataName = Annotated[str, typer.Option(metavar="NAME", help="Data set: mtg-jamendo, deam, 4q, folder, hub, ...")]
DataFolder = Annotated[str, typer.Option(metavar="FOLDER", help="Your copy of it; for hub its id.")]
DataOptions = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="How the data set is read, as labels=published; may be repeated."),
]


def data_options(texts: Sequence[str] | None) -> dict[str, Any]:
    """Of DataOptions: {NAME: VALUE}; a value that is JSON is read as such. Raises UsageError."""
    from m2e.datasets.options import name_and_value

    options = {}
    for text in texts or ():
        try:
            name, value = name_and_value(text)
        except ValueError as error:
            raise UsageError(f"--option {text} cannot be read: give NAME=VALUE.") from error
        options[name] = value
    return options
