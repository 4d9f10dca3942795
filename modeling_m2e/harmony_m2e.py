"""The harmony of one track: its chords, its key, and statistics of both."""

from dataclasses import dataclass, replace

import numpy as np

from .audio_blocks_m2e import AudioReport
from .audio_m2e import AudioInput, stream
from .chord_labels_m2e import ChordSegment
from .chords_m2e import ChordRecognizer, ChordStream
from .key_m2e import FITTED, Key, estimate_key
from .limits_m2e import Limits


@dataclass(frozen=True)
class Harmony:
    """Chords without gaps; the key, None where nothing decides it; `duration` of the track in seconds.

    statistics: (STATISTICS,) float32, see `HarmonyStatistics`; None for a recogniser of other classes than the 170.
    seconds_used, warnings: of the audio, see `AudioReport`.
    """

    chords: list[ChordSegment]
    key: Key | None
    statistics: np.ndarray | None
    duration: float
    seconds_used: float | None = None
    warnings: tuple[str, ...] = ()


def analyze_harmony(
    source: AudioInput,
    recognizer: ChordRecognizer,
    key_profile: str = FITTED,
    limits: Limits | None = None,
) -> Harmony:
    """The harmony of a track, decoded in blocks and never held whole. Parameters as in `finish_harmony` and `stream`.

    Raises: AudioError.
    """
    chords = recognizer.stream()
    report = AudioReport()
    for block in stream(source, [recognizer.sampling_rate], report=report, limits=limits):
        chords.push(block[recognizer.sampling_rate])
    harmony = finish_harmony(chords, chords.duration, key_profile)
    return replace(harmony, seconds_used=report.seconds_used, warnings=tuple(report.warnings))


def finish_harmony(chords: ChordStream, duration: float, key_profile: str) -> Harmony:
    """The harmony of a track of `duration` seconds that was pushed into `chords`.

    key_profile: as in `estimate_key`.
    """
    segments = chords.finish(duration)
    return Harmony(segments, estimate_key(segments, profile=key_profile), chords.statistics(), duration)
