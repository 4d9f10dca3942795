"""`m2e report`: a library as one HTML page."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from m2e.cli.options import Database
from m2e.errors import M2EError, reason
from m2e.terminal import fail, tell


def report(
    records: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="Show the records of m2e predict in FILE (json, jsonl).", show_default="the library"
        ),
    ] = None,
    database: Database = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Write the page to FILE.")] = Path(
        "m2e-report.html"
    ),
    title: Annotated[str, typer.Option(metavar="TEXT", help="Head the page with TEXT.")] = "My music",
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in the browser.")] = False,
) -> None:
    """Write a library as one HTML page.

    The page has a valence-arousal map, histograms, outliers and a table of all tracks. Search, draw around points or
    click on bars to select tracks, and download them as a playlist. It needs no network.
    """
    from m2e.report.page import page
    from m2e.report.rows import library_rows, record_rows
    from m2e.storage import write_text

    missing = 0
    today = date.today()
    try:
        if records is not None:
            if database is not None:
                fail("a page shows records or a library: remove FILE or --db.")
            rows = list(record_rows(records))
        else:
            from m2e.library.database import Library

            with Library.open(database) as library:
                rows, missing = list(library_rows(library)), library.count_missing()
        text = page(rows, title, f"{today.day} {today:%B %Y}", missing)
    except M2EError as error:
        fail(str(error))
    try:
        write_text(output, text)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror or reason(error)}.", 1)
    shown = sum(row.get("error") is None for row in rows)
    tell(f"{output} shows {shown} track{'s' * (shown != 1)}.")
    if browser:
        typer.launch(output.absolute().as_uri())
