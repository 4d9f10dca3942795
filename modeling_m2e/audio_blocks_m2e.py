"""What all readers of audio share: blocks of samples, and the report about a file that is not as it promises."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors_m2e import AudioError

RATE_RANGE = (1_000, 1_000_000)  # Hz; another rate means a damaged header
MAX_BLOCK_SAMPLES = 1 << 22  # over all channels: 16 MiB of float32
# Of the declared length: less may be encoder padding, more means a truncated file.
MISSING_SECONDS, MISSING_SHARE = 0.5, 0.01
# Below this share of its length a file is refused: the larger part, and so its emotion, is unknown.
MIN_SHARE = 0.5

Blocks = Iterator[np.ndarray]  # each (frames, channels) float32


@dataclass(frozen=True)
class Decoded:
    """Audio that is decoded as its blocks are taken.

    rate: in Hz.  vorbis_order: whether channels are in the order of Vorbis and Opus, if there are more than two.
    """

    rate: int
    blocks: Blocks
    vorbis_order: bool = False


def check_rate(rate: Any, name: str) -> int:
    """The rate as an integer; raises AudioError for anything else."""
    if not isinstance(rate, int | float | np.number) or not RATE_RANGE[0] <= rate <= RATE_RANGE[1]:
        raise AudioError(f"{name}: {rate} is no sampling rate in Hz.")
    return round(float(rate))


def block_frames(rate: int, channels: int, seconds: float) -> int:
    """Frames of a block of `seconds`, or fewer: at most `MAX_BLOCK_SAMPLES` over all channels."""
    return max(1, min(int(seconds * rate), MAX_BLOCK_SAMPLES // channels))


@dataclass
class AudioReport:
    """What reading a track showed.

    warnings: one sentence each; empty normally.  seconds_used: of decoded audio; None before the end of the track.
    seconds_expected: of the whole track, from the first block on; None where the source does not say it.
    """

    warnings: list[str] = field(default_factory=list)
    seconds_used: float | None = None
    seconds_expected: float | None = None

    def warn(self, sentence: str) -> None:
        """Adds a sentence once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def check_length(self, name: str, read: float, declared: float) -> bool:
        """Whether the seconds that were read are those that the file declares; a shorter file gives a warning.

        Raises: AudioError where less than MIN_SHARE of the file can be read.
        """
        if declared - read <= max(MISSING_SECONDS, MISSING_SHARE * declared):
            return True
        if read < MIN_SHARE * declared:
            raise AudioError(
                f"{name}: is truncated or damaged, {read:.1f} of {declared:.1f} s can be read; get a complete copy."
            )
        self.warn(f"The file is truncated or damaged: {read:.1f} of {declared:.1f} s can be read.")
        return False
