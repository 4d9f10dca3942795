"""ID3v2 tags (MP3, WAV, AIFF, DSF, TTA) of which only the frames that `m2e tag` may change are decoded.

mutagen decodes every frame it knows and encodes it again when it saves, which merges double frames and drops damaged
ones. Here all frames but a few stay bytes.
"""

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NoReturn

from mutagen.id3 import ID3, TXXX, BitPaddedInt, Encoding, Frame, Frames, ID3JunkFrameError, TextFrame

USER_TEXT = "TXXX:"
# All other tags are TXXX:NAME.
_USUAL = {"MOOD": "TMOO", "INITIALKEY": "TKEY", "BPM": "TBPM", "GENRE": "TCON", "GROUPING": "TIT1"}
_NOT_IN_2_3 = {"TMOO"}
_UNSYNCHRONISED = 0x0002  # flag of a frame in ID3v2.4


def is_frame(name: str) -> bool:
    """Whether a name in a mapping can be written: `TXXX:My mood`, or a frame of text such as `TMOO`."""
    kind = Frames.get(name)
    return (
        name[len(USER_TEXT) :] != "" if name.startswith(USER_TEXT) else kind is not None and issubclass(kind, TextFrame)
    )


def usual_name(tag: str, version: int) -> str:
    """The frame for a tag: `TMOO`, `TXXX:VALENCE`. version: 3 or 4."""
    name = _USUAL.get(tag.upper(), USER_TEXT + tag)
    return USER_TEXT + tag if name in _NOT_IN_2_3 and version < 4 else name


# --- reading and writing ---


def version_of(file: BinaryIO) -> int | None:
    """4 for ID3v2.4; None if the file does not begin with such a tag."""
    file.seek(0)
    head = file.read(4)
    file.seek(0)
    return head[3] if head[:3] == b"ID3" else None


def loading_options(version: int | None, names: Iterable[str]) -> dict[str, Any]:
    """How mutagen should load a tag. names: of the frames that may be changed; all others stay bytes.

    ID3v2.2 cannot be written: its frames are all decoded, and become ID3v2.3. Without ID3v2, the fields of ID3v1 become
    frames, so that players that prefer ID3v2 still have a title.
    """
    if version is None or version < 3:
        return {"translate": False, "load_v1": version is None}
    decoder = _Decoder(names)
    return {"known_frames": {name: _Kind(name, decoder) for name in Frames}, "translate": False, "load_v1": False}


class _Decoder:
    """Decodes the frames of these names."""

    def __init__(self, names: Iterable[str]):
        self.names = {name.upper() for name in names}

    def __call__(self, frame_id: str, header: Any, flags: int, data: bytes) -> Frame:
        """Raises NotImplementedError for other frames and for damaged ones; mutagen then keeps the bytes."""
        if frame_id in {name[:4] for name in self.names}:
            try:
                frame = Frames[frame_id]._fromData(header, flags, data)
            except ID3JunkFrameError:
                raise NotImplementedError from None
            if _name(frame).upper() in self.names:
                return frame
        raise NotImplementedError


class _Kind:
    """What mutagen takes for the class of a frame."""

    def __init__(self, frame_id: str, decoder: _Decoder):
        self._frame_id, self._decoder = frame_id, decoder

    def _fromData(self, header: Any, flags: int, data: bytes) -> Frame | NoReturn:
        return self._decoder(self._frame_id, header, flags, data)


def written_version(tags: ID3) -> int:
    """3 or 4: that of the file, 3 for an ID3v2.2 tag, 4 for a new one."""
    return 3 if (2, 0, 0) <= tags.version < (2, 4, 0) else 4


def read(tags: ID3, name: str) -> list[str]:
    texts = (getattr(frame, "genres", frame.text) for frame in _frames(tags, name))  # a genre may be a number
    return [text for values in texts for text in map(str, values) if text]


def write(tags: ID3, name: str, values: list[str]) -> None:
    """Replaces the frames of this name; without values, removes them."""
    for frame in list(_frames(tags, name)):
        del tags[frame.HashKey]
    if not values:
        return
    encoding = Encoding.UTF8 if written_version(tags) == 4 else Encoding.UTF16
    if all(value.isascii() for value in [name, *values]):
        encoding = Encoding.LATIN1  # which every player reads
    if name.startswith(USER_TEXT):
        tags.add(TXXX(encoding=encoding, desc=name.removeprefix(USER_TEXT), text=values))
    else:
        tags.add(Frames[name](encoding=encoding, text=values))


def _frames(tags: ID3, name: str) -> Iterator[Any]:
    return (frame for frame in tags.values() if isinstance(frame, TextFrame) and _name(frame).upper() == name.upper())


def _name(frame: Any) -> str:
    return USER_TEXT + frame.desc if frame.FrameID == "TXXX" else frame.FrameID


def saving_options(tags: ID3) -> dict[str, Any]:
    """How mutagen should save a tag: with its version; values are separated by NULs in ID3v2.3, too.

    It also adapts the frames that stayed bytes to the new header: old iTunes wrote their sizes in another way, and the
    new header does not say that they are unsynchronised.
    """
    version = written_version(tags)
    flags = _UNSYNCHRONISED if version == 4 and tags.f_unsynch else 0
    tags.unknown_frames = [_with_header(frame, version, flags) for frame in tags.unknown_frames]
    return {"v2_version": version, "v23_sep": None}


def _with_header(frame: bytes, version: int, flags: int) -> bytes:
    size = BitPaddedInt.to_str(len(frame) - 10, width=4, bits=7 if version == 4 else 8)
    return frame[:4] + size + (int.from_bytes(frame[8:10], "big") | flags).to_bytes(2, "big") + frame[10:]


# --- ID3v1 ---

_V1_SIZE = 128  # bytes at the end of a file


def cut_v1(file: BinaryIO) -> bytes:
    """Cuts the ID3v1 tag off a file, because mutagen would rewrite it; its bytes, or none."""
    if file.seek(0, 2) < _V1_SIZE:
        return b""
    start = file.seek(-_V1_SIZE, 2)
    tag = file.read()
    if not tag.startswith(b"TAG"):
        return b""
    file.truncate(start)
    return tag
