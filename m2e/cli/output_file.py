"""The output file of a command. It keeps its `.partial` name until it is complete, so a killed run can be resumed.

Light to import. Raises UsageError for a file that cannot be used or written.
"""

import errno
import hashlib
import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

from m2e.errors import UsageError
from m2e.inputs import Source

PARTIAL = ".partial"
STDOUT = "stdout"  # in messages
MAX_NAME = 255  # bytes, in most file systems


def beside(output: str, suffix: str, hidden: bool = False) -> str:
    """Path of a file in the folder of `output` with its name and `suffix`; a name that gets too long is shortened."""
    folder, name = os.path.split(os.path.realpath(output))
    whole = os.fsencode(f"{'.' if hidden else ''}{name}{suffix}")
    if len(whole) > MAX_NAME:
        whole = os.fsencode(f".m2e-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}{suffix}")
    return os.path.join(folder, os.fsdecode(whole))


def partial_name(output: str) -> str:
    """Path of the file that holds the results until all are there."""
    return beside(output, PARTIAL)


def is_special(output: str) -> bool:
    """Whether the output is a device or a pipe, which cannot be replaced."""
    return os.path.exists(output) and not os.path.isfile(output)


def check_output(output: str, sources: Iterable[Source]) -> None:
    """Raises UsageError if `output` cannot be written or is one of the tracks."""
    target = os.path.realpath(output)
    folder = os.path.dirname(target)
    if os.path.isdir(target) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise UsageError(f"{output} cannot be written: give a file in a folder that exists and that you may write to.")
    if len(os.fsencode(os.path.basename(target))) > MAX_NAME:
        raise UsageError(f"{output} cannot be written: its name is too long.")
    if target in {os.path.realpath(source.path) for source in sources}:
        raise UsageError(f"{output} is one of the files to read: choose another -o FILE.")


@contextmanager
def locked(output: str | None) -> Iterator[None]:
    """While the block runs, no other command can write to `output`. Raises UsageError if one does."""
    if output is None or is_special(output):
        yield
        return
    from filelock import FileLock, Timeout

    name = beside(output, ".lock", hidden=True)
    lock = FileLock(name)
    with writing(output):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(f"Another command is writing to {output}: wait for it, or give another -o FILE.") from None
    try:
        yield
    finally:
        try:
            os.remove(name)  # while it is locked: filelock takes no lock on a removed file
        except OSError:  # Windows does not remove an open file
            pass
        lock.release()


@contextmanager
def open_output(output: str | None, earlier: Iterable[str] = (), for_people: bool = False) -> Iterator[TextIO]:
    """A text file that begins with the lines `earlier`: `output`, or stdout for None.

    The file has its partial name until the block ends without an error.
    for_people: stdout keeps the encoding of the terminal; everything else is UTF-8.
    Raises UsageError for an OSError in the block, except a broken pipe.
    """
    with writing(output or STDOUT), _stdout(for_people) if output is None else _file(output, earlier) as file:
        yield file


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Turns an OSError in the block into a UsageError that names the file or folder; a broken pipe passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if place == STDOUT and error.errno == errno.EINVAL:  # a broken pipe on Windows
            raise BrokenPipeError from error
        raise UsageError(f"{place} cannot be written: {error.strerror or error}.") from error


def convert(output: str, lines: Iterable[str]) -> None:
    """Replaces the partial file by `output`, which holds `lines`."""
    replace_with(os.path.realpath(output), beside(output, f"{PARTIAL}.new"), lines)
    os.remove(partial_name(output))


def replace_with(path: str, temporary: str, lines: Iterable[str]) -> None:
    """Replaces a file by one that holds `lines`; a kill leaves the old one."""
    with _open(temporary, "w") as file:
        file.writelines(lines)
    os.replace(temporary, path)


@contextmanager
def _stdout(for_people: bool) -> Iterator[TextIO]:
    if sys.stdout is None:
        raise UsageError("stdout is closed: add -o FILE.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        if for_people:
            sys.stdout.reconfigure(errors="replace")
        else:
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    yield sys.stdout


@contextmanager
def _file(output: str, earlier: Iterable[str]) -> Iterator[TextIO]:
    if is_special(output):
        with _open(output, "w") as file:
            file.writelines(earlier)
            yield file
        return
    with open_partial(output, earlier) as file:
        yield file
    os.replace(partial_name(output), os.path.realpath(output))


@contextmanager
def open_partial(output: str, earlier: Iterable[str] = ()) -> Iterator[TextIO]:
    """The partial file of `output`, to append to; it begins with the lines `earlier`. An empty one is removed."""
    partial = partial_name(output)
    replace_with(partial, beside(output, f"{PARTIAL}.new"), earlier)  # `earlier` may come from the partial file
    try:
        with _open(partial, "a") as file:
            yield file
    except BaseException:
        if not os.path.getsize(partial):
            os.remove(partial)
        raise


def _open(path: str, mode: Literal["w", "a"]) -> TextIO:
    # undecodable bytes of a file name become \udcff, as in JSON
    return open(path, mode, encoding="utf-8", errors="backslashreplace", newline="\n")
