"""Messages and progress of the commands, all on stderr."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

import typer

NO_TERMINAL_WIDTH = 100  # characters
SECONDS_BETWEEN_LINES = 60.0  # of progress in a log file


def tell(sentence: str) -> None:
    """Prints a message."""
    from m2e.views.records import printable

    if sys.stderr is not None:  # it is closed; print would write to stdout
        print("m2e:", printable(sentence), file=sys.stderr)


def fail(sentence: str, status: int = 2) -> NoReturn:
    """Prints a message and ends the command with an exit status."""
    tell(sentence)
    raise typer.Exit(status)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a standard stream is a terminal; a closed one is None."""
    return stream is not None and stream.isatty()


def terminal_width() -> int:
    """Characters in a line; a fixed number without a terminal."""
    return shutil.get_terminal_size((NO_TERMINAL_WIDTH, 24)).columns


@contextmanager
def progress(total: int | None, visible: bool) -> Iterator[Callable[[int, str], Any]]:
    """A progress bar while the block runs. Call the result with the number of tracks done and the next one's name."""
    if not visible:
        yield lambda done, name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from m2e.views.records import printable

    columns = MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False)
    # if rich redirected stdout, results would go to stderr
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as tracks:
        task = tracks.add_task("", total=total)
        yield lambda done, name: tracks.update(task, completed=done, description=printable(os.path.basename(name)))


@contextmanager
def pace(total: int | None, visible: bool) -> Iterator[Callable[[int, str], Any]]:
    """Progress with tracks per second and, if the total is known, the time left: a bar in a terminal, otherwise a line
    every minute.

    Call the result with the number of tracks done and the next one's name.
    """
    terminal = is_terminal(sys.stderr)
    start = last_line = time.monotonic()

    with progress(total, visible and terminal) as show:

        def begin(done: int, name: str) -> None:
            nonlocal last_line
            now = time.monotonic()
            speed = done / max(now - start, 1e-9)
            show(done, f"{speed:.2f} tracks a second, {os.path.basename(name)}" if done else name)
            if visible and not terminal and done and (now - last_line > SECONDS_BETWEEN_LINES or done == total):
                last_line = now
                left = f", {span((total - done) / speed)} left" if total and done < total else ""
                tell(f"{done}{f' of {total}' if total else ''} tracks, {speed:.2f} tracks a second{left}.")

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
