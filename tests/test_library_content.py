"""The hash of audio content: tags, names and times never change it, audio always does."""

import os
import shutil
import subprocess

import mutagen
import mutagen.apev2
import mutagen.id3
import numpy as np
import pytest
import soundfile as sf
from mutagen.flac import Picture

from m2e.library.content import content_hash
from m2e.library.file_tags import read_tags
from m2e.library.track import Tags

FORMATS = {
    "wav": [],
    "aiff": [],
    "mp3": [],
    "flac": [],
    "ogg": ["-c:a", "libvorbis"],
    "opus": ["-c:a", "libopus"],
    "m4a": ["-c:a", "aac"],
    "wma": ["-c:a", "wmav2"],
    "wv": [],
}


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """{suffix: path} of one tone in each format, without tags."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    folder = tmp_path_factory.mktemp("songs")
    tone = 0.3 * np.sin(np.arange(3 * 22050) / 5) + 0.01 * np.random.default_rng(0).standard_normal(3 * 22050)
    sf.write(folder / "tone.wav", tone, 22050)
    for suffix, options in FORMATS.items():
        if suffix != "wav":
            command = ["ffmpeg", "-v", "error", "-i", "tone.wav", "-map_metadata", "-1", *options, f"tone.{suffix}"]
            subprocess.run(command, cwd=folder, check=True)
    return {suffix: folder / f"tone.{suffix}" for suffix in FORMATS}


@pytest.fixture(params=FORMATS)
def song(request, songs, tmp_path):
    return shutil.copy(songs[request.param], tmp_path)


def write_tags(path, title, picture=b""):
    """Tags as the format has them, with a picture, which moves the audio by many bytes."""
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    kind = type(file.tags).__name__
    if "ID3" in kind or "WaveID3" in kind:
        file.tags.add(mutagen.id3.TIT2(encoding=3, text=[title]))
        file.tags.add(mutagen.id3.TPE1(encoding=3, text=["Ann", "Bob"]))
        file.tags.add(mutagen.id3.TDRC(encoding=3, text=["1999-05-01"]))
        file.tags.add(mutagen.id3.TCON(encoding=3, text=["Jazz"]))
        file.tags.add(mutagen.id3.APIC(encoding=3, mime="image/png", type=3, data=picture))
    elif kind == "MP4Tags":
        file["\xa9nam"], file["\xa9ART"], file["\xa9day"], file["\xa9gen"] = [title], ["Ann", "Bob"], ["1999"], ["Jazz"]
        file["covr"] = [picture]
    elif kind == "ASFTags":
        file["Title"], file["Author"], file["WM/Year"], file["WM/Genre"] = title, ["Ann", "Bob"], "1999", "Jazz"
        file["WM/Text"] = "x" * len(picture)
    else:
        file["title"], file["artist"], file["date"], file["genre"] = title, ["Ann", "Bob"], "1999", "Jazz"
        file["comment"] = "x" * len(picture)
    if hasattr(file, "add_picture"):
        cover = Picture()
        cover.data = picture
        file.add_picture(cover)
    file.save()


def test_tags_do_not_change_it_and_are_read(song):
    before = content_hash(song)
    write_tags(song, "Däwn")
    assert content_hash(song) == before
    write_tags(song, "Another", picture=bytes(200_000))
    assert content_hash(song) == before
    assert read_tags(song) == Tags("Ann; Bob", "Another", None, 1999, "Jazz")


def test_audio_changes_it(song):
    before, size = content_hash(song), os.path.getsize(song)
    with open(song, "r+b") as file:
        file.seek(size * 2 // 3)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0xFF]))
    changed = content_hash(song)
    assert changed != before
    with open(song, "r+b") as file:
        file.truncate(size * 2 // 3)
    assert content_hash(song) not in (before, changed)


def test_formats_differ(songs):
    assert len({content_hash(path) for path in songs.values()}) == len(songs)


def test_all_kinds_of_tags_around_mp3(songs, tmp_path):
    song = shutil.copy(songs["mp3"], tmp_path)
    before = content_hash(song)
    ape = mutagen.apev2.APEv2()
    ape["Title"] = "ape"
    ape.save(song)
    id3 = mutagen.id3.ID3()
    id3.add(mutagen.id3.TIT2(encoding=3, text=["one"]))
    id3.save(song, v1=2)  # ID3v2.4 at the beginning, ID3v1 at the end
    assert content_hash(song) == before
    with open(song, "rb") as file:
        content = file.read()
    with open(song, "wb") as file:
        file.write(content[:-128] + b"LYRICSBEGIN" + b"x" * 19 + b"000030LYRICS200" + content[-128:])
    assert content_hash(song) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"fLaC", b"fLaC\x00\xff\xff\xff", b"OggS" + bytes(30), b"RIFF1234WAVEdata", b"ID3\x04\0\0\x7f\x7f\x7f\x7f"]
    + [b"....ftyp" + bytes(50), b"FORM1234AIFF", b"DSD ", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(40)]
    + [b"APETAGEX" + b"\xff" * 24, b"x" * 20 + b"999999LYRICS200"],
)
def test_damaged_files_have_a_hash_too(tmp_path, content):
    song = tmp_path / "bad"
    song.write_bytes(content)
    assert len(content_hash(str(song))) == 32
    assert read_tags(str(song)) == Tags()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        content_hash(str(tmp_path / "song.mp3"))


def test_tags_in_odd_encodings(songs, tmp_path):
    song = shutil.copy(songs["mp3"], tmp_path)
    id3 = mutagen.id3.ID3()
    id3.add(mutagen.id3.TIT2(encoding=0, text=["\xcf\xf0\xe8"]))  # cp1251 that claims to be Latin-1
    id3.add(mutagen.id3.TPE1(encoding=1, text=["A\0B "]))
    id3.add(mutagen.id3.TDRC(encoding=3, text=["soon"]))
    id3.add(mutagen.id3.TCON(encoding=0, text=["(17)"]))
    id3.save(song, v2_version=3)
    tags = read_tags(song)
    assert tags.title == "\xcf\xf0\xe8" and tags.year is None and tags.genre == "Rock" and "\0" not in tags.artist
