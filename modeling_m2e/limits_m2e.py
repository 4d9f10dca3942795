"""How long a track may be and how long its analysis may take."""

import math
import queue
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from .child_process_m2e import Children
from .errors_m2e import AudioError

T = TypeVar("T")
_SECONDS_TO_END = 1.0  # that a stopped thread has to remove its files


class OutOfTime(Exception):
    """The time is up."""


@dataclass(frozen=True)
class Limits:
    """Beyond these a track is refused.

    max_duration: seconds of audio.  timeout: seconds from the first block that is asked for to the last.
    """

    max_duration: float = math.inf
    timeout: float = math.inf

    def checked(self, name: str, blocks: "Generator[tuple[int, np.ndarray]]") -> Iterator[tuple[int, np.ndarray]]:
        """The decoded blocks, (sampling rate, samples (n,)), of the track `name`, as long as they keep the limits.

        Raises: AudioError, also while a decoder hangs.
        """
        end, seconds = time.monotonic() + self.timeout, 0.0
        with closing(blocks if self.timeout == math.inf else in_time(blocks, end)) as checked:
            try:
                for rate, mono in checked:
                    seconds += len(mono) / rate
                    if seconds > self.max_duration:  # a small file may decode to days
                        raise AudioError(f"{name}: is longer than {_duration(self.max_duration)}; give a part of it.")
                    if time.monotonic() > end:
                        raise OutOfTime
                    yield rate, mono
            except OutOfTime:
                raise AudioError(
                    f"{name}: takes longer than {_duration(self.timeout)}; give a shorter track."
                ) from None


def in_time(items: "Generator[T]", end: float) -> "Generator[T]":
    """The items, made one ahead by a thread of their own.

    When the iteration ends early, the thread's child processes are killed. A thread that hangs is left behind.
    Raises: what `items` raises; OutOfTime when `time.monotonic()` reaches `end`.
    """
    made: queue.Queue[tuple[str, Any]] = queue.Queue(1)
    stop, children = threading.Event(), Children()

    def make() -> None:
        try:
            with children.collected(), closing(items):
                for item in items:
                    made.put(("item", item))
                    if stop.is_set():
                        return
            made.put(("end", None))
        except BaseException as error:
            made.put(("error", error))

    thread = threading.Thread(target=make, daemon=True, name="m2e-decoder")
    thread.start()
    try:
        while True:
            try:
                kind, value = made.get(timeout=min(max(0.0, end - time.monotonic()), threading.TIMEOUT_MAX))
            except queue.Empty:
                raise OutOfTime from None
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        children.kill()
        if not made.empty():  # the thread may wait to hand over one more
            made.get_nowait()
        thread.join(_SECONDS_TO_END)


def _duration(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} seconds"
