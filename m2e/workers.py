"""Records of many tracks, predicted by this process or by several."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from m2e.errors import M2EError, WorkerError
from m2e.inputs import Source

if TYPE_CHECKING:
    from modeling_m2e.record_m2e import FailedTrack

R = TypeVar("R")  # the record of a track
DIED = "a worker process died, perhaps because memory ran out: use fewer --workers."
CANNOT_START = "the worker processes could not start: use fewer --workers."


def predict_one(pipe: Callable[[str], R], source: Source) -> "R | FailedTrack":
    """The record of one track. An error of any kind becomes a FailedTrack, so that one track cannot end a batch."""
    if source.error is not None:
        return failed_track(source, source.error, pipe)
    try:
        record = pipe(source.copy or source.path)
    except Exception as error:
        return failed_track(source, sentence_of(error, source), pipe)
    if source.copy is not None and hasattr(record, "path"):
        record.path = source.path
    return record


def sentence_of(error: Exception, source: Source) -> str:
    """The first line of an error's message, with the name of the track, which may have several lines, as it is.

    An error that is not an M2EError also gets the name of its type, one of the system only its reason.
    """
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename not in (None, source.path, source.copy) else ""
        return f"{error.strerror.rstrip('.')}{where}."
    text = str(error).replace(source.copy or source.path, "\0").strip() or type(error).__name__
    line = text.splitlines()[0].replace("\0", source.path)
    return line if isinstance(error, M2EError) else f"{type(error).__name__}: {line}"


def failed_track(source: Source, sentence: str, pipe: object = None) -> "FailedTrack":
    """The record of a track that failed; its sentence names the track, and `pipe` the model."""
    from modeling_m2e.record_m2e import FailedTrack

    named = sentence if source.path in sentence else f"{source.path}: {sentence}"
    return FailedTrack(source.path, named, getattr(pipe, "name", None))


@contextmanager
def predictions(
    load: Callable[[], Callable[[str], R]], sources: Sequence[Source], workers: int = 1
) -> "Iterator[Iterator[R | FailedTrack]]":
    """The records of `sources`, in their order, as they are computed.

    load: gives the model; called once in every process that predicts, and not at all if no source can be read.
    Several workers need it to be picklable.

    Raises: whatever `load` raises, before the first record; WorkerError.
    """
    unreadable = [failed_track(source, source.error) for source in sources if source.error is not None]
    workers = min(workers, len(sources) - len(unreadable))
    if workers == 0:
        yield iter(unreadable)
    elif workers == 1:
        pipe = load()
        yield (predict_one(pipe, source) for source in sources)
    else:
        with _pool(load, workers) as pool:
            yield _results(pool, sources, workers)


@contextmanager
def streamed(
    load: Callable[[], Callable[[str], R]], sources: Iterable[Source], workers: int = 1
) -> "Iterator[Iterator[R | FailedTrack]]":
    """As `predictions`, of very many sources: taken as workers need them, records come as they are ready."""
    if workers == 1:
        pipe = load()
        yield (predict_one(pipe, source) for source in sources)
    else:
        with _pool(load, workers) as pool:
            yield _as_completed(pool, sources, workers)


@contextmanager
def _pool(load: Callable[[], Any], workers: int) -> Iterator[ProcessPoolExecutor]:
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads or a GPU may hang
    pool = ProcessPoolExecutor(workers, spawn, initializer=_start_worker, initargs=(load,))
    try:
        with _starting(workers):
            loaded = pool.submit(_raise_load_error)
        try:
            loaded.result()
        except BrokenExecutor as error:
            raise WorkerError(CANNOT_START) from error
        yield pool
    except BaseException:
        for worker in multiprocessing.active_children():  # nobody needs their results any more
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _results(pool: ProcessPoolExecutor, sources: Sequence[Source], workers: int) -> Iterator[Any]:
    try:
        with _starting(workers):
            records = pool.map(_predict_in_worker, sources)
        yield from records
    except BrokenExecutor as error:
        raise WorkerError(DIED) from error


def _as_completed(pool: ProcessPoolExecutor, sources: Iterable[Source], workers: int) -> Iterator[Any]:
    more, running = iter(sources), set[Future[Any]]()
    try:
        while True:
            with _starting(workers):
                running |= {
                    pool.submit(_predict_in_worker, source) for source in islice(more, 2 * workers - len(running))
                }
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BrokenExecutor as error:
        raise WorkerError(DIED) from error


def available_cores() -> int:
    """The cores that this process may use, which a container or a scheduler may have limited."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _starting(workers: int) -> Iterator[None]:
    """What workers inherit when they are started in this block: a share of the cores, and no Ctrl-C.

    Ctrl-C reaches all processes, but only the parent may act on it. Raises: WorkerError.
    """
    with ExitStack() as undo:
        if "OMP_NUM_THREADS" not in os.environ:  # read when a worker imports torch
            os.environ["OMP_NUM_THREADS"] = str(max(1, available_cores() // workers))
            undo.callback(os.environ.pop, "OMP_NUM_THREADS", None)
        if sys.platform != "win32":
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            undo.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        try:
            yield
        except OSError as error:
            raise WorkerError(CANNOT_START) from error


# --- in a worker process: its model, or the error of loading it ---
_pipe: Callable[[str], Any]
_load_error: Exception | None = None


def _start_worker(load: Callable[[], Callable[[str], Any]]) -> None:
    global _pipe, _load_error
    from tqdm import tqdm

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # tqdm's own lock is a semaphore of all processes, which nobody removes if a worker is terminated
    tqdm.set_lock(threading.RLock())
    try:
        _pipe = load()
    except Exception as error:  # an error here would only say that the pool is broken: the first task raises it
        _load_error = error


def _exit_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _raise_load_error() -> None:
    if _load_error is not None:
        raise _load_error


def _predict_in_worker(source: Source) -> Any:
    _raise_load_error()
    return predict_one(_pipe, source)
