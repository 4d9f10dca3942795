"""Cutting a track into equal windows."""

import math

import numpy as np
import pytest

from modeling_m2e.windows_m2e import Window, Windows, window_plan

SIZE = 1_000  # samples; one second at the rate below
WINDOW_RATE = 1_000


def plan_by_hand(samples: int) -> list[tuple[int, float, float, float]]:
    """(first sample, start, end, weight), from the rule read sentence by sentence."""
    if samples < SIZE:
        return [(0, 0.0, samples / WINDOW_RATE, 1.0)]
    windows = []
    position = 0
    while position < samples:
        new = min(SIZE, samples - position)
        if new == SIZE:
            windows.append((position, position / WINDOW_RATE, (position + SIZE) / WINDOW_RATE, 1.0))
        elif new >= 50:  # a twentieth
            windows.append((samples - SIZE, position / WINDOW_RATE, samples / WINDOW_RATE, new / SIZE))
        else:
            windows[-1] = (*windows[-1][:2], samples / WINDOW_RATE, 1.0)
        position += new
    return windows


LENGTHS = [
    1,
    500,
    999,
    1_000,
    1_001,
    1_049,
    1_050,
    1_500,
    1_999,
    2_000,
    2_001,
    2_049,
    2_050,
    3_000,
    4_030,
    4_700,
    10_000,
]


@pytest.mark.parametrize("samples", LENGTHS)
@pytest.mark.parametrize("block", [7, 333, 1_000, 2_500, 20_000])
def test_windows_follow_the_rule(samples, block):
    track = np.arange(samples, dtype=np.float32)
    windows, cut = Windows(SIZE, WINDOW_RATE), []
    for start in range(0, samples, block):
        cut += windows.push(track[start : start + block])
    cut += windows.finish()
    expected = plan_by_hand(samples)
    assert [window for _, window in cut] == [Window(*row[1:]) for row in expected]
    assert window_plan(samples, SIZE, WINDOW_RATE) == [Window(*row[1:]) for row in expected]
    for (samples_cut, _), (first, *_) in zip(cut, expected, strict=True):
        np.testing.assert_array_equal(samples_cut, track[first : first + SIZE])
        assert samples_cut.dtype == np.float32 and len(samples_cut) == min(SIZE, samples)


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100])
def test_the_shortest_tail(rate):
    assert len(window_plan(rate + math.ceil(rate / 20), rate, rate)) == 2
    assert len(window_plan(rate + math.ceil(rate / 20) - 1, rate, rate)) == 1


def test_weights_add_up_to_the_length():
    for samples in (1_000, 1_050, 1_500, 4_700):
        plan = window_plan(samples, SIZE, WINDOW_RATE)
        assert sum(window.weight for window in plan) * SIZE == pytest.approx(samples)
        assert plan[0].start == 0 and plan[-1].end == samples / WINDOW_RATE
        assert all(left.end == right.start for left, right in zip(plan, plan[1:], strict=False))


def test_windows_hold_one_window_and_one_block():
    windows = Windows(SIZE, WINDOW_RATE)
    for _ in range(50):
        windows.push(np.ones(200, np.float32))
        assert len(windows._held) <= SIZE + 50 + 200


def test_a_window_may_be_changed_in_place():
    windows = Windows(SIZE, WINDOW_RATE)
    for samples, _ in windows.push(np.ones(1_500, np.float32)):
        samples *= 0
    assert windows.finish()[0][0].all()


def test_nothing_pushed_and_windows_too_small():
    assert Windows(SIZE, WINDOW_RATE).finish() == window_plan(0, SIZE, WINDOW_RATE) == []
    with pytest.raises(ValueError, match=r"at least 0\.5 s"):
        Windows(499, 1_000)
