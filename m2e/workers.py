"""Records of many tracks, predicted by this process or by several."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from m2e.errors import ModelError, WorkerError, first_line
from m2e.inputs import Source

if TYPE_CHECKING:
    from modeling_m2e.record_m2e import MusicEmotion

Pipe = Callable[[str], "MusicEmotion"]


def predict_one(pipe: Pipe | None, source: Source) -> "MusicEmotion":
    """The record of one track, failed or not; `pipe` may be None for a source with an error."""
    sentence = source.error
    if sentence is None:
        try:
            return pipe(source.path)
        except Exception as error:  # neither a bad file nor a fault in the code ends the run
            sentence = first_line(error)
            if not isinstance(error, ValueError):  # as AudioError is, which brings a whole sentence
                sentence = f"{type(error).__name__}: {sentence}"
    from modeling_m2e.record_m2e import FailedTrack

    if source.path not in sentence:
        sentence = f"{source.path}: {sentence}"
    return FailedTrack(source.path, sentence, getattr(pipe, "name", None))


@contextmanager
def predictions(
    load: Callable[[], Pipe], sources: Sequence[Source], workers: int = 1
) -> Iterator[Iterator["MusicEmotion"]]:
    """The records of `sources`, in their order, as they come.

    load: makes the model; called once in every process that predicts, not at all where there is nothing to read.
    Several workers need it to be picklable.

    Raises: ModelError before the first record, WorkerError instead of the next.
    """
    workers = min(workers, sum(source.error is None for source in sources))
    if workers > 1:
        with _pool(load, workers) as pool:
            yield _results(pool, sources)
        return
    pipe = _load_or_explain(load) if workers else None
    if isinstance(pipe, str):
        raise ModelError(pipe)
    yield (predict_one(pipe, source) for source in sources)


def _load_or_explain(load: Callable[[], Pipe]) -> Pipe | str:
    try:
        return load()
    except Exception as error:  # of whichever library found the fault
        return first_line(error)


@contextmanager
def _pool(load: Callable[[], Pipe], workers: int) -> Iterator[ProcessPoolExecutor]:
    # Read when a worker imports torch: workers that use all cores each are in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads or a GPU may hang
    pool = ProcessPoolExecutor(workers, spawn, initializer=_start_worker, initargs=(load,))
    try:
        try:
            with _interrupts_wait():
                fault = pool.submit(_fault_in_worker)
            fault = fault.result()
        except (BrokenExecutor, OSError):
            raise WorkerError("the worker processes could not start: use fewer --workers.") from None
        if fault is not None:
            raise ModelError(fault)
        yield pool
    except BaseException:
        for worker in multiprocessing.active_children():  # they would work on for nobody
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C reaches all processes and the parent decides: workers that start meanwhile never see it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _results(pool: ProcessPoolExecutor, sources: Sequence[Source]) -> Iterator["MusicEmotion"]:
    try:
        with _interrupts_wait():
            records = pool.map(_predict_in_worker, sources)
        yield from records
    except BrokenExecutor:
        raise WorkerError("a worker process died, perhaps for want of memory: use fewer --workers.") from None


# --- in a worker process: its model, or why there is none ---
_pipe: Pipe | str | None = None


def _start_worker(load: Callable[[], Pipe]) -> None:
    global _pipe
    from tqdm import tqdm

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # its own is one of all processes, which nobody removes where one is terminated
    _pipe = _load_or_explain(load)


def _leave_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _fault_in_worker() -> str | None:
    return _pipe if isinstance(_pipe, str) else None


def _predict_in_worker(source: Source) -> "MusicEmotion":
    return predict_one(_pipe, source)
