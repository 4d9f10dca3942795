"""Mixes channels down to mono float32, and notices samples that are not on the scale of audio, [-1, 1]."""

import numpy as np

from .audio_blocks_m2e import AudioReport
from .errors_m2e import AudioError

SILENCE_PEAK = 1e-4  # -80 dBFS
QUIET_PEAK = 0.01  # -40 dBFS
# ITU-R BS.775: the centre counts as much in both sides, the surround channels 3 dB less, the bass channel not at all.
_C, _S = 0.5**0.5, 0.5**1.5
_DOWNMIX = {
    3: (0.5, 0.5, _C),
    4: (0.5, 0.5, _S, _S),
    5: (0.5, 0.5, _C, _S, _S),
    6: (0.5, 0.5, _C, 0.0, _S, _S),
    7: (0.5, 0.5, _C, 0.0, _S, _S, _S),
    8: (0.5, 0.5, _C, 0.0, _S, _S, _S, _S),
}
# Vorbis and Opus order the channels in their own way: the centre is the second, the bass channel the last.
_DOWNMIX_VORBIS = {
    3: (0.5, _C, 0.5),
    5: (0.5, _C, 0.5, _S, _S),
    6: (0.5, _C, 0.5, _S, _S, 0.0),
    7: (0.5, _C, 0.5, _S, _S, _S, 0.0),
    8: (0.5, _C, 0.5, _S, _S, _S, _S, 0.0),
}
_CANCELLED = 0.01  # share of the power of the channels that is left in mono: -20 dB
_LOUDEST_FLOAT = 8.0  # beyond it, most samples are on the scale of integers
_INTEGER_SCALES = (2.0**7, 2.0**15, 2.0**23, 2.0**31)
_OFFSET, _OFFSET_SECONDS = 0.02, 0.5  # a mean that music has not, over at least this time
_CLIPPED_SHARE, _FULL_SCALE = 0.01, 0.999


class MonoMixer:
    def __init__(self, name: str, rate: int, report: AudioReport, vorbis_order: bool = False):
        self.name, self.rate, self.report = name, rate, report
        self._weights = _DOWNMIX | _DOWNMIX_VORBIS if vorbis_order else _DOWNMIX
        self._scale = 1.0
        self._offset: np.ndarray | None = None  # of every channel, once it is known
        self._low, self._high, self._clipped, self._samples = np.inf, -np.inf, 0, 0
        self._active: np.ndarray | None = None  # channels with sound

    def mix(self, block: np.ndarray) -> np.ndarray:
        """(n,) float32 of a block (n, channels). Raises: AudioError for samples that are no audio."""
        if not len(block):
            return np.zeros(0, np.float32)
        block = np.asfortranarray(block)  # channel by channel: sums and maxima are several times as fast
        block = self._without_offset(self._on_scale(block))
        mono = np.ascontiguousarray(block[:, 0] if block.shape[1] == 1 else self._mixed(block), dtype=np.float32)
        self._low, self._high = min(self._low, float(mono.min())), max(self._high, float(mono.max()))
        full = block >= _FULL_SCALE
        full |= block <= -_FULL_SCALE
        self._clipped += int(full.any(axis=1).sum())
        self._samples += len(mono)
        return mono

    def check(self) -> None:
        """Warns about the whole track. Raises: AudioError where it is silent."""
        peak = max(abs(self._high), abs(self._low))
        if peak < SILENCE_PEAK:
            raise AudioError(f"{self.name}: is silent from beginning to end (never above -80 dBFS in mono).")
        if self._active is not None and len(self._active) > 1 and self._active.sum() == 1:
            self.report.warn(f"Only one of {len(self._active)} channels has sound; the others were ignored.")
        if peak < QUIET_PEAK:
            self.report.warn(f"The track is nearly silent: its peak is {20 * np.log10(peak):.0f} dBFS.")
        if self._clipped > _CLIPPED_SHARE * self._samples:
            self.report.warn(f"The track is clipped: {self._clipped / self._samples:.0%} of it is at full scale.")

    def _on_scale(self, block: np.ndarray) -> np.ndarray:
        peak = float(_peaks(block).max())
        if not np.isfinite(peak):
            raise AudioError(f"{self.name}: holds NaN or infinite samples; export it again from its original.")
        if peak > _LOUDEST_FLOAT * self._scale:
            if np.percentile(np.abs(block), 99) <= self._scale:  # single samples
                self.report.warn("Single samples far beyond full scale were clipped.")
                return (block / self._scale).clip(-1, 1)
            scale = next((scale for scale in _INTEGER_SCALES if peak <= scale), None)
            if scale is None:
                raise AudioError(
                    f"{self.name}: has samples up to {peak:.0e}, which is no scale of audio; scale them to [-1, 1]."
                )
            self._scale = scale
            bits = round(np.log2(scale)) + 1
            self.report.warn(f"The samples are on the scale of {bits}-bit integers; they were divided by 2^{bits - 1}.")
        return block if self._scale == 1.0 else block / np.float32(self._scale)

    def _without_offset(self, block: np.ndarray) -> np.ndarray:
        if self._offset is None:
            if len(block) < _OFFSET_SECONDS * self.rate:
                return block
            self._offset = block.mean(axis=0, dtype=np.float64).astype(np.float32)
            self._offset[np.abs(self._offset) < _OFFSET] = 0.0
            if self._offset.any():
                largest = self._offset[np.abs(self._offset).argmax()]
                self.report.warn(f"The samples have a DC offset of {largest:.2f}, which was subtracted.")
        if len(self._offset) != block.shape[1] or not self._offset.any():
            return block
        return np.asarray(block - self._offset)

    def _mixed(self, block: np.ndarray) -> np.ndarray:
        channels = block.shape[1]
        sounding = _peaks(block) >= SILENCE_PEAK
        if self._active is None or len(self._active) != channels:
            self._active = np.zeros(channels, bool)
        self._active |= sounding
        active = np.flatnonzero(sounding)
        if len(active) == 1:
            return block[:, active[0]]
        weights = self._weights.get(channels)
        if weights is None:  # no standard layout: the mean of those with sound
            used = active if len(active) else np.arange(channels)
            mono = block[:, used].mean(axis=1, dtype=np.float32)
        else:
            mono = block @ np.asarray(weights, np.float32)
        powers = np.array([channel @ channel for channel in block.T])
        if len(active) > 1 and mono @ mono < _CANCELLED * powers.mean():
            self.report.warn("The channels cancel each other out in mono; only the strongest was used.")
            return block[:, powers.argmax()]
        return np.asarray(mono)


def _peaks(block: np.ndarray) -> np.ndarray:
    """(channels,) largest absolute values of a block (n, channels), without a copy of it."""
    return np.maximum(block.max(axis=0), -block.min(axis=0))
