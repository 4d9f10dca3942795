"""What the tracks of a playlist are: by example, mood, quadrant and place."""

import library_tools as tools
import numpy as np
import pytest

from m2e.errors import UsageError
from m2e.library import selection
from m2e.library.database import Library
from m2e.library.playlists import Length
from m2e.library.query import Tracks


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    with tools.small(tmp_path_factory.mktemp("library")) as library:
        yield Tracks(library)


def names(tracks, ids):
    return "".join(track.path.rpartition("/")[2][0] for track in tracks.library.tracks(ids))


def test_like_begins_with_the_track_and_goes_on_with_the_nearest(tracks):
    path = next(tracks.library.tracks()).path
    assert names(tracks, selection.like(tracks, ["1"], Length(2))) in ("ac", "ad", "ae")  # b is by the same artist
    assert names(tracks, selection.like(tracks, [path], Length(1))) == "a"
    assert names(tracks, selection.like(tracks, ["3"], Length(3), where="calm"))[0] == "c"
    with pytest.raises(UsageError, match="nowhere.mp3 is not in the library"):
        selection.like(tracks, ["nowhere.mp3"], Length(2))


def test_moods(tracks):
    assert names(tracks, selection.moods(tracks, ["dark"], Length(1))) == "c"
    assert names(tracks, selection.moods(tracks, ["calm", " Happy"], Length(1))) in "ab"
    with pytest.raises(UsageError, match="did you mean calm"):
        selection.moods(tracks, ["clam"], Length(1))


def test_quadrant(tracks):
    assert names(tracks, selection.quadrant(tracks, "q1", Length(5))) == "d"
    assert names(tracks, selection.quadrant(tracks, "Q3", Length(5), where="not happy")) == "e"
    with pytest.raises(UsageError, match="Q5 is no quadrant"):
        selection.quadrant(tracks, "Q5", Length(5))
    with pytest.raises(UsageError, match="no track fits"):
        selection.quadrant(tracks, "Q1", Length(5), where="calm > 0.5")


@pytest.mark.parametrize(
    "start, end, found",
    [("calm", "happy", "ad"), ("3,7", "7.5,7.5", "cd"), ("5", "4", "ed"), ("dark", "calm", "ca")],
)
def test_places(tracks, start, end, found):
    assert names(tracks, selection.journey(tracks, start, end, Length(2))) == found


def test_a_missing_track_is_no_place(tmp_path):
    with tools.small(tmp_path) as library:
        library.mark_missing([str(tmp_path / "music" / "a.mp3")])
        with pytest.raises(UsageError, match="is missing"):
            selection.journey(Tracks(library), "1", "calm", Length(2))


def test_an_empty_library(tmp_path):
    with Library.open(tmp_path / "library.db", create=True) as library:
        tracks = Tracks(library)
        for make in (
            lambda: selection.quadrant(tracks, "Q1", Length(5)),
            lambda: selection.journey(tracks, "5,5", "6,6", Length(5)),
        ):
            with pytest.raises(UsageError, match="no track fits"):
                make()


def test_the_plane_of_equal_tracks_is_finite(tmp_path):
    with Library.open(tmp_path / "library.db", create=True) as library:
        for name in ("a.mp3", "b.mp3"):
            tools.add(library, name, tools.record(5.0, 5.0, embedding=np.ones(8)))
        assert len(selection.journey(Tracks(library), "5,5", "6,6", Length(2))) == 2
        assert len(selection.like(Tracks(library), ["1"], Length(2))) == 2
