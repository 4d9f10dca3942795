"""The output file of a command. It keeps its `.partial` name until it is complete, so a killed run can be resumed.

Light to import. Raises UsageError for a file that cannot be used or written.
"""

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

from m2e.errors import UsageError
from m2e.inputs import Source, identity

PARTIAL = ".partial"


def partial_name(output: str) -> str:
    """Path of the file that holds the results until all are there."""
    return os.path.realpath(output) + PARTIAL


def check_output(output: str, sources: Iterable[Source]) -> None:
    """Raises UsageError if `output` cannot be written or is one of the tracks."""
    target = os.path.realpath(output)
    folder = os.path.dirname(target)
    if os.path.isdir(target) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise UsageError(f"{output} cannot be written: give a file in a folder that exists and that you may write to.")
    if target in {os.path.realpath(source.path) for source in sources}:
        raise UsageError(f"{output} is one of the files to read: choose another -o FILE.")


def refuse_to_lose(output: str) -> None:
    """Raises UsageError if a new run would overwrite the records of an interrupted one."""
    if os.path.isfile(partial_name(output)) and os.path.getsize(partial_name(output)):
        raise UsageError(f"{output}{PARTIAL} holds records of an interrupted run: add --resume, or delete the file.")


def earlier_records(output: str, sources: Iterable[Source]) -> dict[str, str]:
    """{identity: JSON line} of the records in `output` and in its partial file.

    The last record of a track counts. Failed tracks that are among `sources` are missing, so that they are tried again.
    Raises UsageError if `output` is not JSON Lines of records.
    """
    target, tracks = os.path.realpath(output), {identity(source.path) for source in sources}
    earlier: dict[str, str] = {}
    for name in (target, target + PARTIAL):
        if not os.path.isfile(name):
            continue
        with open(name, encoding="utf-8", errors="replace", newline="\n") as lines:
            for line in lines:
                try:
                    record = json.loads(line)
                    track, failed = identity(record["path"]), record["error"] is not None
                except (ValueError, KeyError, TypeError, AttributeError):
                    if name == target:
                        raise UsageError(f"{output} is not a file of records: choose another -o FILE.") from None
                    continue  # a line that was cut off when the run was killed
                if not failed or track not in tracks:
                    earlier[track] = line.rstrip("\n") + "\n"
    return earlier


@contextmanager
def open_output(output: str | None, earlier: Iterable[str] = (), for_people: bool = False) -> Iterator[TextIO]:
    """A text file that begins with the lines `earlier`: `output`, or stdout for None.

    The file has its partial name until the block ends without an error.
    for_people: stdout keeps the encoding of the terminal; everything else is UTF-8.
    Raises UsageError for an OSError in the block, except a broken pipe.
    """
    with writing(output or "stdout"), _stdout(for_people) if output is None else _file(output, earlier) as file:
        yield file


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Turns an OSError in the block into a UsageError that names the file or folder; a broken pipe passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror or error}.") from error


@contextmanager
def _stdout(for_people: bool) -> Iterator[TextIO]:
    if isinstance(sys.stdout, io.TextIOWrapper):
        if for_people:
            sys.stdout.reconfigure(errors="replace")
        else:
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    yield sys.stdout


@contextmanager
def _file(output: str, earlier: Iterable[str]) -> Iterator[TextIO]:
    target, partial = os.path.realpath(output), partial_name(output)
    if os.path.exists(target) and not os.path.isfile(target):  # a device or a pipe cannot be replaced
        with _open(target, "w") as file:
            file.writelines(earlier)
            yield file
        return
    merged = partial + ".new"  # `earlier` may come from the partial file
    with _open(merged, "w") as file:
        file.writelines(earlier)
    os.replace(merged, partial)
    try:
        with _open(partial, "a") as file:
            yield file
    except BaseException:
        if not os.path.getsize(partial):
            os.remove(partial)
        raise
    os.replace(partial, target)


def _open(path: str, mode: Literal["w", "a"]) -> TextIO:
    # undecodable bytes of a file name become \udcff, as in JSON
    return open(path, mode, encoding="utf-8", errors="backslashreplace", newline="\n")
