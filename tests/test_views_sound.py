"""Chords as sound."""

import numpy as np
import pytest
from test_record_m2e import RECORD
from test_views_chords import record

from m2e.errors import UsageError
from m2e.views.sound import PEAK, sonify

pytest.importorskip("pretty_midi")
RATE = 8000
SONG = record((2, "N"), (2, "A:min"), (2, "X"))


def pitches(samples, rate) -> set[int]:
    """Pitch classes of the loudest tones."""
    levels = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    loud = frequencies[levels > 0.3 * levels.max()]
    return {round(69 + 12 * np.log2(frequency / 440)) % 12 for frequency in loud}


def test_the_tones_are_those_of_the_chord():
    samples, rate = sonify(SONG, sampling_rate=RATE)
    assert rate == RATE and samples.shape == (6 * RATE,) and samples.dtype == np.float32
    assert not samples[: 2 * RATE].any() and not samples[4 * RATE :].any()
    assert np.abs(samples).max() == pytest.approx(PEAK)
    assert {9, 0, 4} <= pitches(samples[2 * RATE : 3 * RATE], RATE) <= {9, 0, 4, 7, 11}  # with overtones


def test_beside_the_track_and_mixed_with_it():
    track = (np.sin(np.arange(7 * RATE) / 5).astype(np.float32), RATE)
    beside, _ = sonify(SONG, track, sampling_rate=RATE)
    assert beside.shape == (2, 7 * RATE) and np.abs(beside[0]).max() == pytest.approx(PEAK)
    np.testing.assert_array_equal(beside[1, : 6 * RATE], sonify(SONG, sampling_rate=RATE)[0])
    mixed, _ = sonify(SONG, track, mode="mixed", sampling_rate=RATE)
    np.testing.assert_allclose(mixed, beside.sum(axis=0))
    assert np.abs(mixed).max() <= 1


def test_records_without_chords():
    silent, _ = sonify(record((1, "N")), sampling_rate=RATE)
    assert len(silent) == RATE and not silent.any()
    with pytest.raises(UsageError, match="song.mp3 has no chords to play: predict it with harmony"):
        sonify(type(RECORD)(**{**vars(RECORD), "chords": None}))
    with pytest.raises(UsageError, match="'left': use 'beside' or 'mixed'"):
        sonify(SONG, mode="left")
