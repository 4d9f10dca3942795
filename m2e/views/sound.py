"""Chords of a record as sound, beside the track or mixed with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from m2e.errors import UsageError
from m2e.views.chords import score

if TYPE_CHECKING:  # they import torch
    from modeling_m2e.audio_m2e import AudioInput
    from modeling_m2e.record_m2e import MusicEmotion, TrackHarmony

PEAK = 0.5  # of the chords, and of the track in a mix: together they do not clip


def sonify(
    record: MusicEmotion | TrackHarmony,
    audio: AudioInput | None = None,
    mode: Literal["beside", "mixed"] = "beside",
    sampling_rate: int = 22050,
) -> tuple[np.ndarray, int]:
    """(samples float32, sampling rate): tones of the chords of a record, to check them by ear.

    Without audio: (n,), the chords alone. With the audio of the track: (2, n), the track left and the chords right; or
    (n,), both mixed, for mode="mixed". `IPython.display.Audio(samples, rate=rate)` plays all of them.
    Raises: UsageError for a record without chords; ImportError without pretty_midi; AudioError.
    """
    if mode not in ("beside", "mixed"):
        raise UsageError(f"The mode of sonify is {mode!r}: use 'beside' or 'mixed'.")
    if record.chords is None or record.duration is None:
        raise UsageError(f"{record.path} has no chords to play: predict it with harmony.")
    chords = np.zeros(round(record.duration * sampling_rate), np.float32)
    (piano,) = score(record).instruments
    played = piano.synthesize(sampling_rate, wave=_organ)[: len(chords)]
    chords[: len(played)] = _to_peak(played)
    if audio is None:
        return chords, sampling_rate

    from modeling_m2e.audio_m2e import load

    track = _to_peak(load(audio, sampling_rate)[0])
    both = np.zeros((2, max(len(track), len(chords))), np.float32)
    both[0, : len(track)], both[1, : len(chords)] = track, chords
    return (both if mode == "beside" else both.sum(axis=0)), sampling_rate


def _organ(phase: np.ndarray) -> np.ndarray:
    """A tone with two overtones, so that low notes are audible on small speakers."""
    return np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase)


def _to_peak(samples: np.ndarray) -> np.ndarray:
    peak = float(np.abs(samples).max(initial=0.0))
    return samples * (PEAK / peak) if peak else samples
