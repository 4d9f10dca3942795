"""The tags of an audio file, in the format of the file, behind one interface. Needs mutagen."""

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal, cast

import mutagen
from mutagen import MutagenError
from mutagen._vorbis import VComment, is_valid_key  # the public classes of Ogg and FLAC tags are its subclasses
from mutagen.aiff import AIFF
from mutagen.apev2 import TEXT, APENoHeaderError, APEv2, APEv2File, is_valid_apev2_key
from mutagen.asf import ASF
from mutagen.dsdiff import DSDIFF
from mutagen.dsf import DSF
from mutagen.id3 import ID3, ID3FileType
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4, MP4FreeForm
from mutagen.wave import WAVE

from m2e.errors import AudioError, UsageError, reason
from m2e.library.tagging import id3
from m2e.library.tagging.mapping import Rule

Kind = Literal["id3", "vorbis", "mp4", "ape", "asf"]
_LABELS = {"vorbis": "Vorbis comment", "mp4": "MP4", "ape": "APEv2", "asf": "ASF"}
_FREEFORM = "----:com.apple.iTunes:"
# Names that differ from the tag's own, as other programs write them.
_USUAL: dict[Kind, dict[str, str]] = {
    "mp4": {
        "INITIALKEY": f"{_FREEFORM}initialkey",
        "BPM": "tmpo",
        "GENRE": "\xa9gen",
        "GROUPING": "\xa9grp",
    },
    "asf": {
        "MOOD": "WM/Mood",
        "INITIALKEY": "WM/InitialKey",
        "BPM": "WM/BeatsPerMinute",
        "GENRE": "WM/Genre",
        "GROUPING": "WM/ContentGroupDescription",
    },
}
# What mutagen raises for damaged files besides its own errors.
_DAMAGED = (MutagenError, ArithmeticError, AttributeError, EOFError, LookupError, TypeError, ValueError, struct.error)


def check_names(rules: Sequence[Rule]) -> None:
    """Raises UsageError for a mapping with a name that a kind of tag cannot have."""
    checks: list[tuple[str, Callable[[str], bool], str]] = [
        ("id3", id3.is_frame, "TXXX:My mood or TMOO"),
        ("vorbis", is_valid_key, "MY MOOD"),
        ("mp4", _is_freeform, f"{_FREEFORM}MY MOOD"),
        ("ape", is_valid_apev2_key, "My mood"),
    ]
    for rule in rules:
        for kind, fits, example in checks:
            name = getattr(rule, kind)
            if name is not None and not fits(name):
                raise UsageError(f"[{rule.tag}]: {kind} = {name!r} is no name in such a tag: write it as {example}.")


def _is_freeform(name: str) -> bool:
    return name.startswith("----:") and name.count(":") >= 2


class AudioTags:
    """The tags of one file, read with `open_tags`.

    label: the kind of the tag for people, such as `ID3v2.3`.
    """

    def __init__(self, path: str, file: mutagen.FileType, second: APEv2 | None = None):
        self.path = path
        self._file = file
        self._tags = cast(Any, file.tags)
        self._second = second  # the APEv2 tag of an MP3 file, which some programs prefer
        self._kind = _kind_of(file)
        self.label = f"ID3v2.{id3.written_version(self._tags)}" if self._kind == "id3" else _LABELS[self._kind]

    def read(self, rule: Rule) -> list[str]:
        """The values of a tag; empty if the file does not have it."""
        for name in _names(rule, self._kind, self._tags):
            if values := _read(self._tags, self._kind, name):
                return values
        return [] if self._second is None else _read(self._second, "ape", _name(rule, "ape"))

    def write(self, rule: Rule, values: list[str]) -> None:
        """Sets a tag, in memory; without values, removes it. Other names of the same tag are removed."""
        first, *others = _names(rule, self._kind, self._tags)
        for name in others:
            _write(self._tags, self._kind, name, [])
        _write(self._tags, self._kind, first, values)
        if self._second is not None and _read(self._second, "ape", _name(rule, "ape")):
            _write(self._second, "ape", _name(rule, "ape"), values)

    def save(self, copy: BinaryIO) -> None:
        """Writes the tags into an open copy of the file. Raises AudioError."""
        ends_with_v1 = isinstance(self._file, ID3FileType | APEv2File)
        with _readable(self.path, "written"):
            v1 = id3.cut_v1(copy) if ends_with_v1 else b""
            copy.seek(0)
            if self._kind == "id3":
                self._tags.save(copy, **id3.saving_options(self._tags))
            else:
                self._file.save(copy)
            if self._second is not None:
                copy.seek(0)
                self._second.save(copy)
            copy.seek(0, os.SEEK_END)
            copy.write(v1)


def open_tags(path: str, rules: Sequence[Rule]) -> AudioTags:
    """The tags of a file. rules: whose tags may be changed.

    Raises AudioError for a file that has no tags that mutagen writes, and for tags that would not survive it.
    """
    with _readable(path, "read"):
        file = mutagen.File(path)
        if file is not None and _kind_of(file) == "id3":
            file = _with_few_frames(path, file, rules)
        if file is not None and file.tags is None:
            try:
                file.add_tags()
            except (NotImplementedError, MutagenError):
                file = None
        if file is None:
            raise AudioError(f"{path}: its format has no tags that can be written.")
        second = _ape_of(path) if isinstance(file, MP3) else None
    _refuse_losses(path, file)
    return AudioTags(path, file, second)


def _with_few_frames(path: str, file: mutagen.FileType, rules: Sequence[Rule]) -> mutagen.FileType:
    """A file with an ID3 tag, loaded again with only the frames decoded that may be changed."""
    at_start = isinstance(file, ID3FileType)
    if at_start:
        with open(path, "rb") as start:
            version = id3.version_of(start)
    else:
        version = None if file.tags is None else file.tags.version[1]
    names = [name for rule in rules for each in (3, 4) for name in _id3_names(rule, each)]
    options = id3.loading_options(version, names)
    if not at_start:
        options["load_v1"] = False  # what looks like an ID3v1 tag at the end of a WAV file is sound
    return type(file)(path, **options)


def _ape_of(path: str) -> APEv2 | None:
    try:
        return APEv2(path)
    except APENoHeaderError:
        return None


def _refuse_losses(path: str, file: mutagen.FileType) -> None:
    """Raises AudioError if mutagen could not write back the other tags of the file as they are."""
    tags = file.tags
    if isinstance(tags, VComment) and any("\ufffd" in value or key.startswith("unknown") for key, value in tags):
        raise AudioError(
            f"{path}: its comments are not UTF-8, so they could not be written back as they are: repair them with a"
            " tag editor first."
        )
    if isinstance(tags, ID3) and tags.version[1] == 2 and tags.unknown_frames:
        raise AudioError(f"{path}: its ID3v2.2 tag has frames that later versions lack: convert it with a tag editor.")


@contextmanager
def _readable(path: str, done: str) -> Iterator[None]:
    """Turns what mutagen raises for damaged files into an AudioError."""
    try:
        yield
    except AudioError:
        raise
    except (OSError, *_DAMAGED) as error:
        system = next((each for each in (error, error.__cause__, error.__context__) if isinstance(each, OSError)), None)
        if system is not None and system.strerror:
            raise AudioError(f"{path}: its tags cannot be {done} ({system.strerror}).") from error
        raise AudioError(f"{path}: its tags cannot be {done} ({reason(error)}).") from error


# --- names ---


def _kind_of(file: mutagen.FileType) -> Kind:
    if isinstance(file, ID3FileType | WAVE | AIFF | DSF | DSDIFF):
        return "id3"
    if isinstance(file, MP4):
        return "mp4"
    if isinstance(file, ASF):
        return "asf"
    return "ape" if isinstance(file, APEv2File) else "vorbis"


def _name(rule: Rule, kind: Kind) -> str:
    """The name of a tag in a kind of tag, except ID3."""
    usual = _FREEFORM + rule.tag if kind == "mp4" else rule.tag
    return getattr(rule, kind) or _USUAL.get(kind, {}).get(rule.tag.upper(), usual)


def _id3_names(rule: Rule, version: int) -> list[str]:
    """The frame that is written, and the one in which other programs write the same tag."""
    name = rule.id3 or id3.usual_name(rule.tag, version)
    return list(dict.fromkeys([name, id3.USER_TEXT + rule.tag]))


def _names(rule: Rule, kind: Kind, tags: Any) -> list[str]:
    """The names of a tag in a file, the one that is written first; small and capital letters as in the file."""
    if kind == "id3":
        return _id3_names(rule, id3.written_version(tags))
    name = _name(rule, kind)
    if kind in ("mp4", "asf"):
        name = next((key for key in tags.keys() if key.upper() == name.upper()), name)
    return [name]


# --- values ---


def _read(tags: Any, kind: Kind, name: str) -> list[str]:
    if kind == "id3":
        return id3.read(tags, name)
    if name not in tags:
        return []
    values = tags[name]
    if kind == "mp4":
        return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values]
    if kind == "ape" and values.kind != TEXT:
        return ["(binary)"]
    return [str(value) for value in values]


def _write(tags: Any, kind: Kind, name: str, values: list[str]) -> None:
    if kind == "id3":
        id3.write(tags, name, values)
    elif not values:
        if name in tags:
            del tags[name]
    elif kind == "mp4" and name == "tmpo":
        tags[name] = [round(float(values[0]))]
    elif kind == "mp4" and _is_freeform(name):
        tags[name] = [MP4FreeForm(value.encode("utf-8")) for value in values]
    else:
        tags[name] = list(values)
