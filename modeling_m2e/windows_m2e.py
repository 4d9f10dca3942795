"""Cuts a track of any length into windows of equal length for the encoder, and checks windows."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from .errors_m2e import ModelError
from .silence_m2e import SilenceCutter

WINDOW_SECONDS = 30.0  # length of the paper's segments
MIN_SECONDS = 0.5  # shorter audio has too few frames for the encoders and for any emotion
MIN_TAIL_SHARE = 0.05  # of a window; a shorter rest belongs to the window before it


@dataclass(frozen=True)
class Window:
    """The part of a track, in seconds, whose emotion a window gives, and its weight (below 1.0 only for a tail).

    It lasts longer than the window where silence inside it was left out.
    """

    start: float
    end: float
    weight: float


def check_windows(windows: torch.Tensor) -> torch.Tensor:
    """Windows (n, samples) as float32. Raises ModelError where they have another shape or are not finite."""
    windows = torch.as_tensor(windows)
    if windows.ndim != 2 or windows.shape[1] == 0 or not windows.is_floating_point():
        kind = f"{tuple(windows.shape)} {windows.dtype}".replace("torch.", "")
        raise ModelError(f"An encoder takes floating-point windows of shape (n, samples), not {kind}.")
    if not torch.isfinite(windows).all():
        raise ModelError("The windows hold NaN or infinite samples: check the audio they were cut from.")
    return windows.float()


def window_plan(samples: int, window_samples: int, sampling_rate: int) -> list[Window]:
    """The windows of a track of `samples` samples.

    All are `window_samples` long. The rest of a track gets a tail: the last `window_samples`, which overlap the window
    before. The tail stands for the new audio only; its weight is the share of new audio in it. New audio below
    `MIN_TAIL_SHARE` of a window belongs to the window before. A track shorter than one window is one shorter window.
    """
    full, tail = divmod(samples, window_samples)
    if not full:
        return [Window(0.0, samples / sampling_rate, 1.0)] if samples else []
    edges = [index * window_samples / sampling_rate for index in range(full + 1)]
    plan = [Window(start, end, 1.0) for start, end in pairwise(edges)]
    if tail >= MIN_TAIL_SHARE * window_samples:
        return [*plan, Window(edges[-1], samples / sampling_rate, tail / window_samples)]
    return [*plan[:-1], replace(plan[-1], end=samples / sampling_rate)]


def sliding_plan(count: int, size: int, hop: int) -> list[tuple[int, int]]:
    """(start, end) of windows of `size` cells, every `hop` cells, over `count` cells; the last one ends with them.

    Fewer cells than a window are one shorter window.
    """
    starts = list(range(0, max(count - size, 0) + 1, hop))
    if starts[-1] + size < count:
        starts.append(count - size)
    return [(start, min(start + size, count)) for start in starts]


class Windows:
    """Cuts a stream of one sampling rate into the windows of `window_plan`; holds about one window and one block.

    skip_silence: silence is no part of a window, see `SilenceCutter`; the times remain those of the track. A track that
    is silent as a whole has one window, its beginning.
    align: attribute; the tail begins at a multiple of so many samples, and is shorter than a window by less than that.
    last_samples, last_new: attributes; of the last window, its samples and those that no window before it has.
    """

    def __init__(self, window_samples: int, sampling_rate: int, skip_silence: bool = False):
        if window_samples < MIN_SECONDS * sampling_rate:
            seconds = window_samples / sampling_rate
            raise ModelError(f"A window of {seconds:g} s cannot be used: give at least {MIN_SECONDS} s.")
        self.window_samples, self.sampling_rate = window_samples, sampling_rate
        self._silence = SilenceCutter(sampling_rate) if skip_silence else None
        self._beginning = np.zeros(0, np.float32)  # of a track in which nothing has sounded
        self._held = np.zeros(0, np.float32)  # the end of what is cut, so far
        self._received = 0  # samples of the track
        self._total = self._done = 0  # samples to cut, and covered by finished windows
        self.align = 1
        self.last_samples = self.last_new = 0

    @property
    def duration(self) -> float:
        """Seconds of the track so far, with its silence."""
        return self._received / self.sampling_rate

    def push(self, samples: np.ndarray) -> list[tuple[np.ndarray, Window]]:
        """The (samples (window_samples,), Window) that these samples complete: none, one or several."""
        self._received += len(samples)
        if self._silence is None:
            return self._cut(samples)
        if not self._total:
            self._beginning = np.concatenate([self._beginning, samples])[: self.window_samples]
        return self._cut(self._silence.push(samples))

    def finish(self) -> list[tuple[np.ndarray, Window]]:
        """The last windows: a full one, the tail, or a whole short track; none where nothing was pushed."""
        windows = []
        if self._silence is not None:
            windows = self._cut(self._silence.finish())
            if not self._total:
                self.last_samples = self.last_new = len(self._beginning)
                return [(self._beginning, self.span(0, 0))] if len(self._beginning) else []
            missing = round(MIN_SECONDS * self.sampling_rate) - self._total
            windows += self._cut(np.zeros(max(0, missing), np.float32))
        plan = window_plan(self._total, self.window_samples, self.sampling_rate)
        new = self._total - self._done
        repeated = min(max(self.window_samples - new, 0), self._done) // self.align * self.align
        last = self._held[len(self._held) - new - repeated :][: self.window_samples]
        self.last_samples, self.last_new = len(last), len(last) - repeated
        return [*windows, *((last.copy(), self._window(self._total, window.weight)) for window in plan[-1:])]

    def span(self, start: int, end: int, weight: float = 1.0) -> Window:
        """The window of these samples, of those that are cut. Of a silent track: the whole track."""
        if self._silence is not None and not self._total:
            return Window(0.0, self.duration, weight)
        end = min(end, self._total)
        if self._silence is not None:
            start, end = self._silence.place(start), self._silence.place(end - 1) + 1
        return Window(start / self.sampling_rate, min(end / self.sampling_rate, self.duration), weight)

    def _cut(self, samples: np.ndarray) -> list[tuple[np.ndarray, Window]]:
        size = self.window_samples
        self._held = np.concatenate([self._held, samples])
        self._total += len(samples)
        windows = []
        # A window waits until its successor is certain: a short rest would belong to it.
        while self._total - self._done - size >= MIN_TAIL_SHARE * size:
            start = len(self._held) - (self._total - self._done)
            window = self._window(self._done + size, 1.0)
            windows.append((self._held[start : start + size].copy(), window))
            self._done += size
        self._held = self._held[-max(size, self._total - self._done) :]
        return windows

    def _window(self, end: int, weight: float) -> Window:
        """The window of the samples from the last finished one to `end`."""
        return self.span(self._done, end, weight)
