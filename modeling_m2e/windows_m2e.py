"""Cuts a track of any length into windows of equal length for the encoder, and checks windows."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from .errors_m2e import ModelError

WINDOW_SECONDS = 30.0  # length of the paper's segments
MIN_SECONDS = 0.5  # shorter audio has too few frames for the encoders and for any emotion
MIN_TAIL_SHARE = 0.05  # of a window; a shorter rest belongs to the window before it


@dataclass(frozen=True)
class Window:
    """The part of a track, in seconds, whose emotion a window gives, and its weight (below 1.0 only for a tail)."""

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


class Windows:
    """Cuts a stream of one sampling rate into the windows of `window_plan`; holds about one window and one block."""

    def __init__(self, window_samples: int, sampling_rate: int):
        if window_samples < MIN_SECONDS * sampling_rate:
            seconds = window_samples / sampling_rate
            raise ModelError(f"A window of {seconds:g} s cannot be used: give at least {MIN_SECONDS} s.")
        self.window_samples, self.sampling_rate = window_samples, sampling_rate
        self._held = np.zeros(0, np.float32)  # the end of the track so far
        self._total = self._done = 0  # samples received, and covered by finished windows

    def push(self, samples: np.ndarray) -> list[tuple[np.ndarray, Window]]:
        """The (samples (window_samples,), Window) that these samples complete: none, one or several."""
        size, rate = self.window_samples, self.sampling_rate
        self._held = np.concatenate([self._held, samples])
        self._total += len(samples)
        windows = []
        # A window waits until its successor is certain: a short rest would belong to it.
        while self._total - self._done - size >= MIN_TAIL_SHARE * size:
            start = len(self._held) - (self._total - self._done)
            window = Window(self._done / rate, (self._done + size) / rate, 1.0)
            windows.append((self._held[start : start + size].copy(), window))
            self._done += size
        self._held = self._held[-max(size, self._total - self._done) :]
        return windows

    def finish(self) -> list[tuple[np.ndarray, Window]]:
        """The last window: a full one, the tail, or a whole short track; none where nothing was pushed."""
        plan = window_plan(self._total, self.window_samples, self.sampling_rate)
        new = self._total - self._done
        last = self._held[-max(new, self.window_samples) :][: self.window_samples]
        return [(last.copy(), window) for window in plan[-1:]]
