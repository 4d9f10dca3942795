"""Which tracks are met in an epoch, how often, and in what order."""

import numpy as np
import pytest

from m2e.training.mixing import Mix


def met(mix, epochs=1):
    """{data set: its tracks in order} of some epochs, and the sizes of batches."""
    tracks, sizes = {}, []
    for _ in range(epochs):
        for index, places in mix.epoch():
            tracks.setdefault(index, []).extend(places.tolist())
            sizes.append(len(places))
    return tracks, sizes


def test_as_they_are_every_track_comes_once_an_epoch():
    mix = Mix([50, 7], 8, np.random.default_rng(0))
    tracks, sizes = met(mix)
    assert sorted(tracks[0]) == list(range(50)) and sorted(tracks[1]) == list(range(7))
    assert len(sizes) == mix.steps == 8 and max(sizes) == 8 and sum(sizes) == 57


def test_temperature_lifts_small_data_sets_and_max_passes_bounds_that():
    sizes = [9949, 1261, 495, 536]
    flat = Mix(sizes, 8, np.random.default_rng(0), temperature=2.0, max_passes=2.5)
    shares = np.sqrt(sizes) / np.sqrt(sizes).sum() * sum(sizes)
    assert flat.tracks[:2] == [round(shares[0]), round(shares[1])]
    assert flat.tracks[2:] == [round(495 * 2.5), round(536 * 2.5)]  # fewer than their shares
    alike = Mix([100, 10], 5, np.random.default_rng(0), temperature=1e9, max_passes=100)
    assert alike.tracks == [55, 55]


@pytest.mark.parametrize("temperature", [2.0, 1e9])
def test_no_track_comes_again_before_all_have_come(temperature):
    mix = Mix([60, 11], 4, np.random.default_rng(3), temperature, max_passes=9)
    counts = [np.zeros(60, int), np.zeros(11, int)]
    for _ in range(7):
        for index, places in mix.epoch():
            np.add.at(counts[index], places, 1)
        assert all(np.ptp(each) <= 1 for each in counts)
    assert counts[0].min() >= 3 and counts[1].min() >= 7


def test_batches_are_of_one_data_set_and_in_random_order():
    mix = Mix([40, 40], 4, np.random.default_rng(0))
    first, second = ([index for index, _ in mix.epoch()] for _ in range(2))
    assert first != sorted(first) and first != second and first.count(0) == 10


def test_a_saved_state_goes_on_with_the_same_batches():
    mix = Mix([30, 9], 4, np.random.default_rng(5), temperature=3.0)
    met(mix, 2)
    state = mix.state_dict()
    expected = met(mix, 2)
    other = Mix([30, 9], 4, np.random.default_rng(99), temperature=3.0)
    other.load_state_dict(state)
    assert met(other, 2) == expected
