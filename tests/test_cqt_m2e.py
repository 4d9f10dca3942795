"""Constant-Q transform: tones, shapes, and the numbers of librosa. Golden numbers: test_chords_m2e.py."""

import math
import warnings

import numpy as np
import pytest

from modeling_m2e.cqt_m2e import C1, cqt_magnitude, octave_filters

RATE, HOP = 22050, 2048


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.3, shape).astype(np.float32)


def test_a_tone_gives_half_of_the_root_of_its_filters_length():
    times = np.arange(4 * RATE) / RATE
    quality = 1 / math.tanh(math.log(2) / 24)
    for index in (0, 30, 77, 143):
        frequency = C1 * 2 ** (index / 24)
        magnitude = cqt_magnitude(np.sin(2 * np.pi * frequency * times)[None], RATE, HOP)[0]
        middle = magnitude[len(magnitude) // 2]
        assert middle.argmax() == index
        assert middle[index] == pytest.approx(math.sqrt(quality * RATE / frequency) / 2, rel=0.02)


@pytest.mark.parametrize("samples", [128, 5000, 10 * RATE])
def test_a_frame_every_hop_and_one_at_the_start(samples):
    magnitude = cqt_magnitude(noise(2, samples), RATE, HOP)
    assert magnitude.shape == (2, 1 + samples // HOP, 144) and magnitude.dtype == np.float32


def test_waveforms_are_transformed_independently():
    waveforms = noise(3, 2 * RATE)
    together = cqt_magnitude(waveforms, RATE, HOP)
    for waveform, magnitude in zip(waveforms, together, strict=True):
        np.testing.assert_allclose(cqt_magnitude(waveform[None], RATE, HOP)[0], magnitude, atol=1e-6)


def test_filters_are_halved_from_octave_to_octave():
    octaves = octave_filters(RATE, HOP, 150, 24, C1)
    assert [octave.halvings for octave in octaves] == [1, 2, 3, 4, 5, 6, 7]
    assert [octave.hop for octave in octaves] == [1024, 512, 256, 128, 64, 32, 16]
    assert [octave.kernels.shape[1] for octave in octaves] == [48] * 6 + [12]  # the lowest octave has 6 bins


@pytest.mark.parametrize(
    ("samples", "bins", "lowest"),
    [(10 * RATE, 144, C1), (10 * RATE, 180, C1 / math.sqrt(2)), (3 * RATE + 77, 144, C1), (700, 84, 2 * C1)],
)
def test_the_numbers_are_librosa_s(samples, bins, lowest):
    librosa = pytest.importorskip("librosa")
    waveforms = noise(2, samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # filters longer than the waveform
        theirs = librosa.cqt(waveforms, sr=RATE, hop_length=HOP, fmin=lowest, n_bins=bins, bins_per_octave=24)
    ours = cqt_magnitude(waveforms, RATE, HOP, bins, lowest=lowest)
    np.testing.assert_allclose(ours, np.abs(theirs).transpose(0, 2, 1), atol=5e-6)
