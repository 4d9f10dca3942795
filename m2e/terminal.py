"""What the commands say beside their results: sentences and progress, all on stderr."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

NO_TERMINAL_WIDTH = 100  # characters
SECONDS_BETWEEN_LINES = 60.0  # of progress in a log file


def tell(sentence: str) -> None:
    from m2e.views.records import printable

    print("m2e:", printable(sentence), file=sys.stderr)


def fail(sentence: str, status: int = 2) -> NoReturn:
    tell(sentence)
    raise typer.Exit(status)


def terminal_width() -> int:
    """Characters in a line; a fixed number where no terminal listens."""
    return shutil.get_terminal_size((NO_TERMINAL_WIDTH, 24)).columns


@contextmanager
def progress(total: int, visible: bool) -> Iterator[Callable[[int, str], Any]]:
    """A bar on stderr while the block runs; call what it gives with the number of tracks done and the next's name."""
    if not visible:
        yield lambda done, name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from m2e.views.records import printable

    columns = MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False)
    # stdout is not rich's to redirect: results would go to stderr
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as tracks:
        task = tracks.add_task("", total=total)
        yield lambda done, name: tracks.update(task, completed=done, description=printable(os.path.basename(name)))


@contextmanager
def pace(total: int, visible: bool) -> Iterator[Callable[[int, str], Any]]:
    """Progress with tracks per second and what is left, on stderr: a bar in a terminal, else a line now and then.

    Call what it gives with the number of tracks done, and the next one's name.
    """
    terminal = sys.stderr.isatty()
    start = told = time.monotonic()

    with progress(total, visible and terminal) as show:

        def begin(done: int, name: str) -> None:
            nonlocal told
            now = time.monotonic()
            speed = done / max(now - start, 1e-9)
            show(done, f"{speed:.2f} tracks a second, {os.path.basename(name)}" if done else name)
            if visible and not terminal and done and (now - told > SECONDS_BETWEEN_LINES or done == total):
                told = now
                left = f", {span((total - done) / speed)} left" if done < total else ""
                tell(f"{done} of {total} tracks, {speed:.2f} tracks a second{left}.")

        yield begin


def span(seconds: float) -> str:
    """A duration in its two largest units."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    seconds = max(1, round(seconds))
    first = next(index for index, (_, length) in enumerate(units) if seconds >= length)
    counts = []
    for name, length in units[first : first + 2]:
        counts.append(f"{seconds // length} {name}")
        seconds %= length
    return " ".join(counts)
