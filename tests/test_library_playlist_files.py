"""Playlists as files: read back by the reader of playlists, whatever the names are."""

import json
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import library_tools as tools
import pytest

from m2e.inputs import collect, identity
from m2e.library.database import Library
from m2e.library.playlist_files import jspf, m3u8

NAMES = ["a.mp3", "Ann/ä – b.mp3", "#1 hit.mp3", "new\nline.mp3", os.fsdecode(b"caf\xe9.mp3"), "50% off.mp3"]


@pytest.fixture
def tracks(tmp_path):
    music = tmp_path / "music"
    with Library.open(tmp_path / "library.db", create=True) as library:
        for name in NAMES:
            path = music / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
            tools.add(
                library, path, tools.record(duration=61.4), artist="Ann\nB", title="Dawn" if "ä" in name else None
            )
        yield list(library.tracks())


@pytest.mark.parametrize("relative", [True, False])
def test_m3u8_is_read_back(tracks, tmp_path, relative):
    folder = tmp_path / "lists" / "inner"
    folder.mkdir(parents=True)
    text = m3u8(tracks, str(folder) if relative else None)
    (folder / "list.m3u8").write_bytes(os.fsencode(text))
    assert [identity(source.path) for source in collect([str(folder / "list.m3u8")])] == [each.path for each in tracks]
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U" and lines[1] == "#EXTINF:61,a" and lines[3] == "#EXTINF:61,Ann\ufffdB - Dawn"
    assert lines[2] == ("../../music/a.mp3" if relative else str(tmp_path / "music" / "a.mp3"))
    text.encode()  # valid UTF-8


def test_a_name_like_a_comment(tracks, tmp_path):
    assert "./#1 hit.mp3" in m3u8(tracks, str(tmp_path / "music")).splitlines()


def test_jspf(tracks):
    playlist = json.loads(jspf(tracks, "calm"))["playlist"]
    assert playlist["title"] == "calm"
    second = playlist["track"][1]
    assert (second["title"], second["creator"], second["duration"]) == ("Dawn", "Ann\ufffdB", 61400)
    locations = [unquote_to_bytes(urlsplit(track["location"][0]).path) for track in playlist["track"]]
    assert [Path(os.fsdecode(each)) for each in locations] == [Path(track.path) for track in tracks]
