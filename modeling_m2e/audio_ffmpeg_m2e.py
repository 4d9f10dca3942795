"""Decodes what libsndfile refuses (M4A, AAC, WMA, MP4, MKV, ...) with the program ffmpeg."""

import os
import re
import shutil
import struct
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from subprocess import Popen
from typing import IO

import numpy as np

from .audio_blocks_m2e import AudioReport, Blocks, Decoded, block_frames, check_rate
from .child_process_m2e import KILLED, running
from .errors_m2e import AudioError

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
_ERROR = re.compile(r"^(?:\[[^]]*\] )?\[(?:error|fatal)\] (.*)")
_DURATION = re.compile(r"Duration: (\d+):(\d\d):(\d\d\.\d+)")
_ADDED = re.compile(r"adding (\d+) audio samples of silence")


def complaint(text: str) -> str:
    """The first line of a decoder's message without its address or path prefix."""
    text = text.replace(f" '{_DEMUXERS}'", "")
    line = next((line for line in text.splitlines() if line.strip()), "no reason given")
    return re.sub(r"^(\[[^]]*\]|file:.*:) ", "", line.strip()).rstrip(".")[:100]


@dataclass
class _Log:
    """What ffmpeg says about a file.

    declared: length in seconds that the container declares, None if unknown or estimated.  added: samples of silence
    in place of missing ones.  partial: whether the file ends too early.
    """

    error: str = ""
    declared: float | None = None
    added: int = 0
    partial: bool = False


def _read_log(file: IO[bytes]) -> _Log:
    log, estimated = _Log(), False
    file.seek(0)
    for raw in file:  # it may have megabytes for a damaged file
        line = raw.decode(errors="replace")
        if found := _ERROR.match(line):
            log.error = log.error or complaint(found[1])
        log.partial |= "partial file" in line or "ended prematurely" in line
        estimated |= "Estimating duration from bitrate" in line
        if log.declared is None and (found := _DURATION.search(line)):
            log.declared = int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
        if found := _ADDED.search(line):
            log.added += int(found[1])
    if estimated:
        log.declared = None
    return log


def open_container(path: str, name: str, head: bytes, seconds: float, stack: ExitStack, report: AudioReport) -> Decoded:
    """The audio by ffmpeg; `head`: the first bytes of the file. Raises: AudioError, also without it."""
    if program := shutil.which("ffmpeg"):
        return _open_ffmpeg(program, path, name, head, seconds, stack, report)
    if _FFMPEG_MAGIC.match(head):
        raise AudioError(f"{name}: needs the program ffmpeg; install it (apt install ffmpeg, brew install ffmpeg).")
    raise AudioError(f"{name}: is not an audio file in a known format.")


def _open_ffmpeg(
    program: str, path: str, name: str, head: bytes, seconds: float, stack: ExitStack, report: AudioReport
) -> Decoded:
    """The first audio stream at its own rate, as Sun AU from a pipe: the short header has the rate and channels."""
    # Where a format has checksums (WavPack, TTA), frames that do not match them are reported as damage.
    guard = ["-protocol_whitelist", "file", "-format_whitelist", _DEMUXERS, "-err_detect", "crccheck"]
    # The filter puts silence where frames are lost, so that later times stay right; its log says how much.
    # fmt: off
    command = [program, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+verbose", *guard,
               "-i", f"file:{path}", "-map", "0:a:0", "-map_metadata", "-1", "-af", "aresample=async=1",
               "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    # fmt: on
    messages = stack.enter_context(tempfile.TemporaryFile())  # a pipe could fill up and block
    process = stack.enter_context(running(command, messages))
    output = process.stdout
    assert output is not None  # a pipe

    header = output.read(24)
    if len(header) < 24:
        _wait(process, name)
        reason = _read_log(messages).error or "no reason given"
        raise AudioError(f"{name}: holds no audio that ffmpeg can decode ({reason}).")
    offset, _, _, rate, channels = struct.unpack(">4x5I", header)
    output.read(offset - len(header))
    frames = block_frames(rate, channels, seconds)

    def blocks() -> Blocks:
        samples = 0
        while data := output.read(4 * channels * frames):
            whole = len(data) // (4 * channels) * channels
            samples += whole // channels
            yield np.frombuffer(data, ">f4", whole).astype(np.float32).reshape(-1, channels)
        _wait(process, name)
        log = _read_log(messages)
        used = report.seconds_used = (samples - log.added) / rate
        declared = log.declared or 0.0
        if head[:4] == b"RIFF":  # AVI: ffmpeg takes the length from the size of the file
            size = int.from_bytes(head[4:8], "little") + 8
            declared = max(declared, used * size / max(1, os.path.getsize(path)))
        whole_file = report.check_length(name, used, declared)
        if whole_file and (log.error or log.partial or process.returncode):
            reason = log.error or "it ends before the length that its header declares"
            report.warn(f"The file is damaged, {used:.1f} s can be read ({reason}).")

    return Decoded(check_rate(rate, name), blocks())


def _wait(process: Popen[bytes], name: str) -> None:
    """Raises AudioError for a process that was killed: what came of it is no whole track."""
    if process.wait() in KILLED:
        raise AudioError(f"{name}: ffmpeg was killed, perhaps because memory ran out; try it again.")
