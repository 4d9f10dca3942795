"""Tags in all formats: written, read back by mutagen and ffprobe, and undone to the byte."""

import base64
import json
import random
import shutil
import subprocess
from pathlib import Path

import mutagen
import pytest
import soundfile
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC
from tagged_audio import BY_SNDFILE, SUFFIXES, make, record

from m2e.errors import AudioError
from m2e.library.content import content_hash
from m2e.library.tagging.journal import open_journal
from m2e.library.tagging.mapping import parse_mapping, read_mapping
from m2e.library.tagging.write import plan, undo, write

TITLE = "Übung, 練習"
NATIVE = {  # what a mutagen of its own finds
    "id3": ("TMOO", "TKEY", "TXXX:VALENCE", "TXXX:AROUSAL", "TXXX:ENERGY"),
    "vorbis": ("MOOD", "INITIALKEY", "VALENCE", "AROUSAL", "ENERGY"),
    "mp4": tuple(f"----:com.apple.iTunes:{name}" for name in ("MOOD", "initialkey", "VALENCE", "AROUSAL", "ENERGY")),
    "asf": ("WM/Mood", "WM/InitialKey", "VALENCE", "AROUSAL", "ENERGY"),
}
KINDS = {"mp3": "id3", "wav": "id3", "aiff": "id3", "tta": "id3", "m4a": "mp4", "wma": "asf"}  # others: names as vorbis
VALUES = (["calm", "happy"], ["Am"], ["5.31"], ["6.20"], ["0.73"])


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Makes one song of each format, on demand."""
    folder = tmp_path_factory.mktemp("songs")

    def song(suffix: str) -> Path:
        path = folder / f"song.{suffix}"
        return path if path.exists() else with_title(make(folder, suffix))

    return song


@pytest.fixture
def journal(tmp_path):
    with open_journal(tmp_path / "journal" / "tags.db") as book:
        yield book


def with_title(path: Path) -> Path:
    file = mutagen.File(path, easy=True)
    if file.tags is None:
        file.add_tags()
    if isinstance(file.tags, mutagen.id3.ID3):
        file.tags.add(mutagen.id3.TIT2(encoding=3, text=[TITLE]))
    else:
        file["Title" if path.suffix == ".wma" else "title"] = [TITLE]
    file.save()
    return path


def written(path, journal, values=None, rules=None, **options):
    planned = plan(str(path), values or record(path), rules or read_mapping())
    write(planned, journal, **options)
    return planned


def values(path, name):
    """The values of a tag of a file, as text."""
    found = mutagen.File(path).tags[name]
    texts = getattr(found, "text", found)
    return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]


def probed(path) -> dict[str, str]:
    """Tags of a file by ffprobe, names in capitals."""
    command = ["ffprobe", "-v", "error", "-show_entries", "format_tags:stream_tags", "-of", "json", str(path)]
    shown = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    both = [shown["format"].get("tags", {}), *(stream.get("tags", {}) for stream in shown["streams"])]
    return {name.upper(): text for tags in both for name, text in tags.items()}


# --- every format ---


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tags_are_written_read_back_and_undone(suffix, songs, tmp_path, journal):
    path = Path(shutil.copy(songs(suffix), tmp_path))
    before, audio = path.read_bytes(), content_hash(str(path))
    assert len(written(path, journal).changed) == 5
    for name, expected in zip(NATIVE[KINDS.get(suffix, "vorbis")], VALUES, strict=True):
        assert values(path, name) == expected
    title = mutagen.File(path, easy=True).get("title") or mutagen.File(path).get("TIT2") or mutagen.File(path)["Title"]
    assert str(title[0]) == TITLE
    assert content_hash(str(path)) == audio and path.read_bytes() != before
    if suffix in BY_SNDFILE:
        now, then = (soundfile.read(each)[0] for each in (path, songs(suffix)))
        assert (now == then).all()
    assert plan(str(path), record(path), read_mapping()).changed == []
    undo(str(path), journal)
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", [each for each in SUFFIXES if each not in ("wav", "tta")])  # it reads no ID3 there
def test_ffprobe_reads_the_tags_and_the_same_audio(suffix, songs, tmp_path, journal):
    if shutil.which("ffprobe") is None or shutil.which("ffmpeg") is None:
        pytest.skip("the program ffprobe is absent")
    path = Path(shutil.copy(songs(suffix), tmp_path))
    written(path, journal)
    shown = probed(path)
    assert shown["VALENCE"] == "5.31" and shown["ENERGY"] == "0.73" and shown["TITLE"] == TITLE
    mood, key = (shown.get(name) or shown.get(frame) for name, frame in (("MOOD", "TMOO"), ("INITIALKEY", "TKEY")))
    mood, key = mood or shown.get("WM/MOOD"), key or shown.get("WM/INITIALKEY")
    assert mood.startswith("calm") and key == "Am"

    def packets(file):
        command = ["ffmpeg", "-v", "error", "-i", str(file), "-map", "0:a", "-c", "copy", "-f", "md5", "-"]
        return subprocess.run(command, capture_output=True, check=True).stdout

    assert packets(path) == packets(songs(suffix))


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "m4a", "aiff"])
def test_a_large_picture_stays_and_takes_no_room_in_the_journal(suffix, songs, tmp_path, journal):
    path = Path(shutil.copy(songs(suffix), tmp_path))
    picture = random.Random(0).randbytes(3_000_000)
    file = mutagen.File(path)
    if suffix in ("mp3", "aiff"):
        file.tags.add(APIC(encoding=3, mime="image/png", type=3, desc="", data=picture))
    elif suffix == "m4a":
        file["covr"] = [picture]
    else:
        block = Picture()
        block.data, block.type, block.mime = picture, 3, "image/png"
        if suffix == "flac":
            file.add_picture(block)
        else:
            file["metadata_block_picture"] = [base64.b64encode(block.write()).decode()]
    file.save()
    before = path.read_bytes()
    written(path, journal)
    assert (tmp_path / "journal" / "tags.db").stat().st_size < 100_000
    if suffix == "ogg":
        assert base64.b64decode(values(path, "metadata_block_picture")[0])[-len(picture) :] == picture
    else:
        assert picture in path.read_bytes()
    undo(str(path), journal)
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "m4a"])
def test_files_without_padding(suffix, songs, tmp_path, journal):
    path = Path(shutil.copy(songs(suffix), tmp_path))
    mutagen.File(path).save(padding=lambda info: 0)
    before = path.read_bytes()
    written(path, journal)
    assert values(path, NATIVE[KINDS.get(suffix, "vorbis")][0]) == ["calm", "happy"]
    undo(str(path), journal)
    assert path.read_bytes() == before


def test_padding_is_used_where_there_is_some(songs, tmp_path, journal):
    path = Path(shutil.copy(songs("flac"), tmp_path))
    FLAC(path).save(padding=lambda info: 5000)
    before = path.stat().st_size
    written(path, journal)
    assert path.stat().st_size == before


def test_a_file_without_any_tag(tmp_path, journal):
    path = make(tmp_path, "mp3")
    with open(path, "rb") as file:
        assert file.read(3) != b"ID3"
    before = path.read_bytes()
    assert written(path, journal).label == "ID3v2.4"
    assert values(path, "TMOO") == ["calm", "happy"]
    undo(str(path), journal)
    assert path.read_bytes() == before


# --- what the file has already ---


def test_values_are_replaced_kept_or_added_to(songs, tmp_path, journal):
    path = Path(shutil.copy(songs("flac"), tmp_path))
    file = FLAC(path)
    file["mood"], file["InitialKey"], file["energy"] = ["Mellow", "Calm"], ["8B"], ["7"]
    file.save()
    rules = read_mapping()
    changes = {change.rule.tag: change for change in plan(str(path), record(), rules).changes}
    assert changes["MOOD"][1:3] == (["Mellow", "Calm"], ["calm", "happy"])
    assert changes["INITIALKEY"][1:] == (["8B"], ["8B"], ["Am"]) and changes["ENERGY"].after == ["0.73"]
    adding = parse_mapping("[MOOD]\nvalue = 'moods'\nexisting = 'add'", "map")
    written(path, journal, rules=adding)
    assert FLAC(path)["mood"] == ["Mellow", "Calm", "happy"]
    written(path, journal, rules=rules)
    assert FLAC(path)["MOOD"] == ["calm", "happy"] and FLAC(path)["INITIALKEY"] == ["8B"]
    assert [key for key, _ in FLAC(path).tags].count("MOOD") == 2


def test_the_tempo_of_a_file_is_left(songs, tmp_path, journal):
    for suffix, name, value in (("m4a", "tmpo", [128]), ("mp3", "TBPM", ["128"]), ("flac", "bpm", ["128"])):
        path = Path(shutil.copy(songs(suffix), tmp_path))
        written(path, journal, record(attributes={"tempo": 96.4}))
        assert values(path, name) == ["96"]
        file = mutagen.File(path)
        file[name] = mutagen.id3.TBPM(encoding=3, text=value) if suffix == "mp3" else value
        file.save()
        written(path, journal, record(attributes={"tempo": 96.4}))
        assert values(path, name) == ["128"]


def test_names_of_the_mapping_and_letters_as_in_the_file(songs, tmp_path, journal):
    text = """
    [STIMMUNG]
    value = "moods"
    id3 = "TXXX:Stimmung"
    mp4 = "----:org.m2e:STIMMUNG"
    vorbis = "MOODS"
    """
    rules = parse_mapping(text, "map")
    for suffix, name in (("mp3", "TXXX:Stimmung"), ("m4a", "----:org.m2e:STIMMUNG"), ("flac", "moods")):
        path = Path(shutil.copy(songs(suffix), tmp_path))
        written(path, journal, rules=rules)
        assert values(path, name) == ["calm", "happy"]
    path = Path(shutil.copy(songs("m4a"), tmp_path))
    file = mutagen.File(path)
    file["----:com.apple.iTunes:mood"] = [b"dark"]
    file.save()
    written(path, journal)
    assert values(path, "----:com.apple.iTunes:mood") == ["calm", "happy"]
    assert "----:com.apple.iTunes:MOOD" not in mutagen.File(path)


def test_moods_may_join_the_genres(songs, tmp_path, journal):
    rules = parse_mapping("[GENRE]\nvalue = 'moods'\nexisting = 'add'\n[GROUPING]\nvalue = 'quadrant'", "map")
    for suffix, genre, grouping in (
        ("mp3", "TCON", "TIT1"),
        ("m4a", "\xa9gen", "\xa9grp"),
        ("flac", "genre", "grouping"),
    ):
        path = Path(shutil.copy(songs(suffix), tmp_path))
        file = mutagen.File(path)
        file[genre] = mutagen.id3.TCON(encoding=0, text=["(17)"]) if suffix == "mp3" else ["Rock"]
        file.save()
        written(path, journal, rules=rules)
        assert values(path, genre) == ["Rock", "calm", "happy"] and values(path, grouping) == ["Q1"]


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "opus", "m4a", "wav", "aiff", "wv"])
def test_taglib_reads_all_values(suffix, songs, tmp_path, journal):
    """The library with which Navidrome, Mixxx and many players read tags."""
    taglib = pytest.importorskip("taglib")
    path = Path(shutil.copy(songs(suffix), tmp_path))
    written(path, journal)
    with taglib.File(path) as file:
        expected = dict(zip(NATIVE["vorbis"], VALUES, strict=True))
        assert {name: file.tags[name] for name in expected} == expected


# --- bad input ---


def test_comments_that_are_not_utf_8_are_refused(songs, tmp_path):
    path = Path(shutil.copy(songs("flac"), tmp_path))
    FLAC(path).save(padding=lambda info: 0)
    content = path.read_bytes()
    path.write_bytes(content.replace("Übung".encode(), b"\xdcbung "))
    with pytest.raises(AudioError, match="song.flac: its comments are not UTF-8"):
        plan(str(path), record(), read_mapping())


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "opus", "m4a", "wav", "aiff", "wv", "wma"])
def test_damaged_files_are_one_sentence(suffix, songs, tmp_path):
    whole = songs(suffix).read_bytes()
    path = tmp_path / f"song.{suffix}"
    for content in (b"", b"no audio at all" * 100, whole[:20], whole[:60], whole[:4] + b"\xff" * 200, whole[:300]):
        path.write_bytes(content)
        try:
            plan(str(path), record(), read_mapping())
        except AudioError as error:
            message = str(error)
            assert message.startswith(f"{path}: ") and message.endswith(".") and "\n" not in message
    with pytest.raises(AudioError, match="No such file"):
        plan(str(tmp_path / "gone.mp3"), record(), read_mapping())


def test_formats_without_tags(tmp_path):
    soundfile.write(tmp_path / "song.au", [0.0] * 100, 8000)
    (tmp_path / "song.aac").write_bytes(bytes.fromhex("fff15080011ffc00") * 9)
    for name in ("song.au", "song.aac"):
        with pytest.raises(AudioError, match="its format has no tags that can be written"):
            plan(str(tmp_path / name), record(), read_mapping())


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "wav"])
def test_random_damage_is_one_sentence_or_is_undone(suffix, songs, tmp_path, journal):
    random_number = random.Random(suffix)
    path = tmp_path / f"song.{suffix}"
    whole = songs(suffix).read_bytes()
    for _ in range(12):
        content = bytearray(whole)
        for _ in range(random_number.choice([1, 3, 20])):
            content[random_number.randrange(random_number.choice([60, 600, len(content)]))] = random_number.randrange(
                256
            )
        path.write_bytes(content)
        try:
            if written(path, journal).changed:
                undo(str(path), journal)
        except AudioError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        assert path.read_bytes() == content
        assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [path.name]


@pytest.mark.parametrize("parts", ["joined", "chained", "two tags", "tag before FLAC"])
def test_files_of_unusual_parts(parts, songs, tmp_path, journal):
    mp3, flac, ogg = (songs(suffix).read_bytes() for suffix in ("mp3", "flac", "ogg"))
    tag = mp3[: mp3.index(b"\xff\xfb")]
    suffix, content = {
        "joined": ("mp3", mp3 + mp3),
        "chained": ("ogg", ogg + ogg),
        "two tags": ("mp3", tag + mp3),
        "tag before FLAC": ("flac", tag + flac),
    }[parts]
    path = tmp_path / f"song.{suffix}"
    path.write_bytes(content)
    samples = soundfile.read(path)[0]
    written(path, journal)
    assert (soundfile.read(path)[0] == samples).all()
    assert values(path, "TMOO" if suffix == "mp3" else "MOOD") == ["calm", "happy"]
    undo(str(path), journal)
    assert path.read_bytes() == content
