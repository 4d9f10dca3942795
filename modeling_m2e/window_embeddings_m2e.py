"""The embeddings of a track's windows, while its samples arrive: consecutive windows, or sliding ones that overlap."""

import numpy as np
import torch

from .encoder_m2e import Encoder
from .errors_m2e import ModelError
from .rows_m2e import Rows
from .windows_m2e import Window, Windows, sliding_plan


class WindowEmbeddings:
    """The encoder's embedding of every window of a track.

    batch: windows of equal length that the encoder embeds at once.
    """

    def __init__(self, encoder: Encoder, window_seconds: float, skip_silence: bool = False, batch: int = 1):
        rate = encoder.sampling_rate
        self._encoder, self._batch = encoder, batch
        self._cutter = Windows(round(window_seconds * rate), rate, skip_silence)
        self._pending: list[tuple[np.ndarray, Window]] = []
        self._windows: list[Window] = []
        self._embeddings = Rows()

    @property
    def duration(self) -> float:
        """Seconds of the track so far."""
        return self._cutter.duration

    def push(self, samples: np.ndarray) -> None:
        """Take the next samples (n,) at the encoder's sampling rate."""
        self._pending += self._cutter.push(samples)
        self._embed(self._batch)

    def finish(self) -> tuple[list[Window], torch.Tensor]:
        """The windows and their embeddings (windows, width)."""
        self._pending += self._cutter.finish()
        self._embed(1)
        embeddings, self._embeddings = torch.from_numpy(self._embeddings.joined()), Rows()  # once, not twice
        return self._windows, embeddings

    def _embed(self, enough: int) -> None:
        while len(self._pending) >= enough:
            equal = _equally_long(self._pending[: self._batch])
            embeddings = self.of(torch.from_numpy(np.stack([samples for samples, _ in equal])))
            self._embeddings.append(embeddings.float().cpu().numpy())
            self._windows += [window for _, window in equal]
            del self._pending[: len(equal)]

    def of(self, windows: torch.Tensor) -> torch.Tensor:
        """What is kept of windows (n, samples): (n, width)."""
        return self._encoder(windows)


def _equally_long(windows: list[tuple[np.ndarray, Window]]) -> list[tuple[np.ndarray, Window]]:
    """The first windows, as many as are as long as the first one."""
    lengths = [len(samples) for samples, _ in windows]
    return windows[: next((at for at, length in enumerate(lengths) if length != lengths[0]), len(windows))]


class SlidingEmbeddings(WindowEmbeddings):
    """Windows that overlap: the means of an encoder's embeddings of each second, which are computed once.

    window_seconds, hop_seconds: whole numbers. Raises ModelError for others and for encoders without such embeddings.
    """

    def __init__(
        self, encoder: Encoder, window_seconds: float, hop_seconds: float, skip_silence: bool = False, batch: int = 1
    ):
        if encoder.seconds is None:
            raise ModelError("The encoder of this model has no embedding of each second: give windows without a hop.")
        if not (window_seconds % 1 == 0 < window_seconds and hop_seconds % 1 == 0 < hop_seconds):
            raise ModelError(
                f"Windows of {window_seconds:g} s with a hop of {hop_seconds:g} s cannot be used: give whole seconds."
            )
        super().__init__(encoder, encoder.window_seconds, skip_silence, batch)
        self._cutter.align = encoder.sampling_rate
        self._seconds = encoder.seconds
        self._size, self._hop = int(window_seconds), int(hop_seconds)

    def of(self, windows: torch.Tensor) -> torch.Tensor:
        return self._seconds(windows).flatten(0, 1)

    def finish(self) -> tuple[list[Window], torch.Tensor]:
        _, seconds = super().finish()
        seconds = self._without_repeated(seconds)
        spans = sliding_plan(len(seconds), self._size, self._hop)
        for row, (start, end) in enumerate(spans):  # in place: a row before the span is not read again
            seconds[row] = seconds[start:end].mean(0)
        rate = self._encoder.sampling_rate
        # an incomplete second belongs to the last window
        ends = [end if end < len(seconds) else end + 1 for _, end in spans]
        windows = [self._cutter.span(start * rate, end * rate) for (start, _), end in zip(spans, ends, strict=True)]
        return windows, seconds[: len(spans)]

    def _without_repeated(self, seconds: torch.Tensor) -> torch.Tensor:
        """Each second of the track once, without a last one that is less than half full."""
        rate, samples = self._encoder.sampling_rate, self._cutter.last_samples
        whole, cells = max(1, round(samples / rate)), -(-samples // rate)
        first, repeated = len(seconds) - cells, (samples - self._cutter.last_new) // rate
        if repeated:  # in place: a long track is not copied
            seconds[first : first + whole - repeated] = seconds[first + repeated : first + whole].clone()
        return seconds[: first + whole - repeated]
