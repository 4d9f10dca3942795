"""Child processes that end with their reader, and with this process however it ends."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

# Runs "$@", and kills the whole process group when stdin ends: when this process dies, its end of the pipe is closed.
# Works on every POSIX system and, unlike Linux's parent-death signal, does not depend on the thread that started it.
_GUARD = (
    'exec 3<&0; "$@" </dev/null 3<&- & child=$!; (read -r line <&3; kill -9 0) >/dev/null 2>&1 & guard=$!; '
    'exec 3<&-; wait "$child"; status=$?; kill -9 "$guard"; exit "$status"'
)
_SHELL = "/bin/sh"
KILLED = (-9, 128 + 9)  # exit statuses of a process that was killed, seen directly and through the shell

_here = threading.local()  # .children of the current thread, where they are to be killed together


class Children:
    """The processes that one thread starts, to be killed by another."""

    def __init__(self) -> None:
        self._lock, self._over = threading.Lock(), False
        self._processes: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """While the block runs, the processes that this thread starts are added."""
        _here.children = self
        try:
            yield
        finally:
            del _here.children

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Adds a process; it is killed at once if `kill` was called before."""
        with self._lock:
            self._processes.append(process)
            over = self._over
        if over:
            kill(process)

    def kill(self) -> None:
        """Kills all processes, and those to come."""
        with self._lock:
            self._over = True
            processes = list(self._processes)
        for process in processes:
            kill(process)


@contextmanager
def running(command: Sequence[str], messages: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a pipe for its stdout, nothing to read, and a group of its own, which is killed with the block.

    messages: the file that takes its stderr.
    """
    guarded = sys.platform != "win32" and os.path.exists(_SHELL)
    process = subprocess.Popen(
        [_SHELL, "-c", _GUARD, _SHELL, *command] if guarded else command,
        stdin=subprocess.PIPE if guarded else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=messages,
        process_group=None if sys.platform == "win32" else 0,
    )
    children = getattr(_here, "children", None)
    if children is not None:
        children.add(process)
    with process:  # closes the pipes and waits
        try:
            yield process
        finally:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a process of `running` and what it has started, unless it was waited for."""
    if process.returncode is not None:  # its id may belong to another one by now
        return
    try:
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it has just ended
        pass
