"""`m2e predict`: one record per track."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from m2e import __version__
from m2e.cli.journal import earlier_records, open_journal, refuse_to_lose, starts_again
from m2e.cli.options import (
    MAX_DURATION,
    BatchSize,
    Device,
    Hop,
    MaxDuration,
    Model,
    Paths,
    Precision,
    Runtime,
    Tempo,
    Timeout,
    Verbose,
    Window,
    end_of_pipe,
    interrupted,
    tell_failures,
    tell_skipped,
)
from m2e.cli.output_file import check_output, is_special, locked, open_output, partial_name
from m2e.cli.parquet import ColumnOption, EmbeddingOption, Request, ShardOption, predict_parquet
from m2e.cli.plots import Plots
from m2e.cli.ray_cluster import Engine, NumCpus, NumGpus, RayAddress, Rows, predict_by_ray
from m2e.errors import M2EError, ModelError, UsageError, WorkerError
from m2e.inputs import Source, collect, identity
from m2e.terminal import fail, is_terminal, progress, tell, terminal_width

if TYPE_CHECKING:
    from modeling_m2e import MusicEmotionPipeline
    from modeling_m2e.record_m2e import FailedTrack, MusicEmotion

Text = Literal["table", "json", "jsonl", "csv"]
Format = Literal["table", "json", "jsonl", "csv", "parquet"]
# of output files; default: table
FORMATS: dict[str, Format] = {".json": "json", ".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}


def predict(
    paths: Paths,
    model: Model = None,
    device: Device = "auto",
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Choose the format. json: a list; jsonl: one record per line.",
            show_default="suffix of FILE, or table",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to FILE; parquet: also into a folder.", show_default="stdout"
        ),
    ] = None,
    window: Window = None,
    hop: Hop = None,
    batch_size: BatchSize = None,
    dtype: Precision = "float32",
    runtime: Runtime = "torch",
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Predict in N processes, each with its own model.", show_default="1"),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            "--skip-existing",
            help="Skip tracks already in FILE (jsonl) or FILE.partial, if they have not changed.",
        ),
    ] = False,
    plot: Annotated[
        str | None, typer.Option(metavar="DIR", help="Plot every track, and all on one plane, into DIR.")
    ] = None,
    plot_format: Annotated[Literal["png", "pdf", "svg"], typer.Option(help="Choose the format of the plots.")] = "png",
    harmony: Annotated[bool, typer.Option("--harmony/--no-harmony", help="Recognise chords and key.")] = True,
    key_segments: Annotated[
        bool, typer.Option("--key-segments", help="Also list the keys over time, for music that modulates.")
    ] = False,
    tempo: Tempo = False,
    max_duration: MaxDuration = MAX_DURATION,
    timeout: Timeout = None,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Show K moods in the table.", show_default="5; 3 for several tracks"),
    ] = None,
    shard: ShardOption = None,
    column: ColumnOption = None,
    embedding: EmbeddingOption = False,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    num_cpus: NumCpus = 1,
    num_gpus: NumGpus = 0,
    rows: Rows = 64,
    verbose: Verbose = False,
) -> None:
    """Predict the emotion of music: one record per track.

    A track that fails gets a record with its error, and a message on stderr; the run continues. Records are written to
    FILE.partial one by one, so --resume can resume an interrupted run. A table cannot be resumed.
    """
    output = None if output == "-" else output
    form = form or FORMATS.get(os.path.splitext(output or "")[1].lower(), "table")
    if form != "parquet" and (shard or column or embedding or engine == "ray"):
        fail("--shard, --column, --embedding and --engine ray need --format parquet.")
    settings = {"model": model_identity(model), "window": window, "harmony": harmony, "key_segments": key_segments}
    settings |= {} if hop is None else {"hop": hop}
    settings |= {} if dtype == "float32" else {"dtype": dtype}
    settings |= {"tempo": True} if tempo else {}
    settings |= {} if runtime == "torch" else {"runtime": runtime}
    load = partial(load_model, model, device, window, batch_size, harmony, key_segments, max_duration, timeout)
    load = partial(load, hop=hop, dtype=dtype, tempo=tempo, runtime=runtime)
    if form == "parquet":
        if key_segments and not harmony:
            fail("--key-segments need chords: remove --no-harmony.")
        if plot is not None:
            fail("--plot draws every track, and parquet is for very many: remove one of them.")
        request = Request([*paths], output, shard, column, resume, verbose, model, embedding, settings)
        if engine == "local":
            predict_parquet(request, partial(load, embedding=embedding), workers or 1)
        else:
            cluster = {"address": ray_address, "num_cpus": num_cpus, "num_gpus": num_gpus, "rows": rows}
            predict_by_ray(request, partial(load, embedding=embedding), actors=workers, **cluster)
        return
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        try:
            sources = collect(paths, skipped)
            if not sources:
                raise UsageError("there is nothing to read: stdin is empty.")
            if key_segments and not harmony:
                raise UsageError("--key-segments need chords: remove --no-harmony.")
            if resume and (output is None or form == "table"):
                raise UsageError("--resume needs a file of records: add -o FILE --format jsonl, json or csv.")
            if output is None and sys.stdout is None:
                raise UsageError("stdout is closed: add -o FILE.")
            earlier: dict[str, str] = {}
            outdated: dict[str, str] = {}
            if output is not None:
                check_output(output, sources)
                stack.enter_context(locked(output))
                if form != "table" and resume:
                    if starts_again(output, form):
                        tell(f"{output} is complete and no JSON Lines file: all files are predicted again.")
                    earlier = earlier_records(output, sources, form, settings, outdated)
                elif form != "table":
                    refuse_to_lose(output)
            plots = Plots(plot, plot_format, sources) if plot is not None else None
        except UsageError as error:
            fail(str(error))
        except KeyboardInterrupt:
            interrupted()
        tell_skipped(skipped, verbose)
        todo = [source for source in sources if identity(source.path) not in earlier]
        if len(todo) < len(sources):
            tell(f"{len(sources) - len(todo)} of {len(sources)} files are already in {output}.")
        for reason, count in Counter(outdated.values()).items():
            tell(f"{count} of {len(sources)} files in {output} are predicted again: {reason}.")

        from m2e.workers import predictions

        try:
            with predictions(load, todo, workers or 1) as records:
                if output is None or form == "table" or is_special(output):
                    with open_output(output, for_people=form == "table") as file:
                        failures = write(records, todo, form, file, top_k, plots, tempo=tempo)
                else:
                    with open_journal(output, form, earlier.values(), settings, todo) as journal:
                        failures = write(records, todo, "jsonl", journal.file, top_k, plots, journal.note)
        except (WorkerError, UsageError) as error:
            fail(f"{error} {where_results_are(output)}".rstrip(), 1)
        except M2EError as error:
            fail(str(error))
        except BrokenPipeError:
            end_of_pipe()
        except KeyboardInterrupt:
            interrupted(where_results_are(output))
    tell_failures(failures, len(sources))


def write(
    records: "Iterator[MusicEmotion | FailedTrack]",
    sources: Sequence[Source],
    form: Text,
    file: TextIO,
    top_k: int | None,
    plots: Plots | None = None,
    note: Callable[[Source, str], None] | None = None,
    tempo: bool = False,
) -> list[str]:
    """Writes and plots the record of every source; returns the sentences of the failed tracks.

    note: called with the source and the text of its record before this is written.  tempo: whether it was asked for.
    """
    from m2e.views.records import Table, view

    terminal = file.isatty()
    plain = not (file.encoding or "").lower().startswith("utf")
    shown = Table(top_k, terminal_width(), terminal, ascii_only=plain) if form == "table" else view(form, tempo)
    failures: list[str] = []
    visible = len(sources) > 1 and is_terminal(sys.stderr) and not (terminal and form != "table")  # not among records
    try:
        with progress(len(sources), visible) as begin:
            for index, source in enumerate(sources):
                begin(index, source.path)
                record = next(records)
                if record.error is not None:
                    failures.append(record.error)
                text = shown.add(record)
                if note is not None:
                    note(source, text)
                file.write(text)
                file.flush()  # so that it survives a kill
                if plots is not None:
                    plots.add(source, record)
        if plots is not None:
            plots.end()
    finally:
        file.write(shown.end())
        file.flush()
    return failures


def load_model(
    model: str | None,
    device: str,
    window: float | None,
    batch_size: int | None,
    harmony: bool,
    key_segments: bool,
    max_duration: float,
    timeout: float | None,
    embedding: bool = False,
    hop: float | None = None,
    dtype: str = "float32",
    tempo: bool = False,
    runtime: str = "torch",
) -> "MusicEmotionPipeline":
    from m2e.checkpoints.light_imports import import_lightly
    from m2e.checkpoints.load import load

    import_lightly("modeling_m2e")
    pipe = load(
        model,
        device=device,
        window=window,
        hop=hop,
        batch_size=batch_size,
        dtype=dtype,
        harmony=harmony,
        key_segments=key_segments,
        include_embedding=embedding,
        tempo=tempo,
        max_duration=max_duration,
        timeout=timeout,
    )
    return on_graphs(pipe) if runtime == "onnx" else pipe


def on_graphs(pipe: "MusicEmotionPipeline") -> "MusicEmotionPipeline":
    """The pipeline on the graphs in the folder of its model. Raises ModelError."""
    try:
        from m2e.export.runtime import Graphs
        from m2e.export.seam import with_graphs
    except ImportError as error:
        raise ModelError('--runtime onnx needs ONNX Runtime: install it with pip install "m2e[onnx]".') from error
    return with_graphs(pipe, Graphs(Path(str(pipe.model.name_or_path))))


def model_identity(model: str | None) -> str:
    """The name of a model; a folder also has the time of its weights, the embedded model the version of m2e."""
    if model is None:
        return f"m2e-small of m2e {__version__}"
    weights = os.path.join(model, "model.safetensors")
    return f"{os.path.realpath(model)} {os.stat(weights).st_mtime_ns}" if os.path.isfile(weights) else model


def where_results_are(output: str | None) -> str:
    """After an interrupt: a sentence with the partial file, if there is one."""
    partial = partial_name(output) if output else ""
    return f"The results so far are in {partial}." if os.path.exists(partial) else ""
