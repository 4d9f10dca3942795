"""`m2e predict`: one record per track."""

import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from m2e.cli.options import BatchSize, Device, Model, Paths, Window
from m2e.cli.plots import Plots
from m2e.errors import ModelError, UsageError, WorkerError
from m2e.inputs import (
    Source,
    check_output,
    collect,
    earlier_records,
    identity,
    open_output,
    partial_name,
    refuse_to_lose,
)
from m2e.terminal import fail, progress, tell, terminal_width

if TYPE_CHECKING:
    from modeling_m2e.record_m2e import MusicEmotion

FORMATS = {".json": "json", ".jsonl": "jsonl", ".csv": "csv"}  # of an output file; all others hold a table


def predict(
    paths: Paths,
    model: Model = None,
    device: Device = "auto",
    form: Annotated[
        Literal["table", "json", "jsonl", "csv"] | None,
        typer.Option("--format", help="json: a list; jsonl: one record per line.", show_default="as FILE, or table"),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write to FILE.", show_default="stdout")
    ] = None,
    window: Window = None,
    batch_size: BatchSize = None,
    workers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Processes that predict at once, each with its own model.")
    ] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", "--skip-existing", help="Skip tracks that FILE (jsonl) or FILE.partial holds.")
    ] = False,
    plot: Annotated[
        str | None, typer.Option(metavar="DIR", help="Draw plane and curve of every track into DIR, and all compared.")
    ] = None,
    plot_format: Annotated[Literal["png", "pdf", "svg"], typer.Option(help="The form of these drawings.")] = "png",
    harmony: Annotated[bool, typer.Option("--harmony/--no-harmony", help="Recognise chords and key.")] = True,
    key_segments: Annotated[
        bool, typer.Option("--key-segments", help="Also tell the keys over time, for music that modulates.")
    ] = False,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Moods in the table.", show_default="5; 3 for several tracks"),
    ] = None,
) -> None:
    """Predict the emotion of music: one record per track.

    A failed track gets a record with its error, and a sentence on stderr; the others go on. JSON Lines are written as
    they come: after a kill, --resume goes on where FILE.partial ends.
    """
    output = None if output == "-" else output
    form = form or FORMATS.get(os.path.splitext(output or "")[1].lower(), "table")
    try:
        sources = collect(paths)
        if not sources:
            raise UsageError("there is nothing to read: stdin named no track.")
        if key_segments and not harmony:
            raise UsageError("--key-segments come from the chords: leave out --no-harmony.")
        if resume and (output is None or form != "jsonl"):
            raise UsageError("--resume needs the file to go on with: -o FILE --format jsonl.")
        if output is not None:
            check_output(output, sources)
            if form == "jsonl" and not resume:
                refuse_to_lose(output)
        earlier = earlier_records(output, sources) if resume else {}
        plots = Plots(plot, plot_format, sources) if plot is not None else None
    except UsageError as error:
        fail(str(error))
    todo = [source for source in sources if identity(source.path) not in earlier]
    if len(todo) < len(sources):
        tell(f"{len(sources) - len(todo)} of {len(sources)} files are already in {output}.")

    from m2e.workers import predictions

    load = partial(load_model, model, device, window, batch_size, harmony, key_segments)
    try:
        with (
            predictions(load, todo, workers) as records,
            open_output(output, earlier.values(), to_be_read=form == "table") as file,
        ):
            failures = write(records, todo, form, file, top_k, plots)
    except ModelError as error:
        named = model is None or model in str(error)
        fail(str(error) if named else f"the model {model} cannot be loaded: {error}")
    except (WorkerError, UsageError) as error:
        fail(str(error) + kept(output), 1)
    except BrokenPipeError:  # whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        tell("interrupted." + kept(output))
        raise typer.Exit(130) from None
    except OSError as error:
        fail(f"{output or 'stdout'} cannot be written: {error.strerror or error}." + kept(output), 1)
    if failures and len(sources) > 1:
        tell(f"{len(failures)} of {len(sources)} files failed:")
    for sentence in failures:
        tell(sentence)
    if failures:
        raise typer.Exit(1)


def write(
    records: Iterator["MusicEmotion"],
    sources: Sequence[Source],
    form: str,
    file: TextIO,
    top_k: int | None,
    plots: Plots | None = None,
) -> list[str]:
    """The sentences of the failed tracks, once the record of every source is written to `file`, and drawn."""
    from m2e.views.records import view

    terminal, options = file.isatty(), {}
    if form == "table":
        width = terminal_width()
        plain = not (file.encoding or "").lower().startswith("utf")
        options = {"top_k": top_k, "width": width, "color": terminal, "ascii_only": plain}
    shown, failures = view(form, **options), []
    visible = len(sources) > 1 and sys.stderr.isatty() and not (terminal and form != "table")  # one of them at a time
    try:
        with progress(len(sources), visible) as begin:
            for index, source in enumerate(sources):
                begin(index, source.path)
                record = next(records)
                if record.error is not None:
                    failures.append(record.error)
                file.write(shown.add(record))
                file.flush()  # what is computed survives a kill
                if plots is not None:
                    plots.add(record)
        if plots is not None:
            plots.end()
    finally:
        file.write(shown.end())
        file.flush()
    return failures


def load_model(
    model: str | None, device: str, window: float | None, batch_size: int | None, harmony: bool, key_segments: bool
):
    from m2e.checkpoints.load import load

    settings = {"window": window, "batch_size": batch_size, "harmony": harmony, "key_segments": key_segments}
    return load(model, device=device, **settings)


def kept(output: str | None) -> str:
    partial = partial_name(output) if output else ""
    return f" What was done is in {partial}." if os.path.exists(partial) else ""
