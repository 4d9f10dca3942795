"""Which tracks the arguments name. More is tested with the commands."""

import os

from m2e.inputs import Source, collect, identity


def test_all_spellings_of_a_track_are_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.wav").touch()
    assert collect(["a.wav", "./a.wav", str(tmp_path / "a.wav"), "*.wav", "."]) == [Source("a.wav")]
    assert identity("HTTP://example.org/a.wav") == "HTTP://example.org/a.wav"


def test_what_cannot_be_read_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("empty")
    assert [source.error for source in collect(["gone.wav", "empty", "*.mp3"])] == [
        "gone.wav: there is no such file or folder.",
        "empty: holds no audio file.",
        "*.mp3: matches no file.",
    ]
