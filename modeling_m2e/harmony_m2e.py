"""The harmony of one track: its chords, its key, and statistics of both."""

from dataclasses import dataclass, replace

import numpy as np

from .audio_blocks_m2e import AudioReport
from .audio_m2e import AudioInput, stream
from .chord_labels_m2e import NO_CHORD_LABEL, ChordSegment
from .chords_m2e import ChordRecognizer
from .key_m2e import FITTED, Key, estimate_key
from .limits_m2e import Limits
from .silence_m2e import SilenceCutter

MAX_PAUSE_SECONDS = 10.0  # inside the track; a shorter pause is recognised as one
MIN_SILENCE = 0.01  # seconds; shorter gaps are roundings
MIN_PART = 0.1  # seconds; of a chord on one side of left-out silence, less is an error of its border


@dataclass(frozen=True)
class Harmony:
    """Chords without gaps; the key, None where nothing decides it; `duration` of the track in seconds.

    statistics: (cells, CELL_NUMBERS) float32, see `HarmonyStatistics`, each cell with its start in the track; None for
    a recogniser of other classes than the 170.
    seconds_used, warnings: of the audio, see `AudioReport`.
    """

    chords: list[ChordSegment]
    key: Key | None
    statistics: np.ndarray | None
    duration: float
    seconds_used: float | None = None
    warnings: tuple[str, ...] = ()


class HarmonyStream:
    """The harmony of one waveform that arrives in blocks.

    Decoding "paper" takes it as it is, as published. Otherwise chords are recognised in what sounds: silence around the
    music and long pauses are no chord, and change no other chord.
    """

    def __init__(self, recognizer: ChordRecognizer):
        self._rate = recognizer.sampling_rate
        self._chords = recognizer.stream()
        self._silence = None if recognizer.decoding == "paper" else SilenceCutter(self._rate, MAX_PAUSE_SECONDS)
        self._samples = 0

    def push(self, samples: np.ndarray) -> None:
        """Takes the next samples (n,), mono, at the recogniser's sampling rate, of any number."""
        self._samples += len(samples)
        self._chords.push(samples if self._silence is None else self._silence.push(samples))

    @property
    def duration(self) -> float:
        """Seconds that were pushed."""
        return self._samples / self._rate

    def finish(self, duration: float, key_profile: str) -> Harmony:
        """The harmony of a track of `duration` seconds.  key_profile: as in `estimate_key`."""
        if self._silence is None:
            chords, statistics = self._chords.finish(duration), self._chords.statistics()
        else:
            self._chords.push(self._silence.finish())
            chords = with_silence(self._chords.finish(), self._silence.kept_parts(), self._rate, duration)
            statistics = self._chords.statistics()
            if statistics is not None:
                statistics[:, 0] = [
                    self._silence.place(round(start * self._rate)) / self._rate for start in statistics[:, 0]
                ]
        return Harmony(chords, estimate_key(chords, profile=key_profile), statistics, duration)


def with_silence(
    chords: list[ChordSegment], kept: list[tuple[int, int]], rate: int, duration: float
) -> list[ChordSegment]:
    """Chords of the kept samples, at their places in the track; the silence between these is no chord.

    kept: (sample, place) at which each part that was kept begins, see `SilenceCutter.kept_parts`.
    duration: seconds, after which no chord lasts.
    """
    borders = [sample / rate for sample, _ in kept[1:]] + [float("inf")]
    shifts = [(place - sample) / rate for sample, place in kept]
    placed: list[ChordSegment] = []
    part = 0
    for chord in chords:
        start = chord.start
        while start < chord.end:
            while start >= borders[part]:
                part += 1
            end = min(chord.end, borders[part])
            if end - start >= MIN_PART or end - start == chord.duration:
                placed.append(replace(chord, start=start + shifts[part], end=end + shifts[part]))
            start = end
    whole: list[ChordSegment] = []
    for chord in [*placed, ChordSegment(duration, duration, NO_CHORD_LABEL)]:
        before = whole[-1].end if whole else 0.0
        if chord.start - before > MIN_SILENCE:
            whole.append(ChordSegment(before, chord.start, NO_CHORD_LABEL, 1.0))
        whole.append(chord)
    return [replace(chord, end=min(chord.end, duration)) for chord in _joined(whole) if chord.start < duration]


def _joined(chords: list[ChordSegment]) -> list[ChordSegment]:
    """The chords, of which those without a chord that follow each other are one."""
    joined: list[ChordSegment] = []
    for chord in chords:
        if joined and chord.label == joined[-1].label == NO_CHORD_LABEL:
            joined[-1] = replace(joined[-1], end=max(chord.end, joined[-1].end))
        else:
            joined.append(chord)
    return joined


def analyze_harmony(
    source: AudioInput,
    recognizer: ChordRecognizer,
    key_profile: str = FITTED,
    limits: Limits | None = None,
) -> Harmony:
    """The harmony of a track, decoded in blocks and never held whole. Parameters as in `HarmonyStream` and `stream`.

    Raises: AudioError.
    """
    harmony = HarmonyStream(recognizer)
    report = AudioReport()
    for block in stream(source, [recognizer.sampling_rate], report=report, limits=limits):
        harmony.push(block[recognizer.sampling_rate])
    found = harmony.finish(harmony.duration, key_profile)
    return replace(found, seconds_used=report.seconds_used, warnings=tuple(report.warnings))
