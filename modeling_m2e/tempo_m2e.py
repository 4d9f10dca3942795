"""The tempo of a track, by librosa (the extra `tempo`): onset strength, tempogram, beat tracker (Ellis 2007).

librosa is imported where a tempo is asked for, and nowhere else.
"""

from typing import Any

import numpy as np

from .errors_m2e import ModelError

SAMPLING_RATE = 22_050  # Hz, as of the chords: one decode serves both
MIN_SECONDS = 5.0  # a shorter track has too few beats
MIN_TEMPO, MAX_TEMPO = 40.0, 240.0  # beats per minute; what repeats more slowly is a bar or half of one
_FFT, _HOP = 2048, 512  # samples, librosa's own
_WINDOW, _STEP = 344, 43  # frames: 8 s, in which a tempo is constant, taken every second
_BLOCK_SECONDS, _WINDOWS_PER_BLOCK = 30, 600  # what is in memory at once
_TOP_DB = 80.0  # below the loudest: nothing
# Autocorrelation of the onsets at the beat, times the root of the seconds, with which chance falls. Of white noise one
# clip of 5 s in ten has more, of 30 s none; 30 s with drums have 3 to 5, soft ones without drums 0.4 to 3.
_CLEAR = 0.6
_STEADY = 0.15  # of the median interval: an interval further away is a gap or a beat that was missed
_MIN_BEATS = 4


class TempoStream:
    """The tempo of one waveform, which is pushed in blocks. Per second of it, 172 bytes stay in memory.

    Raises: ModelError without librosa.
    """

    def __init__(self) -> None:
        self._librosa = _library()
        self._samples = np.zeros(_FFT // 2, np.float32)  # of frames that are not complete; the first is centred on 0
        self._last: np.ndarray | None = None  # (bands, 1) decibels of the frame before
        self._loudest = -np.inf
        self._strength: list[np.ndarray] = []

    def push(self, waveform: np.ndarray) -> None:
        """waveform: (n,) float32, mono, finite, at SAMPLING_RATE."""
        size = _BLOCK_SECONDS * SAMPLING_RATE
        for start in range(0, len(waveform), size):
            self._samples = np.concatenate([self._samples, waveform[start : start + size]])
            self._take_frames()

    def finish(self) -> float | None:
        """Beats per minute of all that was pushed; None where there is no beat, and for less than MIN_SECONDS."""
        self.push(np.zeros(_FFT // 2, np.float32))
        strength = np.concatenate([np.zeros(1, np.float32), *self._strength])
        if len(strength) < MIN_SECONDS * SAMPLING_RATE / _HOP:
            return None
        about = self._repetition(strength)
        if about is None:
            return None
        about = 2 * about if about < MIN_TEMPO else about
        _, beats = self._librosa.beat.beat_track(onset_envelope=strength, sr=SAMPLING_RATE, hop_length=_HOP, bpm=about)
        if len(beats) < _MIN_BEATS:
            return None
        intervals = np.sort(np.diff(beats))  # `about` is of whole frames, up to 3 % off; the mean of many is exact
        usual = intervals[len(intervals) // 2]
        return float(60 * SAMPLING_RATE / _HOP / intervals[np.abs(intervals - usual) <= _STEADY * usual].mean())

    def _take_frames(self) -> None:
        """Appends the onset strength of all complete frames: of the middle band, as librosa's beat tracker has it."""
        if len(self._samples) < _FFT:
            return
        librosa = self._librosa
        power = librosa.feature.melspectrogram(
            y=self._samples, sr=SAMPLING_RATE, n_fft=_FFT, hop_length=_HOP, center=False
        )
        self._samples = self._samples[power.shape[1] * _HOP :]
        levels = librosa.power_to_db(power, top_db=None)
        self._loudest = max(self._loudest, float(levels.max()))
        if self._last is not None:
            levels = np.concatenate([self._last, levels], axis=1)
        self._last = levels[:, -1:]
        levels = np.maximum(levels, self._loudest - _TOP_DB)
        strength = librosa.onset.onset_strength(S=levels, sr=SAMPLING_RATE, aggregate=np.median, center=False)
        self._strength.append(strength[1:].astype(np.float32))

    def _repetition(self, strength: np.ndarray) -> float | None:
        """Beats per minute at which the onset strength (frames,) repeats itself; None where it does so by chance only.

        As librosa's `tempogram`, but of windows without their means: the mean repeats at every tempo.
        """
        librosa = self._librosa
        size = min(_WINDOW, len(strength))
        frames = librosa.util.frame(strength, frame_length=size, hop_length=_STEP)
        window = librosa.filters.get_window("hann", size)[:, None]
        total = np.zeros(size)
        for start in range(0, frames.shape[1], _WINDOWS_PER_BLOCK):
            block = frames[:, start : start + _WINDOWS_PER_BLOCK]
            repeated = librosa.autocorrelate((block - block.mean(axis=0)) * window, axis=0)
            total += librosa.util.normalize(repeated, axis=0).sum(axis=1)
        if not total[0]:  # no onsets at all
            return None
        tempogram = np.maximum(total / total[0], 0.0)
        found = librosa.feature.tempo(
            tg=tempogram[:, None], sr=SAMPLING_RATE, hop_length=_HOP, max_tempo=MAX_TEMPO, aggregate=None
        ).item()
        lag = round(60 * SAMPLING_RATE / _HOP / found)
        return found if tempogram[lag] > _CLEAR / np.sqrt(len(strength) * _HOP / SAMPLING_RATE) else None


def estimate_tempo(waveform: np.ndarray) -> float | None:
    """Beats per minute of a whole waveform (n,), mono, finite, at SAMPLING_RATE; see `TempoStream.finish`.

    Raises: ModelError without librosa.
    """
    stream = TempoStream()
    stream.push(waveform)
    return stream.finish()


def check_installed() -> None:
    """Raises: ModelError without librosa."""
    _library()


def _library() -> Any:
    try:
        import librosa
    except ImportError as error:
        raise ModelError('The tempo needs librosa: install it with pip install "m2e[tempo]".') from error
    return librosa
