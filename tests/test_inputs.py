"""Which tracks the arguments name. More is tested with the commands."""

import codecs
import io
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from m2e import inputs
from m2e.errors import UsageError
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


# --- folders ---


def touch(*names):
    for name in names:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb"):
            pass


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*arguments):
    return [source.path for source in collect(arguments)]


def test_folders_of_music_may_begin_with_dots_and_hidden_ones_are_skipped_with_a_reason(here):
    touch("...And Justice/One.mp3", ".38 Special/a.mp3", ".git/b.mp3", "._a.mp3", "...c.mp3", "cover.jpg")
    skipped = {}
    assert [source.path for source in collect(["."], skipped)] == [
        "./...c.mp3",
        "./...And Justice/One.mp3",
        "./.38 Special/a.mp3",
    ]
    assert skipped == {
        "./.git": "hidden",
        "./._a.mp3": "hidden",
        "./cover.jpg": "without the suffix of audio",
    }


def test_linked_folders_are_searched_and_no_file_is_taken_twice(here):
    touch("music/a.mp3", "elsewhere/b.mp3")
    os.symlink("../elsewhere", "music/linked")
    os.symlink("..", "elsewhere/up")
    os.symlink(".", "music/loop")
    os.symlink("a.mp3", "music/z.mp3")
    skipped = {}
    assert [source.path for source in collect(["music"], skipped)] == ["music/a.mp3", "music/linked/b.mp3"]
    assert skipped["music/loop"] == "another name of the same folder"
    assert skipped["music/z.mp3"] == "another name of the same file"
    assert found("music/**/*.mp3") == ["music/a.mp3", "music/linked/b.mp3"]
    assert found("**/*.mp3") == ["elsewhere/b.mp3", "music/a.mp3"]
    assert len(found("**")) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_in_folders_are_skipped_and_named_ones_are_copied(here):
    touch("music/a.mp3")
    os.mkfifo("music/b.mp3")
    skipped = {}
    assert [source.path for source in collect(["music", "music/*.mp3"], skipped)] == ["music/a.mp3"]
    assert skipped == {"music/b.mp3": "not a regular file"}
    writer = subprocess.Popen(["sh", "-c", "printf samples > music/b.mp3"])
    (source,) = collect(["music/b.mp3"])
    writer.wait()
    assert source.path == "music/b.mp3" and source.error is None
    with open(source.copy, "rb") as copy:
        assert copy.read() == b"samples"
    reader, writer = os.pipe()
    os.write(writer, b"more")
    os.close(writer)
    (source,) = collect([f"/dev/fd/{reader}"])
    os.close(reader)
    with open(source.copy, "rb") as copy:
        assert copy.read() == b"more"


def test_a_pipe_without_a_temporary_folder_is_a_sentence(here, monkeypatch):
    monkeypatch.setattr(inputs.tempfile, "TemporaryDirectory", no_temporary_folder)
    stdin(monkeypatch, b"RIFF\0\0\0\0WAVE")
    (source,) = collect(["-"])
    assert source.error.startswith("-: cannot be copied to a temporary file (No usable temporary directory")
    assert source.error.endswith("set TMPDIR to a folder with space.")


def no_temporary_folder(**_):
    raise FileNotFoundError(2, "No usable temporary directory found in ['/gone']")


def test_an_endless_pipe_is_stopped(here, monkeypatch):
    monkeypatch.setattr(inputs, "MAX_PIPE_BYTES", 1 << 20)
    stdin(monkeypatch, bytes(3 << 20))
    (source,) = collect(["-"])
    assert source.error == "-: is longer than 1 MiB: save it to a file first."


# Suffixes that mean something else more often, or hold no audio; and the demuxers of listings and raw samples.
NO_MUSIC = set(".ts .m2t .m4s .mat .raw .mac .apl .mod .psp .ism .ismv .isma .mj2 .avif .heic .heif .vob .adts".split())
NO_MUSIC |= set(".mks .ul .sd2 .htk .mat4 .mat5 .mpc2k .pvf .sds .xi .m1v .m2v .sbg .afc .loas .latm .ogm".split())


def test_the_suffixes_are_those_that_the_readers_read(fixtures):
    formats = {f".{name.lower()}" for name in soundfile.available_formats()}
    assert formats - inputs.AUDIO_SUFFIXES - NO_MUSIC <= {".mpeg"}
    if program := shutil.which("ffmpeg"):
        from modeling_m2e.audio_ffmpeg_m2e import _DEMUXERS

        for demuxer in _DEMUXERS.split(","):
            text = subprocess.run([program, "-hide_banner", "-h", f"demuxer={demuxer}"], capture_output=True, text=True)
            for listed in re.findall(r"Common extensions: (.*)\.", text.stdout):
                assert {f".{name}" for name in listed.split(",")} - inputs.AUDIO_SUFFIXES - NO_MUSIC == set(), demuxer
    assert {".mp4", ".mpga", ".dsf", ".webm", ".aiff"} <= inputs.AUDIO_SUFFIXES


# --- lists ---


def stdin(monkeypatch, data):
    monkeypatch.setattr(inputs.sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    "data",
    [
        b"a.mp3\nb b.mp3\r\n\n",
        b"a.mp3\0b b.mp3\0",
        "\ufeffa.mp3\nb b.mp3\n".encode(),
        "a.mp3\r\nb b.mp3\r\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "a.mp3\nb b.mp3".encode("utf-16-be"),
        "a.mp3\nb b.mp3\n".encode("utf-16-le"),
        b"#EXTM3U\n#EXTINF:123,Artist - Title\na.mp3\n#EXTINF:1,x\nb b.mp3\n",
    ],
)
def test_lists_on_stdin(here, monkeypatch, data):
    touch("a.mp3", "b b.mp3")
    stdin(monkeypatch, data)
    assert found("-") == ["a.mp3", "b b.mp3"]


def test_a_long_list_on_stdin(here, monkeypatch):
    names = [f"{'x' * 80}{number}.mp3" for number in range(3000)]
    stdin(monkeypatch, "\n".join(names).encode())
    assert found("-") == names
    stdin(monkeypatch, "\n".join(names).encode() + b"\n\x01\0\0")
    with pytest.raises(UsageError, match="stdin begins as a list of files and goes on as something else"):
        collect(["-"])


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "RAW"])
def test_audio_on_stdin_is_never_a_list_of_names(here, monkeypatch, kind):
    audio = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 0.1, 8000)
    samples[:4000] = 0  # long runs of zeros
    raw = {"subtype": "PCM_16"} if kind == "RAW" else {}
    soundfile.write(audio, samples, 8000, format=kind, **raw)
    stdin(monkeypatch, audio.getvalue())
    (source,) = collect(["-"])
    assert source.path == "-" and source.error is None
    with open(source.copy, "rb") as copy:
        assert copy.read() == audio.getvalue()


def test_a_closed_stdin_is_a_sentence(monkeypatch):
    monkeypatch.setattr(inputs.sys, "stdin", None)
    with pytest.raises(UsageError, match="^stdin is closed: name the files"):
        collect(["-"])


def test_playlists_name_files_relative_to_themselves(here):
    touch("lists/a.mp3", "lists/#1 hit.mp3", "b.mp3")
    lines = ["#EXTM3U", "#EXTINF:12,A - B", "a.mp3", "#1 hit.mp3", "../b.mp3", (here / "b.mp3").as_uri(), "gone.mp3"]
    lines += ["http://example.org/radio.mp3", "one.m3u8"]
    for name, codec in (("one.m3u8", "utf-8"), ("two.m3u", "utf-8-sig"), ("three.M3U8", "utf-16")):
        (here / "lists" / name).write_bytes("\r\n".join(lines).encode(codec))
        sources = collect([f"lists/{name}"])
        expected = [
            "lists/a.mp3",
            "lists/#1 hit.mp3",
            "lists/../b.mp3",
            "lists/gone.mp3",
            "http://example.org/radio.mp3",
        ]
        assert [source.path for source in sources] == expected
        assert sources[3].error == "lists/gone.mp3: there is no such file or folder."
    (here / "bad.m3u").write_bytes(b"ID3\0\0\0\1")
    assert collect(["bad.m3u"])[0].error == "bad.m3u: cannot be read as a playlist (it is no list of names)."


def test_text_of_two_bytes_a_letter_is_no_list_of_one_letter_names(here, monkeypatch):
    stdin(monkeypatch, "/music/夜.mp3\n./a.mp3\n".encode("utf-16-le"))  # without a byte order mark
    (source,) = collect(["-"])
    assert source.path == "-" and source.copy is not None
