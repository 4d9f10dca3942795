"""What the commands say beside their results: sentences and progress, all on stderr."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer


def tell(sentence: str) -> None:
    from m2e.report import printable

    print("m2e:", printable(sentence), file=sys.stderr)


def fail(sentence: str, status: int = 2) -> NoReturn:
    tell(sentence)
    raise typer.Exit(status)


@contextmanager
def progress(total: int, visible: bool) -> Iterator[Callable[[int, str], Any]]:
    """A bar on stderr while the block runs; call what it gives with the number of tracks done and the next's name."""
    if not visible:
        yield lambda done, name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from m2e.report import printable

    columns = MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False)
    # stdout is not rich's to redirect: results would go to stderr
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as tracks:
        task = tracks.add_task("", total=total)
        yield lambda done, name: tracks.update(task, completed=done, description=printable(os.path.basename(name)))
