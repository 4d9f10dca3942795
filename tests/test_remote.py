"""Tracks in remote stores: listed lazily, fetched whole within a bound."""

import itertools

import numpy as np
import pytest
import soundfile
from stores import memory, s3_server  # noqa: F401

from m2e import remote
from m2e.errors import AudioError, UsageError
from m2e.inputs import collect, stream
from modeling_m2e import audio_m2e, remote_m2e


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("remote") / "clip.wav"
    soundfile.write(path, 0.5 * np.sin(np.arange(8000) / 5), 8000)
    return path.read_bytes()


def found(*paths):
    return [source.path for source in collect(paths)]


def errors(*paths):
    return [source.error for source in collect(paths)]


def test_what_is_remote():
    urls = ["s3://b/a.wav", "HF://datasets/u/d/a.wav", "memory://a.wav", "ftp://host/a.wav"]
    assert all(map(remote.is_remote, urls))
    others = ["a.wav", "/a/b.wav", "http://host/a.wav", "https://host/s3://a", "file:///a.wav", "C://a.wav", "a s3://b"]
    assert not any(map(remote.is_remote, others))


def test_folders_globs_and_lists_in_a_store(memory):  # noqa: F811
    for name in ("b/2.mp3", "b/1.mp3", "a/x.WAV", "a/cover.jpg", "a/._x.wav", "a/deep/what?.ogg"):
        memory.pipe(f"/lib/{name}", b"x")
    memory.pipe("/lib/list.m3u", b"#EXTM3U\nb/1.mp3\nmemory://elsewhere/y.mp3\n")
    skipped = {}
    assert [source.path for source in collect(["memory://lib"], skipped)] == [
        "memory://lib/a/x.WAV",
        "memory://lib/a/deep/what?.ogg",
        "memory://lib/b/1.mp3",
        "memory://lib/b/2.mp3",
    ]
    assert set(skipped.values()) == {"hidden", "without the suffix of audio"}
    assert found("memory://lib/b/*.mp3") == found("memory://lib/b/") == ["memory://lib/b/1.mp3", "memory://lib/b/2.mp3"]
    assert found("memory://lib/**/*.ogg") == found("memory://lib/a/deep/what?.ogg") == ["memory://lib/a/deep/what?.ogg"]
    assert found("memory://lib/list.m3u") == ["memory://lib/b/1.mp3", "memory://elsewhere/y.mp3"]
    assert found("memory://lib/b", "memory://lib/b/1.mp3") == ["memory://lib/b/1.mp3", "memory://lib/b/2.mp3"]


def test_what_is_not_there_is_a_sentence(memory):  # noqa: F811
    memory.pipe("/lib/cover.jpg", b"x")
    assert errors("memory://gone", "memory://lib", "memory://lib/*.mp3", "memory://lib/gone.m3u", "ftp://h/x") == [
        "memory://gone: cannot be read (no such file or folder).",
        "memory://lib: holds no audio file.",
        "memory://lib/*.mp3: matches no audio file.",
        "memory://lib/gone.m3u: cannot be read (no such file or folder).",
        "ftp://h/x: this kind of URL is not read: give http(s) or s3, s3a, gs, gcs, hf, az, abfs, abfss, memory.",
    ]


def test_fetching_is_bounded_and_says_what_is_wrong(memory, clip, monkeypatch):  # noqa: F811
    memory.pipe("/lib/clip.wav", clip)
    waveform, rate = audio_m2e.load("memory://lib/clip.wav")
    assert (len(waveform), rate) == (8000, 8000)
    with pytest.raises(AudioError, match=r"^memory://lib: is a folder; give the audio files in it\.$"):
        audio_m2e.load("memory://lib")
    with pytest.raises(AudioError, match=r"^memory://lib/gone.wav: no such file\.$"):
        audio_m2e.load("memory://lib/gone.wav")
    monkeypatch.setattr(remote_m2e, "MAX_BYTES", 10_000)
    monkeypatch.setattr(memory, "get_file", None)  # it is not even asked for
    with pytest.raises(AudioError, match=r"clip.wav: is larger than .* MiB; download it and give its path\.$"):
        audio_m2e.load("memory://lib/clip.wav")


def test_a_store_without_its_package_says_what_to_install(monkeypatch):
    import fsspec

    def missing(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    sentence = 's3://b/: s3:// needs a package (Install s3fs to access S3); install it with pip install "m2e[remote]".'
    assert errors("s3://b/") == [sentence]


def test_a_store_is_listed_while_its_names_are_used(memory, monkeypatch):  # noqa: F811
    for folder in range(50):
        memory.pipe(f"/lib/{folder:02d}/song.mp3", b"x")
    asked, ls = [], memory.ls
    monkeypatch.setattr(memory, "ls", lambda path, *args, **kwargs: asked.append(path) or ls(path, *args, **kwargs))
    assert len(list(itertools.islice(stream(["memory://lib"], {}), 3))) == 3
    assert len(asked) < 10


def test_s3_is_listed_by_pages_and_read(s3_server, clip, monkeypatch, tmp_path):  # noqa: F811
    store, path = remote.filesystem(s3_server)
    for number in range(5):
        store.pipe(f"{path}/lazy/{number}.wav", clip)
    store.touch(f"{path}/lazy/notes.txt")
    pages, call = [], store.call_s3

    def small(method, **arguments):
        pages.append(arguments)
        return call(method, MaxKeys=2, **arguments)

    monkeypatch.setattr(store, "call_s3", small)
    urls = remote.listing(f"{s3_server}/lazy")
    assert next(urls) == "s3://music/lazy/0.wav" and len(pages) == 1
    assert len(list(urls)) == 5 and len(pages) == 3
    assert found(f"{s3_server}/lazy/*.wav") == [f"s3://music/lazy/{number}.wav" for number in range(5)]
    assert len(audio_m2e.load("s3://music/lazy/4.wav")[0]) == 8000
    with pytest.raises(AudioError, match="no such file"):
        audio_m2e.load("s3://music/lazy/5.wav")
    assert "s3://gone: cannot be read" in errors("s3://gone")[0]
    with pytest.raises(UsageError, match="cannot be read"):
        list(remote.listing("s3://gone"))
