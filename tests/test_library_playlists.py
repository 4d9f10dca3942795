"""Playlists: smooth paths, keys that mix, spaced artists, lengths; the same input gives the same playlist."""

from dataclasses import replace

import numpy as np
import pytest

from m2e.library import playlists
from m2e.library.keys import key_distance
from m2e.library.playlists import Candidates, Length, Path, arrange, numbered

COUNT = 600
CALM, LIVELY = np.array([-1.0, -1.5]), np.array([1.0, 1.5])


@pytest.fixture(scope="module")
def some():
    random = np.random.default_rng(0)
    return Candidates(
        np.arange(1, COUNT + 1),
        random.standard_normal((COUNT, 2)),
        random.integers(0, 24, COUNT).astype(float),
        random.integers(0, 40, COUNT),
        np.arange(COUNT),
        random.uniform(120, 300, COUNT),
    )


def rows(ids):
    return np.array(ids) - 1


def test_a_path_is_smooth(some):
    path = Path(CALM, LIVELY)
    points = some.plane[rows(arrange(some, np.zeros(COUNT), Length(20), path))]
    assert len(points) == 20
    wanted = np.array([path.at(share) for share in np.linspace(0, 1, 20)])
    assert np.linalg.norm(points - wanted, axis=1).max() < 0.8
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).mean() < 0.6


def test_keys_mix_better_than_by_chance(some):
    ids = arrange(some, np.zeros(COUNT), Length(40))
    keys = some.keys[rows(ids)].astype(int)
    steps = [key_distance(a, b) for a, b in zip(keys, keys[1:], strict=False)]
    assert np.mean(np.array(steps) <= 1) > 0.9


def test_an_artist_comes_once_in_five_tracks(some):
    for ids in (arrange(some, np.zeros(COUNT), Length(100)), arrange(some, some.artists * 1.0, Length(60))):
        artists = some.artists[rows(ids)].tolist()
        assert all(len(set(artists[at : at + 5])) == 5 for at in range(len(artists) - 4))


def test_few_artists_take_turns(some):
    two = replace(some, artists=some.artists % 2)
    artists = two.artists[rows(arrange(two, np.zeros(COUNT), Length(20)))]
    assert len(artists) == 20 and (np.diff(artists) != 0).all()
    one = replace(some, artists=some.artists * 0)
    assert len(arrange(one, np.zeros(COUNT), Length(20))) == 20


def test_unknown_artists_and_keys_are_no_hindrance(some):
    unknown = replace(some, keys=some.keys * np.nan, artists=some.artists * 0 - 1, songs=some.songs * 0 - 1)
    assert len(set(arrange(unknown, np.zeros(COUNT), Length(50)))) == 50


def test_a_song_comes_once_though_it_is_there_twice(some):
    twice = replace(some, songs=some.songs // 2)
    for ids in (arrange(twice, np.zeros(COUNT), Length(100)), arrange(twice, np.zeros(COUNT), Length(9), last=100)):
        assert len(set(twice.songs[rows(ids)].tolist())) == len(ids) >= 9


def test_it_ends_where_the_artists_run_out(some):
    artists = np.where(some.ids > 8, 0, some.artists)
    uneven = replace(some, artists=artists)
    ids = arrange(uneven, np.zeros(COUNT), Length(50))
    found = artists[rows(ids)].tolist()
    assert 5 <= len(ids) < 50 and all(len(set(found[at : at + 5])) == 5 for at in range(len(found) - 4))


@pytest.mark.parametrize("minutes", [5, 45, 180])
def test_the_length_in_minutes(some, minutes):
    for path in (None, Path(CALM, LIVELY)):
        ids = arrange(some, np.zeros(COUNT), Length(minutes=minutes), path)
        total = some.seconds[rows(ids)].sum() / 60
        assert abs(total - minutes) < 2.6, total


def test_a_path_in_minutes_arrives(some):
    points = some.plane[rows(arrange(some, np.zeros(COUNT), Length(minutes=45), Path(CALM, LIVELY)))]
    assert np.linalg.norm(points[0] - CALM) < 0.8 and np.linalg.norm(points[-1] - LIVELY) < 0.8


def test_first_and_last_track(some):
    for length in (Length(10), Length(minutes=40)):
        ids = arrange(some, np.zeros(COUNT), length, Path(some.plane[6], some.plane[99]), first=7, last=100)
        assert (ids[0], ids[-1]) == (7, 100) and len(set(ids)) == len(ids) >= 9
    assert arrange(some, np.zeros(COUNT), Length(1), first=7) == [7]


def test_the_same_seed_gives_the_same_playlist(some):
    first = arrange(some, np.zeros(COUNT), Length(20), Path(CALM, LIVELY), seed=1)
    assert first == arrange(some, np.zeros(COUNT), Length(20), Path(CALM, LIVELY), seed=1)
    assert first != arrange(some, np.zeros(COUNT), Length(20), Path(CALM, LIVELY), seed=2)


def test_what_fits_best_is_taken(some):
    costs = np.where(some.ids <= 60, 0.0, 100.0)
    assert max(arrange(some, costs, Length(20))) <= 60


def test_a_pool_of_a_large_library_is_enough(some, monkeypatch):
    monkeypatch.setattr(playlists, "POOL", 100)
    path = Path(CALM, LIVELY)
    ids = arrange(some, np.zeros(COUNT), Length(4), path, first=600)
    assert len(ids) == 4 and ids[0] == 600
    assert path.distances(some.plane[rows(ids[1:])]).max() < 0.8


def test_nothing_to_choose_from(some):
    nothing = some.take(np.zeros(0, int))
    assert arrange(nothing, np.zeros(0), Length(5)) == [] and arrange(nothing, np.zeros(0), Length(minutes=5)) == []
    one = some.take(np.array([3]))
    assert arrange(one, np.zeros(1), Length(5), Path(CALM, CALM)) == [4]
    assert arrange(one, np.zeros(1), Length(minutes=1)) == []


def test_artists_are_numbered():
    assert numbered(["Ann", None, "ann", "Bob"]).tolist() == [0, -1, 0, 1]
