"""window_embeddings_m2e: consecutive and sliding windows, their times, short tracks, silence."""

import numpy as np
import pytest
import torch

from m2e.errors import ModelError
from modeling_m2e.window_embeddings_m2e import SlidingEmbeddings, WindowEmbeddings
from modeling_m2e.windows_m2e import sliding_plan

RATE = 100


class Means:
    """An encoder whose embedding is the mean of the samples, as its embedding of each second."""

    sampling_rate, hidden_size, window_seconds = RATE, 1, 30.0

    def __init__(self):
        self.embedded = 0

    def __call__(self, windows):
        return windows.mean(1, keepdim=True)

    def seconds(self, windows):
        self.embedded += windows.numel()
        count = -(-windows.shape[1] // RATE)
        cells = [windows[:, RATE * at : RATE * (at + 1)].mean(1) for at in range(count)]
        return torch.stack(cells, 1)[..., None]


def ramp(seconds: float) -> np.ndarray:
    """Each sample is the number of its second, and there is no silence."""
    return (1 + np.arange(round(seconds * RATE)) // RATE).astype(np.float32) + 0.01 * np.tile(
        np.array([1, -1], np.float32), -(-round(seconds * RATE) // 2)
    )[: round(seconds * RATE)]


def sliding(samples: np.ndarray, block: int = 777, **settings):
    windows = SlidingEmbeddings(Means(), **{"window_seconds": 5, "hop_seconds": 1, **settings})
    for start in range(0, len(samples), block):
        windows.push(samples[start : start + block])
    return (*windows.finish(), windows)


@pytest.mark.parametrize("seconds", [5, 29, 30, 31, 33, 59, 60, 62, 100])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_second_is_the_start_of_a_window(seconds, batch):
    spans, embeddings, _ = sliding(ramp(seconds), batch=batch)
    known = seconds if seconds % 30 != 1 else seconds - 1  # a rest that is too short belongs to the last window
    assert [window.start for window in spans] == list(range(known - 4))
    assert spans[-1].end == seconds
    assert embeddings[:, 0].numpy() == pytest.approx(np.arange(known - 4) + 3, abs=0.01)


def test_each_second_is_embedded_once_but_for_the_context_of_the_last():
    *_, windows = sliding(ramp(100))
    assert windows._encoder.embedded == (90 + 30) * RATE


def test_a_track_shorter_than_a_window_is_one_window():
    for seconds in (0.6, 1.0, 4.4):
        spans, embeddings, _ = sliding(ramp(seconds))
        assert [(window.start, window.end) for window in spans] == [(0.0, seconds)]
        assert embeddings.isfinite().all()


def test_an_incomplete_second_belongs_to_the_last_window():
    spans, embeddings, _ = sliding(ramp(7.2))
    assert [(window.start, window.end) for window in spans] == [(0, 5), (1, 6), (2, 7.2)]
    assert embeddings[-1, 0] == pytest.approx(5, abs=0.01)


def test_a_hop_that_does_not_reach_the_end_gets_a_last_window():
    assert sliding_plan(10, 4, 3) == [(0, 4), (3, 7), (6, 10)]
    assert sliding_plan(9, 4, 3) == [(0, 4), (3, 7), (5, 9)]
    assert sliding_plan(3, 4, 3) == [(0, 3)]


def test_times_are_those_of_the_track_where_silence_is_left_out():
    samples = np.concatenate([np.zeros(10 * RATE, np.float32), ramp(8)])
    spans, embeddings, windows = sliding(samples, skip_silence=True)
    assert spans[0].start == 10 and spans[-1].end == 18 == windows.duration
    assert embeddings[0, 0] == pytest.approx(3, abs=0.01)


def test_silence_is_one_window():
    spans, embeddings, _ = sliding(np.zeros(8 * RATE, np.float32), skip_silence=True)
    assert (spans[0].start, spans[-1].end) == (0, 8)
    assert embeddings.isfinite().all()


def test_consecutive_windows_have_the_encoders_embedding():
    windows = WindowEmbeddings(Means(), 5, batch=2)
    windows.push(ramp(12))
    spans, embeddings = windows.finish()
    assert [(window.start, window.end) for window in spans] == [(0, 5), (5, 10), (10, 12)]
    assert embeddings[:, 0].numpy() == pytest.approx([3, 8, 10], abs=0.01)


def test_wrong_settings_are_refused():
    with pytest.raises(ModelError, match="whole seconds"):
        SlidingEmbeddings(Means(), 5, 0.5)
    encoder = Means()
    encoder.seconds = None
    with pytest.raises(ModelError, match="no embedding of each second"):
        SlidingEmbeddings(encoder, 5, 1)
