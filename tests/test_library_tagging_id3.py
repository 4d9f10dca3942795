"""ID3 tags: only the frames of `m2e tag` are written anew, all others stay as they are."""

import struct
from pathlib import Path

import pytest
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, BitPaddedInt
from tagged_audio import make, record

from m2e.errors import AudioError
from m2e.library.tagging.journal import open_journal
from m2e.library.tagging.mapping import read_mapping
from m2e.library.tagging.write import plan, undo, write

V1 = b"TAG" + "Проба".encode("cp1251").ljust(30) + b"Artist".ljust(60, b"\0") + b"1999" + b"\0" * 29 + b"\7\x11"


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    """The bytes of an MP3 file without any tag."""
    return make(tmp_path_factory.mktemp("id3"), "mp3").read_bytes()


@pytest.fixture
def journal(tmp_path):
    with open_journal(tmp_path / "journal" / "tags.db") as book:
        yield book


def frame(name: bytes, data: bytes, version: int = 4, flags: int = 0, plain_size: bool = False) -> bytes:
    size = BitPaddedInt.to_str(len(data), width=4, bits=7 if version == 4 and not plain_size else 8)
    return name + size + struct.pack(">H", flags) + data


def tag(*frames: bytes, version: int = 4, flags: int = 0, padding: int = 0) -> bytes:
    body = b"".join(frames) + b"\0" * padding
    return b"ID3" + bytes([version, 0, flags]) + BitPaddedInt.to_str(len(body), width=4) + body


def frames_in(content: bytes) -> list[bytes]:
    """The frames of an ID3v2.3 or 2.4 tag, as bytes."""
    version, bits = content[3], 7 if content[3] == 4 else 8
    at, end, found = 10, 10 + BitPaddedInt(content[6:10]), []
    while at < end and content[at]:
        size = BitPaddedInt(content[at + 4 : at + 8], bits=bits)
        found.append(content[at : at + 10 + size])
        at += 10 + size
    assert version in (3, 4)
    return found


def tagged(path: Path, content: bytes, journal, **changes) -> bytes:
    """The bytes of a file after a write, which is then undone."""
    path.write_bytes(content)
    write(plan(str(path), record(**changes), read_mapping()), journal)
    written = path.read_bytes()
    undo(str(path), journal)
    assert path.read_bytes() == content
    path.write_bytes(written)
    return written


@pytest.mark.parametrize("version", [3, 4])
def test_odd_frames_stay_byte_for_byte(version, audio, tmp_path, journal):
    odd = [
        frame(b"TIT2", b"\0" + "Песня".encode("cp1251"), version),  # not the encoding that it says
        frame(b"TPE1", b"\1" + "Ann".encode("utf-16-le"), version),  # without a byte order mark
        frame(b"TPE1", b"\0second", version),
        frame(b"TXXX", b"\3m2\0\xff\xfe", version),  # no UTF-8
        frame(b"TXXX", b"\0Double\0one", version),
        frame(b"TXXX", b"\0Double\0two", version),
        frame(b"TALB", b"\7bad", version),  # an encoding that does not exist
        frame(b"POPM", b"cut", version),
        frame(b"TCON", b"\0(17)Rock", version),
        frame(b"PRIV", b"owner\0" + bytes(range(256)), version),
        frame(b"GEOB", b"\0\0\0Serato Markers2\0" + b"\1\1" * 500, version),
        frame(b"XYZZ", b"an unknown frame", version),
        frame(b"TCOM", b"\4" + b"encrypted", version, flags=0x0004 if version == 4 else 0x0040),
        frame(b"TYER" if version == 3 else b"TDRC", b"\0" + b"1999", version),
    ]
    written = tagged(tmp_path / "song.mp3", tag(*odd, version=version, padding=50) + audio, journal)
    assert [each for each in frames_in(written) if each in odd] == odd
    assert len(frames_in(written)) == len(odd) + 5
    assert written.endswith(audio) and written[3] == version


def test_id3v2_3_stays_and_moods_are_separated_by_nul(audio, tmp_path, journal):
    written = tagged(tmp_path / "song.mp3", tag(frame(b"TIT2", b"\0Song", 3), version=3) + audio, journal)
    assert frame(b"TXXX", b"\0MOOD\0calm\0happy\0", 3) in frames_in(written)
    assert not any(each.startswith(b"TMOO") for each in frames_in(written))
    assert frame(b"TKEY", b"\0Am\0", 3) in frames_in(written)
    wide = tagged(tmp_path / "song.mp3", written, journal, selected_moods=["épic"])
    assert frame(b"TXXX", b"\1" + "MOOD\0".encode("utf-16") + "épic\0".encode("utf-16"), 3) in frames_in(wide)


def test_mood_is_one_tag_in_whichever_frame_it_stands(audio, tmp_path, journal):
    path = tmp_path / "song.mp3"
    other = tag(frame(b"TXXX", b"\0mood\0dark"), frame(b"TXXX", b"\0moodiness\0high"))
    path.write_bytes(other + audio)
    assert next(iter(plan(str(path), record(), read_mapping()).changes)).before == ["dark"]
    written = tagged(path, other + audio, journal)
    assert frame(b"TMOO", b"\0calm\0happy\0") in frames_in(written)
    assert not any(b"\0mood\0" in each for each in frames_in(written))
    assert frame(b"TXXX", b"\0moodiness\0high") in frames_in(written)


def test_sizes_of_old_itunes_and_unsynchronised_tags_are_written_anew(audio, tmp_path, journal):
    picture = b"\0image/png\0\3\0" + b"\x89" * 300
    old = tag(frame(b"APIC", picture, plain_size=True), frame(b"TIT2", b"\0" + b"x" * 200, plain_size=True))
    assert frame(b"APIC", picture) in frames_in(tagged(tmp_path / "song.mp3", old + audio, journal))

    data = b"owner\0\xff\xe0\xff\x00end"
    safe = data.replace(b"\xff\x00", b"\xff\x00\x00").replace(b"\xff\xe0", b"\xff\x00\xe0")
    written = tagged(tmp_path / "song.mp3", tag(frame(b"PRIV", safe), flags=0x80) + audio, journal)
    assert ID3(tmp_path / "song.mp3").getall("PRIV")[0].data == data[6:] and written[5] == 0
    tagged(tmp_path / "song.mp3", tag(frame(b"PRIV", data, 3), version=3).replace(data, safe) + audio, journal)


def test_id3v2_2_becomes_2_3(audio, tmp_path, journal):
    small = b"".join(
        name + len(data).to_bytes(3, "big") + data for name, data in ((b"TT2", b"\0Song"), (b"TYE", b"\x001999"))
    )
    head = b"ID3\2\0\0" + BitPaddedInt.to_str(len(small), width=4) + small
    written = tagged(tmp_path / "song.mp3", head + audio, journal)
    assert written[3] == 3 and {b"TIT2", b"TYER"} <= {each[:4] for each in frames_in(written)}
    unknown = b"XYZ\0\0\2ab"
    head = b"ID3\2\0\0" + BitPaddedInt.to_str(len(unknown), width=4) + unknown
    (tmp_path / "song.mp3").write_bytes(head + audio)
    with pytest.raises(AudioError, match="frames that later versions lack"):
        plan(str(tmp_path / "song.mp3"), record(), read_mapping())


def test_id3v1_stays_and_its_fields_are_copied_into_a_new_tag(audio, tmp_path, journal):
    written = tagged(tmp_path / "song.mp3", audio + V1, journal)
    assert written.endswith(audio + V1)
    tags = ID3(tmp_path / "song.mp3", load_v1=False)
    assert tags["TPE1"] == "Artist" and tags["TMOO"].text == ["calm", "happy"] and "TIT2" in tags
    both = tagged(tmp_path / "song.mp3", tag(frame(b"TALB", b"\0Album")) + audio + V1, journal)
    assert both.endswith(audio + V1) and not any(each.startswith(b"TPE1") for each in frames_in(both))


def test_id3_and_ape_in_one_file(audio, tmp_path, journal):
    path = tmp_path / "song.mp3"
    path.write_bytes(audio)
    ape = APEv2()
    ape["Title"], ape["Mood"], ape["MP3GAIN_MINMAX"] = "Song", "dark", "100,200"
    ape.save(path)
    for end in (b"", V1):
        content = tag(frame(b"TIT2", b"\0Song")) + path.read_bytes() + end
        written = tagged(tmp_path / "both.mp3", content, journal)
        assert written.endswith(end) and written.count(b"APETAGEX") == 2 and written.count(b"TAG\xcf") == (end != b"")
        found = APEv2(tmp_path / "both.mp3")
        assert (
            list(found["Mood"]) == ["calm", "happy"] and "VALENCE" not in found and found["MP3GAIN_MINMAX"] == "100,200"
        )
        assert ID3(tmp_path / "both.mp3")["TMOO"].text == ["calm", "happy"]
    only = tmp_path / "only.mp3"
    only.write_bytes(path.read_bytes())
    assert plan(str(only), record(), read_mapping()).changes[0].before == ["dark"]


def test_a_file_whose_sound_looks_like_a_tag_is_never_harmed(tmp_path, journal):
    path = make(tmp_path, "wav")
    content = path.read_bytes()
    path.write_bytes(content[:-128] + b"TAG" + b"\1" * 125)
    before = path.read_bytes()
    with pytest.raises(AudioError, match="song.wav: its audio would change with its tags, so it is left alone"):
        write(plan(str(path), record(), read_mapping()), journal)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir() if each.is_file()] == ["song.wav"]
