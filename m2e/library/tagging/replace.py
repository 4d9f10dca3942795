"""An audio file replaced by its new state: completely or not at all, and not while another program writes to it."""

import contextlib
import os
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from hashlib import sha256

from m2e.errors import AudioError, reason
from m2e.library.tagging.delta import MAX_BYTES

if sys.platform != "win32":  # mypy checks the code for each platform by these conditions
    import fcntl

TEMPORARY = ".m2e-tag-"  # first letters of a temporary file's name

FileState = tuple[int, int, int]  # inode, size and time of the last change: another one means another content


def file_state(path: str) -> FileState:
    """Raises OSError."""
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


def why_not_writable(path: str) -> str | None:
    """The sentence that says why a file is left alone; None if it can be replaced."""
    try:
        status = os.stat(path)
        folder = os.path.dirname(path)
        if not stat.S_ISREG(status.st_mode):
            return f"{path}: is not a regular file and is left alone."
        if not status.st_mode & 0o222 or not os.access(path, os.W_OK):
            return f"{path}: is read-only and is left alone."
        # on Windows that bit of a folder means that it has an icon of its own, as Music has
        read_only = sys.platform != "win32" and not os.stat(folder).st_mode & 0o222
        if read_only or not os.access(folder, os.W_OK):
            return f"{path}: its folder is read-only, so it is left alone."
        if status.st_nlink > 1:
            return f"{path}: has another name (a hard link) that would keep the old tags, so it is left alone: copy it."
        if status.st_size > MAX_BYTES:
            return f"{path}: is larger than {MAX_BYTES >> 30} GiB and is left alone, since it could not be restored."
        if is_being_written(path):
            return f"{path}: is being written by another program and is left alone."
    except OSError as error:
        return f"{path}: cannot be written ({error.strerror or reason(error)})."
    return None


def is_being_written(path: str) -> bool:
    """Whether another program has the file open for writing, or has locked it, as far as the system can say."""
    if sys.platform != "win32":  # there, an open file cannot be replaced
        with open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:  # a file system without locks
                pass
            if not hasattr(fcntl, "F_SETLEASE") or threading.current_thread() is not threading.main_thread():
                return False
            before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # sent if a writer comes while the lease lasts
            try:
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)  # not granted while the file is open for writing
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            except BlockingIOError:
                return True
            except OSError:  # not ours, or a file system without leases
                pass
            finally:
                signal.signal(signal.SIGIO, before)
    return False


class Replacement:
    """A new state of a file, beside it until `commit`. Use as a context: what is not committed is removed.

    path: of the temporary file, at first a copy of the file; change it in place.  earlier: the bytes of the file.
    """

    def __init__(self, path: str, state: FileState | None = None):
        """state: that the file should still have.

        Raises AudioError if the file must be left alone or cannot be copied.
        """
        self._target = os.path.realpath(path)
        self._name = path
        if sentence := why_not_writable(self._target):
            raise AudioError(sentence.replace(self._target, path, 1))
        folder, name = os.path.split(self._target)
        unique = sha256(os.fsencode(name)).hexdigest()[:16]
        # hidden, and with the suffix from which programs tell the format
        self.path = os.path.join(folder, f"{TEMPORARY}{unique}{os.path.splitext(name)[1]}")
        with self._one_sentence():
            self._state = state or file_state(self._target)
            self._status = os.stat(self._target)
            with open(self._target, "rb") as file:
                self.earlier = file.read()
            self.write(self.earlier)

    @property
    def mtime_ns(self) -> int:
        """The time of the last change of the file before it is replaced."""
        return self._status.st_mtime_ns

    def write(self, content: bytes) -> None:
        """Sets the new state."""
        with self._one_sentence():
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.path)  # also one that a kill has left
            with open(self.path, "xb", opener=_private) as copy:
                copy.write(content)

    def content(self) -> bytes:
        """The new state as it is now."""
        with self._one_sentence(), open(self.path, "rb") as copy:
            return copy.read()

    def commit(self, mtime_ns: int | None = None) -> None:
        """Replaces the file; mode, owner and extended attributes stay, and so does the time of a change that is given.

        Raises AudioError if another program has changed the file meanwhile.
        """
        with self._one_sentence():
            shutil.copystat(self._target, self.path)
            if hasattr(os, "chown"):
                with contextlib.suppress(PermissionError):
                    os.chown(self.path, self._status.st_uid, self._status.st_gid)
            os.utime(self.path, ns=(self._status.st_atime_ns, time.time_ns() if mtime_ns is None else mtime_ns))
            with open(self.path, "rb+") as copy:
                os.fsync(copy.fileno())
            if file_state(self._target) != self._state or is_being_written(self._target):
                raise AudioError(f"{self._name}: was changed by another program meanwhile and is left alone.")
            os.replace(self.path, self._target)
            _sync_folder(os.path.dirname(self._target))

    def __enter__(self) -> "Replacement":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            os.remove(self.path)

    @contextlib.contextmanager
    def _one_sentence(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                os.remove(self.path)
            raise AudioError(f"{self._name}: cannot be written ({error.strerror or reason(error)}).") from error


def _private(path: str, flags: int) -> int:
    """Opens a file that only its owner may read: it may be the copy of such a file."""
    return os.open(path, flags, 0o600)


def _sync_folder(folder: str) -> None:
    """Makes a new name survive a loss of power, where the system can."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError:  # some network file systems cannot
            pass
        finally:
            os.close(descriptor)
