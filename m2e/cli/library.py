"""`m2e library`: the database of a music library. `scan` fills it, `status` describes it, `query` searches it."""

import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from m2e.cli.options import (
    MAX_DURATION,
    BatchSize,
    Database,
    Device,
    Model,
    Tempo,
    Verbose,
    Window,
    interrupted,
    tell_skipped,
)
from m2e.cli.predict import load_model
from m2e.cli.track_output import Form, Null, Output, Relative, chosen_form, refuse, write_tracks
from m2e.errors import M2EError, UsageError
from m2e.terminal import fail, pace, tell
from m2e.views.records import printable

if TYPE_CHECKING:
    from m2e.library.scan import ScanPlan

SHOWN_FAILURES = 10
TABLE_ROWS = 50

app = typer.Typer(help="Keep a music library: scan folders, then query them by mood.", no_args_is_help=True)


@app.command()
def scan(
    paths: Annotated[
        list[str], typer.Argument(metavar="DIR", help="Folders with music; also files, globs and playlists.")
    ],
    database: Database = None,
    model: Model = None,
    device: Device = "auto",
    window: Window = None,
    batch_size: BatchSize = None,
    workers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Predict in N processes, each with its own model.")
    ] = 1,
    harmony: Annotated[bool, typer.Option("--harmony/--no-harmony", help="Recognise chords and key.")] = True,
    tempo: Tempo = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try files again that failed before.")] = False,
    gone: Annotated[
        bool, typer.Option("--gone", help="Mark files as missing even if their whole disk seems to be away.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Predict the tracks in folders, and remember them.

    A later scan predicts only what is new, what has changed, or what another model or setting predicted. Tracks are
    known by their audio: names, places and tags may change. A scan may be interrupted at any time; start it again.
    """
    try:
        from m2e.library.database import Library
        from m2e.library.scan import plan_scan, settings_of

        with Library.open(database, create=True) as library:
            settings = settings_of(model, window, harmony, tempo)
            plan = plan_scan(library, paths, settings, retry, gone)
            tell_skipped(plan.skipped, verbose)
            for sentence in (*plan.errors, *plan.away):
                tell(sentence)
            load = partial(_load, model, device, window, batch_size, harmony, tempo)
            failures = _run(plan, load, workers, retry)
            missing = plan.finish()
            if missing:
                files = "1 file is" if missing == 1 else f"{missing} files are"
                tell(f"{files} missing: m2e library status --missing lists them.")
    except M2EError as error:
        fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        interrupted("What was predicted is stored; start the scan again to go on.")
    if failures or plan.errors:
        raise typer.Exit(1)


def _run(plan: "ScanPlan", load: "partial[object]", workers: int, retry: bool) -> list[str]:
    """The sentences of the files that failed, which are told, as is what was done."""
    from m2e.library.scan import run

    counts = {"predicted": 0, "known": 0, "failed": 0, "gone": 0}
    failures: list[str] = []
    start = time.monotonic()
    with (
        run(plan, load, workers, retry) as outcomes,  # type: ignore[arg-type]
        pace(len(plan.todo), visible=sys.stderr is not None) as begin,
    ):
        for done, outcome in enumerate(outcomes, 1):
            counts[outcome.what] += 1
            if outcome.sentence is not None:
                failures.append(outcome.sentence)
            begin(done, outcome.path)
    for sentence in failures[:SHOWN_FAILURES]:
        tell(sentence)
    if len(failures) > SHOWN_FAILURES:
        tell(f"{len(failures) - SHOWN_FAILURES} more files failed: m2e library status lists them.")
    files = plan.unchanged + len(plan.todo)
    seconds = time.monotonic() - start
    speed = f" in {seconds:.0f} s ({counts['predicted'] / seconds:.2g} a second)" if counts["predicted"] else ""
    known = plan.unchanged + counts["known"]
    tell(f"{files} files: {counts['predicted']} predicted{speed}, {known} known, {counts['failed']} failed.")
    return failures


def _load(
    model: str | None, device: str, window: float | None, batch_size: int | None, harmony: bool, tempo: bool
) -> object:
    limits = MAX_DURATION, None
    return load_model(model, device, window, batch_size, harmony, False, *limits, embedding=True, tempo=tempo)


@app.command()
def status(
    database: Database = None,
    missing: Annotated[bool, typer.Option("--missing", help="List the files that are missing.")] = False,
) -> None:
    """Describe a library: its folders, models, and the files that cannot be used."""
    from m2e.library.database import Library, default_path

    path = database or default_path()
    try:
        with Library.open(path) as library:
            files = list(library.files())
            print(f"database   {printable(path)} ({_size(path)})")
            for root, scanned in library.roots().items():
                when = time.strftime("%Y-%m-%d %H:%M", time.localtime(scanned))
                print(f"folder     {printable(root)}, scanned {when}")
            there = [file for file in files if not file.missing]
            lost = [file for file in files if file.missing]
            names = {file.track_id for file in there if file.track_id is not None}
            print(f"files      {len(there)}, {len(lost)} missing")
            print(f"tracks     {len(names)}, {len(library)} with a record")
            for settings, count in library.counts_of_settings():
                print(f"model      {_settings(settings)}: {count} records")
            failures = library.failures()
            print(f"failed     {len(failures)}")
            for name, error in failures:  # the sentence may name another file of the same content
                print("  " + printable(error if name in error else f"{name}: {error}"))
            if missing:
                print("missing")
                for file in sorted(lost):
                    print("  " + printable(file.path))
    except M2EError as error:
        fail(str(error))


def _size(path: str) -> str:
    size = os.path.getsize(path) / 2**20
    return f"{size:.1f} MiB"


def _settings(settings: dict[str, object]) -> str:
    window = f", windows of {settings['window']} s" if settings.get("window") else ""
    tempo = ", with tempo" if settings.get("tempo") else ""
    return f"{settings.get('model')}{window}{'' if settings.get('harmony', True) else ', without harmony'}{tempo}"


@app.command()
def query(
    text: Annotated[
        str, typer.Argument(metavar="QUERY", help='For example: "calm and happy, not dark, valence > 6, key = Am".')
    ] = "",
    database: Database = None,
    sort: Annotated[
        str | None,
        typer.Option(metavar="FIELDS", help="Sort by fields or moods; -FIELD sorts downwards.", show_default="id"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Show the first N tracks.", show_default=f"{TABLE_ROWS} in a table"),
    ] = None,
    form: Form = None,
    output: Output = None,
    relative: Relative = None,
    null: Null = False,
) -> None:
    """Find tracks by moods, valence, arousal, key, tags and more; docs/library.md describes the language.

    Parts are joined by "and", "or", "not" and commas. A percentage is a percentile of the library: "arousal > 80%"
    finds the fifth of the tracks with the highest arousal.
    """
    try:
        form = chosen_form(form, output, null)
        from m2e.library.database import Library
        from m2e.library.query import Tracks, order, search

        with Library.open(database) as library:
            tracks = Tracks(library)
            found = search(tracks, text)
            if sort is not None:
                found = order(tracks, found, sort)
            shown = found[: limit or (TABLE_ROWS if form == "table" else None)]
            if len(found) or form != "table":
                write_tracks(library.tracks(tracks.ids[shown]), form, output, relative, null)
            for sentence in tracks.notes:
                tell(sentence)
            if not len(found):
                tell("no track fits.")
            elif len(shown) < len(found):
                tell(f"{len(shown)} of {len(found)} tracks are shown{'' if limit else ': --limit N shows more'}.")
    except M2EError as error:
        refuse(error)
    if not len(found):
        raise typer.Exit(1)
