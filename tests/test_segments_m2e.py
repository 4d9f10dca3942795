"""Segments and highlight of curves that are made here."""

import time

import numpy as np
import pytest

from modeling_m2e.record_m2e import CurvePoint, Highlight
from modeling_m2e.segments_m2e import MAX_CELLS, change_points, highlight, stretches


def sliding(valence, arousal, size=5.0, noise=0.0, seed=0) -> list[CurvePoint]:
    """The curve of windows of `size` seconds with a hop of 1 s, of a value for each second."""
    seconds = np.column_stack([valence, arousal]).astype(float)
    seconds += np.random.default_rng(seed).normal(0, noise, seconds.shape)
    width = int(size)
    return [
        CurvePoint(float(at), float(at + width), *seconds[at : at + width].mean(axis=0))
        for at in range(len(seconds) - width + 1)
    ]


def consecutive(*arousal, seconds=30.0) -> list[CurvePoint]:
    return [CurvePoint(seconds * at, seconds * (at + 1), 5.0, value) for at, value in enumerate(arousal)]


def borders(curve) -> list[float]:
    parts = stretches(curve)
    assert [part.first for part in parts[1:]] == [part.last for part in parts[:-1]] and parts[0].first == 0
    assert [part.start for part in parts[1:]] == [part.end for part in parts[:-1]] and parts[-1].last == len(curve)
    assert (parts[0].start, parts[-1].end) == (curve[0].start, curve[-1].end)
    return [part.start for part in parts[1:]]


def steps(*parts: tuple[int, float]) -> np.ndarray:
    return np.concatenate([np.full(seconds, value) for seconds, value in parts])


@pytest.mark.parametrize("noise", [0.0, 0.6])
def test_steps_of_a_curve_are_found_where_they_are(noise):
    arousal = steps((60, 3.0), (45, 6.0), (75, 4.5))
    found = borders(sliding(np.full(180, 5.0), arousal, noise=noise))
    assert len(found) == 2 and found == pytest.approx([60, 105], abs=3)


def test_a_step_of_valence_alone_is_a_border():
    assert borders(sliding(steps((50, 4.0), (50, 6.0)), np.full(100, 5.0), noise=0.4)) == pytest.approx([50], abs=3)


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_change(seed):
    assert borders(sliding(np.full(240, 5.0), np.full(240, 5.0), noise=0.8, seed=seed)) == []


def test_music_that_rises_slowly_has_several_segments_in_order():
    curve = sliding(np.full(150, 5.0), np.linspace(2.5, 7.0, 150), noise=0.3)
    means = [np.mean([point.arousal for point in curve[p.first : p.last]]) for p in stretches(curve)]
    assert 3 <= len(means) <= 8 and means == sorted(means) and means[-1] - means[0] > 2.5


def test_windows_that_follow_each_other_keep_their_borders():
    assert borders(consecutive(3.0, 3.1, 6.0, 6.1)) == [60.0]
    assert borders(consecutive(4.0, 4.1, 4.0, 3.9)) == []
    tail = [*consecutive(3.0, 3.1), CurvePoint(60.0, 75.0, 5.0, 6.0)]
    assert borders(tail) == [60.0]


def test_a_short_burst_is_no_segment():
    assert borders(sliding(np.full(120, 5.0), steps((60, 4.0), (4, 5.5), (56, 4.0)))) == []


@pytest.mark.parametrize("curve", [[], [CurvePoint(0.0, 3.0, 5.0, 5.0)], sliding(np.full(9, 5), np.linspace(1, 9, 9))])
def test_a_track_too_short_to_change_is_one_segment_or_none(curve):
    assert len(stretches(curve)) == bool(curve)


def test_change_points_cost_least():
    """Against every fit there is."""
    random = np.random.default_rng(1)
    values, times = random.normal(size=(9, 2)).cumsum(axis=0), np.cumsum([0, *random.uniform(1, 4, 9)])

    def cost(edges):
        total = -2.0
        for a, b in zip(edges, edges[1:], strict=False):
            seconds = np.diff(times[a : b + 1])
            if times[b] - times[a] < 5:
                return np.inf
            middle = np.average(values[a:b], axis=0, weights=seconds)
            total += 2.0 + (((values[a:b] - middle) ** 2).sum(axis=1) * seconds).sum()
        return total

    every = [[0, *np.flatnonzero([code >> bit & 1 for bit in range(8)]) + 1, 9] for code in range(256)]
    best = min(every, key=cost)
    assert len(best) > 3 and change_points(values, times, penalty=2.0, shortest=5.0) == [int(at) for at in best]


def test_three_hours_of_a_hop_of_a_second_take_a_second():
    arousal = steps((3600, 3.0), (3600, 6.0), (3600, 4.0))
    curve = sliding(np.full(10800, 5.0), arousal, noise=0.5)
    begin = time.perf_counter()
    found = borders(curve)
    part = highlight(curve, np.random.default_rng(0).normal(size=(len(curve), 16)).astype(np.float32))
    assert time.perf_counter() - begin < 10  # of a busy machine; it takes 0.1 s
    assert found == pytest.approx([3600, 7200], abs=2 * len(curve) / MAX_CELLS + 5)
    assert part is not None and part.end - part.start == 30.0


# --- highlight ---


def test_the_highlight_is_the_part_like_the_rest():
    arousal = steps((40, 2.0), (100, 5.5), (40, 8.0))
    part = highlight(sliding(np.full(180, 5.0), arousal, noise=0.1))
    assert part is not None and part.end - part.start == 30.0 and 40 <= part.start <= 110


def test_embeddings_decide_where_places_are_alike():
    curve = sliding(np.full(180, 5.0), np.full(180, 5.0))
    embeddings = np.zeros((len(curve), 4), np.float32)
    embeddings[:60, 0] = embeddings[90:, 1] = 3.0  # two thirds are strange in one way or the other
    embeddings[60:90] = [0.0, 3.0, 0.1, 0.0]
    part = highlight(curve, embeddings)
    assert part is not None and part.start >= 60


def test_the_highlight_of_long_windows_is_in_the_median_window():
    assert highlight(consecutive(3.0, 5.0, 5.2, 8.0)) == Highlight(30.0, 60.0)


def test_all_of_a_short_track_is_its_highlight():
    assert highlight([]) is None
    assert highlight([CurvePoint(0.0, 12.5, 5.0, 5.0)]) == Highlight(0.0, 12.5)
