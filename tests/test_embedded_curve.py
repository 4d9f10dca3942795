"""The curve of the model in the package follows music that changes."""

import composed
import numpy as np
import pytest

import m2e

HALF = 30.0  # seconds


@pytest.fixture(scope="module")
def pipe():
    return m2e.load(device="cpu")


def halves(pipe, first: np.ndarray, second: np.ndarray, axis: str) -> tuple[float, float]:
    """The mean of the curve inside each half of a track of two halves."""
    record = pipe((np.concatenate([first, second]).astype(np.float32), composed.RATE))
    points = [(point.start, point.end, getattr(point, axis)) for point in record.curve]
    return (
        float(np.mean([value for _, end, value in points if end <= HALF])),
        float(np.mean([value for start, _, value in points if start >= HALF])),
    )


def test_arousal_rises_from_pads_to_a_band_and_falls_back(pipe):
    soft, loud = composed.pads(HALF), composed.band(HALF)
    before, after = halves(pipe, soft, loud, "arousal")
    assert after - before >= 1.5
    before, after = halves(pipe, loud, soft, "arousal")
    assert before - after >= 1.5


@pytest.mark.parametrize("kind", [composed.pads, composed.band])
def test_valence_rises_from_minor_to_major_and_falls_back(pipe, kind):
    minor, major = kind(HALF, composed.MINOR), kind(HALF, composed.MAJOR)
    before, after = halves(pipe, minor, major, "valence")
    assert after - before >= 0.5
    before, after = halves(pipe, major, minor, "valence")
    assert before - after >= 0.5


def test_arousal_of_an_accelerando_rises(pipe, request):
    record = pipe(str(request.config.rootpath / "examples" / "mountain_king.ogg"))
    arousal = [point.arousal for point in record.curve]
    quarter = len(arousal) // 4
    assert np.mean(arousal[-quarter:]) - np.mean(arousal[:quarter]) >= 0.8
