"""Decodes files with libsndfile: all their parts, with the length that the file has, around damage."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
import soxr

from .audio_blocks_m2e import MISSING_SECONDS, AudioReport, Blocks, Decoded, block_frames, check_rate
from .audio_parts_m2e import EndlessFile, FileSlice, Part, flac_parts, mp3_parts, ogg_parts
from .pcm_headers_m2e import joined_file, sample_bytes

_WIDTHS = {
    "PCM_S8": 1,
    "PCM_U8": 1,
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
    "ULAW": 1,
    "ALAW": 1,
}
_UNKNOWN_FRAMES = 1 << 62  # libsndfile gives more than this where a header has no length
# Steps in damaged blocks of FLAC; the long ones after a block of which nothing can be decoded.
_STEP_SECONDS, _LONG_STEP_SECONDS = 0.05, 1.0
_MAX_FAILURES = 8  # calls in a row that give nothing but an error


class _SequentialFile(soundfile.SoundFile):
    """Read from front to back only: the base class seeks after each block, which fails on FLAC of unknown length."""

    def seekable(self) -> bool:
        return False


def open_sound(file: Any, start: int, size: int, name: str, seconds: float, report: AudioReport) -> Decoded:
    """The audio of the bytes of `file` from `start` to `size`, in blocks of `seconds`.

    Parts with another sampling rate are resampled to the highest. Raises: soundfile.LibsndfileError where libsndfile
    knows no such format; AudioError.
    """
    with _SequentialFile(FileSlice(file, start, size)) as sound:
        format = sound.format
        rates = [sound.samplerate]
    parts = _parts(format, file, start, size, report)
    if len(parts) > 1:
        rates = []
        for part in parts:
            try:
                with _open_part(file, part, AudioReport())[0] as sound:
                    rates.append(sound.samplerate)
            except soundfile.LibsndfileError:
                pass  # `_read_parts` reports it
    rate = check_rate(max(rates, default=0), name)
    return Decoded(rate, _read_parts(file, parts, rate, name, seconds, report), vorbis_order=format == "OGG")


def _parts(format: str, file: Any, start: int, size: int, report: AudioReport) -> list[Part]:
    if format == "MP3":
        return mp3_parts(file, start, size) or [Part(start, size, endless=True)]
    if format == "OGG":
        parts, complete = ogg_parts(file, start, size)
        if not complete:
            report.warn("The file ends without the mark of its end: a part may be missing.")
        return parts or [Part(start, size)]
    if format == "FLAC":
        return flac_parts(file, start, size)
    parts = []
    while (samples := sample_bytes(file, start, size)) and (following := joined_file(file, samples, size)):
        parts.append(Part(start, following))
        start = following
    return [*parts, Part(start, size)]


def _open_part(file: Any, part: Part, report: AudioReport) -> tuple[soundfile.SoundFile, int | None]:
    """The opened part, and its length in samples per channel, None if unknown."""
    view = FileSlice(file, part.start, part.end)
    sound = _SequentialFile(EndlessFile(view) if part.endless else view)
    length = part.length if part.length is not None else sound.frames
    samples = sample_bytes(file, part.start, part.end)
    if samples is None or samples.present <= 0:
        return sound, length if length < _UNKNOWN_FRAMES else None
    frame = _WIDTHS.get(sound.subtype, 0) * sound.channels
    if not frame:  # compressed: the length is in proportion
        declared = samples.present if samples.declared is None else max(samples.declared, samples.present)
        return sound, sound.frames * declared // samples.present
    present = samples.present // frame
    declared = present if samples.declared is None else samples.declared // frame
    rate = sound.samplerate
    if samples.other or present - declared <= MISSING_SECONDS * rate and sound.frames:
        return sound, declared
    if samples.declared is not None:
        report.warn(
            f"The header declares {declared / rate:.1f} s, but the file holds {present / rate:.1f} s: all was read."
        )
    if sound.frames < present:
        endian = sound.endian if sound.endian in ("LITTLE", "BIG") else "BIG" if samples.big_endian else "LITTLE"
        layout = {"samplerate": rate, "channels": sound.channels, "subtype": sound.subtype, "endian": endian}
        sound.close()
        sound = _SequentialFile(FileSlice(file, samples.start, part.end), format="RAW", **layout)
    return sound, present


def _read_parts(file: Any, parts: list[Part], rate: int, name: str, seconds: float, report: AudioReport) -> Blocks:
    used = declared = lost = 0.0  # seconds
    damaged = False
    for part in parts:
        try:
            sound, length = _open_part(file, part, report)
        except soundfile.LibsndfileError:
            damaged = True
            continue
        with sound:
            frames = block_frames(sound.samplerate, sound.channels, seconds)
            for start in range(0, round(part.hole * rate), frames):
                yield np.zeros((min(frames, round(part.hole * rate) - start), sound.channels), np.float32)
            lost += part.hole
            read = gone = 0
            resampler = None
            if sound.samplerate != rate:
                resampler = soxr.ResampleStream(sound.samplerate, rate, sound.channels, "float32", "HQ")
            for block, missing in _decoded(sound, frames):
                damaged |= missing is not None
                read, gone = read + len(block), gone + (missing or 0)
                yield block if resampler is None else _resampled(resampler, block)
            if resampler is not None:
                yield _resampled(resampler, np.zeros((0, sound.channels), np.float32), last=True)
            used += (read - gone) / sound.samplerate
            lost += gone / sound.samplerate
            declared += part.hole + (read if length is None else max(length, read)) / sound.samplerate
    report.seconds_used = used
    if report.check_length(name, used, declared) and (damaged or lost >= 0.01):
        report.warn(f"The file is damaged: {lost:.2f} s of it were replaced by silence.")


def _resampled(resampler: soxr.ResampleStream, block: np.ndarray, last: bool = False) -> np.ndarray:
    mono = block.shape[1] == 1
    result = resampler.resample_chunk(np.ascontiguousarray(block[:, 0] if mono else block), last=last)
    return np.asarray(result).reshape(-1, block.shape[1])


def _decoded(sound: soundfile.SoundFile, frames: int) -> Iterator[tuple[np.ndarray, int | None]]:
    """(block, None) as long as the file is sound; after an error, (what can be read, samples that are silence)."""
    position = failures = gap = 0
    step, jump = _STEP_SECONDS, False
    while failures < _MAX_FAILURES:
        block = np.full((frames, sound.channels), np.nan, np.float32)
        missing: int | None = None
        try:
            if jump:
                soundfile.SoundFile.seek(sound, position)
            block = sound.read(out=block)
            position += len(block)
        except soundfile.LibsndfileError:
            missing = 0
            if sound.format == "FLAC" and sound.frames < _UNKNOWN_FRAMES:  # its frames carry their position
                wanted = min(frames, sound.frames - position)
                if wanted <= 0:
                    return
                block, missing = _stepwise(sound, position, wanted, step)
                position, jump, failures = position + wanted, True, 0
                step = _STEP_SECONDS if len(block) else _LONG_STEP_SECONDS
            else:  # what was written before the error
                unread = np.flatnonzero(np.isnan(block[:, 0]))
                block = block[: unread[0]] if len(unread) else block
                position, wanted = position + len(block), len(block)
                failures = 0 if len(block) else failures + 1
        if not len(block) and missing is None:
            return
        while gap and len(block):  # something follows: it is a hole, and not the end
            silence = np.zeros((min(gap, frames), sound.channels), np.float32)
            gap -= len(silence)
            yield silence, len(silence)
        yield block, missing
        if missing is not None:
            gap += wanted - len(block)


def _stepwise(sound: soundfile.SoundFile, start: int, frames: int, step_seconds: float) -> tuple[np.ndarray, int]:
    """The samples from `start` on, and the number of those that are silence, as they cannot be decoded.

    It ends with the last sample that can be decoded among the next `frames`.
    """
    block = np.zeros((frames, sound.channels), np.float32)
    step = max(1, round(step_seconds * sound.samplerate))
    end = count = 0
    for at in range(0, len(block), step):
        piece = block[at : at + step]
        try:
            soundfile.SoundFile.seek(sound, start + at)
            read = len(sound.read(out=piece))
        except soundfile.LibsndfileError:
            read = 0
        piece[read:] = 0.0
        if read:
            end, count = at + read, count + read
    return block[:end], end - count
