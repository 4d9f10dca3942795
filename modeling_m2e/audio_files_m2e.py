"""Decodes files, bytes and URLs to samples in blocks.

libsndfile reads WAV, FLAC, Ogg, Opus, MP3, AIFF and the like; the program `ffmpeg` reads the formats that libsndfile
refuses (M4A, AAC, WMA, MP4, MKV, ...).
"""

import io
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from .download_m2e import download
from .errors_m2e import AudioError

RATE_RANGE = (1_000, 1_000_000)  # Hz; another rate means a damaged header
MAX_BLOCK_SAMPLES = 1 << 22  # over all channels: 16 MiB of float32
# Of the declared length: less may be encoder padding, more means a truncated file.
MISSING_SECONDS, MISSING_SHARE = 0.5, 0.01

Blocks = Iterator[np.ndarray]  # each (frames, channels) float32

# ffmpeg's demuxers of single files; no playlists (hls, concat, dash, ...), which open other files, even local ones.
_DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,asf_o,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iff,loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,"
    "mpegts,ogg,oma,rm,tak,truehd,tta,w64,wav,wv,xwma"
)
# First bytes of formats that ffmpeg reads and libsndfile may not: MP4, Matroska, ASF, ADTS/MPEG audio, AC-3, MPEG, ...
_FFMPEG_MAGIC = re.compile(
    rb"....ftyp|\x1aE\xdf\xa3|0&\xb2u|\xff[\xf0-\xfb]|ADIF|ID3|OggS|FLV|RIFF....AVI |#!AMR|MAC |wvpk|MPCK|MP\+|TTA|tBaK"
    rb"|DSD |caff|\x0bw|\x7f\xfe\x80\x01|\0\0\x01\xba|G.{187}G|\.RMF",
    re.DOTALL,
)


def check_rate(rate: Any, name: str) -> int:
    """The rate as an integer; raises AudioError for anything else."""
    if not isinstance(rate, int | float | np.number) or not RATE_RANGE[0] <= rate <= RATE_RANGE[1]:
        raise AudioError(f"{name}: {rate} is no sampling rate in Hz.")
    return round(float(rate))


def block_frames(rate: int, channels: int, seconds: float) -> int:
    """Frames of a block of `seconds`, or fewer: at most `MAX_BLOCK_SAMPLES` over all channels."""
    return max(1, min(int(seconds * rate), MAX_BLOCK_SAMPLES // channels))


# --- files ---


def complaint(text: str) -> str:
    """The first line of a decoder's message without its address or path prefix."""
    text = text.replace(f" '{_DEMUXERS}'", "")
    line = next((line for line in text.splitlines() if line.strip()), "no reason given")
    return re.sub(r"^(\[[^]]*\]|file:.*:) ", "", line.strip()).rstrip(".")[:100]


def open_file(source: Any, name: str, seconds: float, stack: ExitStack) -> tuple[int, Blocks]:
    """(sampling rate, blocks) by libsndfile, or by ffmpeg where libsndfile refuses the file."""
    file, path = _binary_file(source, name, stack)
    if not file.seek(0, os.SEEK_END):
        raise AudioError(f"{name}: is empty (0 bytes).")
    file.seek(0)
    head = file.read(256)
    file.seek(0)
    try:
        sound = stack.enter_context(_SequentialFile(file))
        if sound.format == "MP3":
            declared = _mp3_declared_frames(file)
            # Without a length in the header, libsndfile stops where it guesses the end from the first bit rate.
            if declared is None or abs(declared - sound.frames) > 5_000:  # samples; encoder delay and padding are less
                sound = stack.enter_context(_SequentialFile(_EndlessFile(file)))
        else:
            declared = _declared_frames(sound)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: a name in .raw
        file.seek(0)
        return _open_container(path or _spool(file, stack), name, head, seconds, stack)
    return check_rate(sound.samplerate, name), _soundfile_blocks(sound, declared, name, seconds)


def _binary_file(source: Any, name: str, stack: ExitStack) -> tuple[BinaryIO, str | None]:
    """A seekable binary file, and its path where it has one."""
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source), None
    if hasattr(source, "read"):
        if isinstance(source, io.TextIOBase):
            raise AudioError(f"{name}: is open as text; open it with mode 'rb'.")
        if hasattr(source, "seekable") and source.seekable():
            return source, None
        path = _spool(source, stack)
    elif isinstance(source, str) and (scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", source)):
        if scheme[1].lower() not in ("http", "https"):
            raise AudioError(f"{name}: only http and https URLs are read; download it first.")
        path = _download(source, name, stack)
    else:
        path = os.fsdecode(source)
    try:
        return stack.enter_context(open(path, "rb")), path
    except IsADirectoryError:
        raise AudioError(f"{name}: is a folder; give the audio files in it.") from None
    except FileNotFoundError:
        raise AudioError(f"{name}: no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{name}: cannot be opened ({reason}).") from error


def _spool(file: Any, stack: ExitStack) -> str:
    """Path of a temporary copy, removed with `stack`."""
    path = os.path.join(stack.enter_context(tempfile.TemporaryDirectory(prefix="m2e-")), "audio")
    with open(path, "wb") as copy:
        while chunk := file.read(1 << 20):
            copy.write(chunk)
    return path


def _download(url: str, name: str, stack: ExitStack) -> str:
    path = os.path.join(stack.enter_context(tempfile.TemporaryDirectory(prefix="m2e-")), "audio")
    download(url, Path(path), name)
    return path


# --- libsndfile ---


class _SequentialFile(soundfile.SoundFile):
    """Read from front to back only: the base class seeks after each block, which fails on FLAC of unknown length."""

    def seekable(self) -> bool:
        return False


class _EndlessFile:
    """A file that claims to be far longer than it is, so that no length is guessed from its size."""

    EXTRA = 1 << 40

    def __init__(self, file: BinaryIO):
        self.file, self.position = file, 0
        self.size = file.seek(0, os.SEEK_END)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size + self.EXTRA}[whence]
        self.position = origin + offset
        return self.position

    def tell(self) -> int:
        return self.position

    def read(self, count: int) -> bytes:
        # The claimed end shows the real end, where ID3v1 tags are looked for.
        self.file.seek(self.position % self.EXTRA)
        data = self.file.read(count)
        self.position += len(data)
        return data


def _soundfile_blocks(sound: soundfile.SoundFile, declared: int | None, name: str, seconds: float) -> Blocks:
    frames = block_frames(sound.samplerate, sound.channels, seconds)
    read, damage = 0, ""
    while True:
        try:
            block = sound.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            damage = error.error_string
            break
        if not len(block):
            break
        read += len(block)
        yield block
    if declared is not None and declared - read > max(MISSING_SECONDS * sound.samplerate, MISSING_SHARE * declared):
        raise AudioError(
            f"{name}: is truncated or damaged, {read / sound.samplerate:.1f} of {declared / sound.samplerate:.1f} s "
            "can be read; get a complete copy."
        )
    if damage and declared is None:
        raise AudioError(f"{name}: is damaged after {read / sound.samplerate:.1f} s; get another copy.")


def _declared_frames(sound: soundfile.SoundFile) -> int | None:
    """Frames that the header declares, None if unknown; libsndfile itself reports only those that are there."""
    note = re.search(r"^\s*(?:data|SSND|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)
    if note:
        declared, present = int(note[1]), int(note[2])
        if declared <= present or 0x7FFF0000 <= declared <= 0xFFFFFFFF:  # the placeholders of writers to a pipe
            return None
        return sound.frames * declared // present
    return sound.frames if sound.frames < 1 << 62 else None


def _mp3_declared_frames(file: BinaryIO) -> int | None:
    """Samples per channel that the Xing/Info header of an MP3 declares, None without one; the position stays."""
    position = file.tell()
    file.seek(0)
    tag = file.read(10)
    # The length of an ID3 tag is written in four bytes of seven bits.
    id3 = int("".join(f"{byte:07b}" for byte in tag[6:]), 2) + 10 if tag[:3] == b"ID3" else 0
    file.seek(id3)
    first = rb"\xff([\xe2-\xff])..(?:.{9}|.{17}|.{32})(?:Xing|Info)...(.)(....)"
    header = re.search(first, file.read(4096), re.DOTALL)
    file.seek(position)
    if not header or not header[2][0] & 1:  # bit 0: the number of frames follows
        return None
    return int.from_bytes(header[3], "big") * (1152 if header[1][0] >> 3 & 3 == 3 else 576)  # MPEG-1, or 2 and 2.5


# --- ffmpeg ---


def _open_container(path: str, name: str, head: bytes, seconds: float, stack: ExitStack) -> tuple[int, Blocks]:
    if program := shutil.which("ffmpeg"):
        return _open_ffmpeg(program, path, name, seconds, stack)
    if _FFMPEG_MAGIC.match(head):
        raise AudioError(f"{name}: needs the program ffmpeg; install it (apt install ffmpeg, brew install ffmpeg).")
    raise AudioError(f"{name}: is not an audio file in a known format.")


def _open_ffmpeg(program: str, path: str, name: str, seconds: float, stack: ExitStack) -> tuple[int, Blocks]:
    """The first audio stream at its own rate, as Sun AU from a pipe: the short header has the rate and channels."""
    guard = ["-protocol_whitelist", "file", "-format_whitelist", _DEMUXERS]
    # fmt: off
    command = [program, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "error", *guard, "-i", f"file:{path}",
               "-map", "0:a:0", "-map_metadata", "-1", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    # fmt: on
    log = stack.enter_context(tempfile.TemporaryFile())  # a pipe could fill up and block
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    stack.enter_context(process)
    stack.callback(process.kill)  # runs before the process is waited for, in case reading stops early
    output = process.stdout
    assert output is not None  # a pipe

    def complaints() -> str:
        """The beginning and the end of the log, which may have megabytes for a damaged file."""
        process.wait()
        size = log.seek(0, os.SEEK_END)
        log.seek(0)
        text = log.read(1 << 16)
        log.seek(max(len(text), size - (1 << 12)))
        return (text + log.read()).decode(errors="replace")

    header = output.read(24)
    if len(header) < 24:
        reason = complaint(complaints())
        raise AudioError(f"{name}: holds no audio that ffmpeg can decode ({reason}).")
    offset, _, _, rate, channels = struct.unpack(">4x5I", header)
    output.read(offset - len(header))
    frames = block_frames(rate, channels, seconds)

    def blocks() -> Blocks:
        while data := output.read(4 * channels * frames):
            whole = len(data) // (4 * channels) * channels
            yield np.frombuffer(data, ">f4", whole).astype(np.float32).reshape(-1, channels)
        log_text = complaints()
        if "partial file" in log_text or "ended prematurely" in log_text:
            raise AudioError(f"{name}: ends before the length that its header declares; get a complete copy.")
        if process.returncode:
            raise AudioError(f"{name}: is damaged, ffmpeg stopped ({complaint(log_text)}).")

    return check_rate(rate, name), blocks()
