"""Mel filters: their shape, and the numbers of librosa."""

import numpy as np
import pytest
import torch

from modeling_m2e.mel_m2e import mel_filters


def test_triangles_have_peaks_of_one_and_meet_halfway():
    filters = mel_filters(22050, 1 << 16, 40, 30, 11000)
    assert filters.shape == ((1 << 15) + 1, 40) and filters.dtype == torch.float32
    assert (filters.amax(0) > 0.95).all() and filters.amax() <= 1 and filters.min() == 0
    hz = np.fft.rfftfreq(1 << 16, 1 / 22050)
    outside = torch.from_numpy((hz < 30) | (hz > 11000))
    assert filters[outside].sum() == 0
    inner = torch.from_numpy((hz > 200) & (hz < 9000))
    torch.testing.assert_close(filters[inner].sum(1), torch.ones(int(inner.sum())))


def test_areas_are_equal():
    filters = mel_filters(16000, 1 << 14, 40, equal_area=True)
    torch.testing.assert_close(filters.sum(0) * 16000 / (1 << 14), torch.ones(40), atol=0.01, rtol=0)


def test_the_scale_is_linear_below_1000_hz():
    filters = mel_filters(16000, 1 << 14, 60)
    peaks = filters.argmax(0).numpy() * 16000 / (1 << 14)
    steps = np.diff(peaks)
    assert np.ptp(steps[peaks[1:] < 950]) <= 2 and steps[-1] > 2 * steps[0]


@pytest.mark.parametrize(
    ("rate", "n_fft", "ours", "theirs"),
    [
        (22050, 1024, {"low": 30, "high": 11000}, {"fmin": 30, "fmax": 11000, "norm": None}),
        (16000, 512, {"equal_area": True}, {}),
        (16000, 512, {"scale": "htk"}, {"htk": True, "norm": None}),
    ],
)
def test_the_numbers_are_librosa_s(rate, n_fft, ours, theirs):
    librosa = pytest.importorskip("librosa")
    expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=96, **theirs)
    np.testing.assert_allclose(mel_filters(rate, n_fft, 96, **ours).numpy(), expected.T, atol=1e-7)
