"""Decodes files with libsndfile: all their parts, with the length that the file has, around damage."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
import soxr

from .audio_blocks_m2e import MISSING_SECONDS, AudioReport, Blocks, Decoded, block_frames, check_rate
from .audio_parts_m2e import EndlessFile, FileSlice, FlacFrames, Part, flac_parts, mp3_parts
from .ogg_pages_m2e import ogg_parts
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
MAX_HOLE_SECONDS = 600.0  # a longer one is rather a damaged number
_MAX_FRAMES_TRIED = 1000  # of a damaged FLAC file, before the rest is given up
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
    containers = _containers(file, start, size)
    with _open_part(file, containers[0], AudioReport())[0] as sound:
        format = sound.format
        rates = [sound.samplerate]
    parts = _parts(format, file, start, size, report) or containers
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
    """The parts of formats of frames and pages; empty for others."""
    if format == "MP3":
        return mp3_parts(file, start, size) or [Part(start, size, endless=True)]
    if format == "OGG":
        parts, complete = ogg_parts(file, start, size)
        if not complete:
            report.warn("The file ends without the mark of its end: a part may be missing.")
        return parts
    return flac_parts(file, start, size) if format == "FLAC" else []


def _containers(file: Any, start: int, size: int) -> list[Part]:
    """The files of which a WAV or AIFF file is joined; any other file as a whole."""
    parts = []
    while (samples := sample_bytes(file, start, size)) and (following := joined_file(file, samples, size)):
        parts.append(Part(start, following))
        start = following
    return [*parts, Part(start, size)]


def _open_part(file: Any, part: Part, report: AudioReport) -> tuple[soundfile.SoundFile, int | None]:
    """The opened part, and its length in samples per channel, None if unknown."""
    view = FileSlice(file, part.start, part.end, part.head)
    samples = sample_bytes(file, part.start, part.end)
    if samples is not None and (samples.declared or 0) > samples.present and view.read(4) == b"caff":
        # libsndfile refuses samples that end too early, so the size in the header is replaced.
        file.seek(part.start)
        head = file.read(samples.start - part.start)
        view = FileSlice(
            file, samples.start, part.end, head[:-12] + (samples.present + 4).to_bytes(8, "big") + head[-4:]
        )
    view.seek(0)
    sound = _SequentialFile(EndlessFile(view) if part.endless else view)
    length = part.length if part.length is not None else sound.frames
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
            if len(parts) == 1 and length is not None:
                report.seconds_expected = length / sound.samplerate
            frames = block_frames(sound.samplerate, sound.channels, seconds)
            hole = _hole(part, sound)
            for start in range(0, round(hole * rate), frames):
                yield np.zeros((min(frames, round(hole * rate) - start), sound.channels), np.float32)
            lost += hole
            read = gone = 0
            resampler = None
            if sound.samplerate != rate:
                resampler = soxr.ResampleStream(sound.samplerate, rate, sound.channels, "float32", "HQ")
            flac = FlacFrames(file, part.start, part.end) if sound.format == "FLAC" else None
            for block, silence in _decoded(sound, frames, flac):
                read, gone, damaged = read + len(block), gone + len(block) * silence, damaged or silence
                yield block if resampler is None else _resampled(resampler, block)
            if resampler is not None:
                yield _resampled(resampler, np.zeros((0, sound.channels), np.float32), last=True)
            used += (read - gone) / sound.samplerate
            lost += gone / sound.samplerate
            declared += hole + (read if length is None else max(length, read)) / sound.samplerate
    report.seconds_used = used
    if report.check_length(name, used, declared) and (damaged or lost >= 0.01):
        report.warn(f"The file is damaged: {lost:.2f} s of it were replaced by silence.")


def _hole(part: Part, sound: soundfile.SoundFile) -> float:
    """Seconds that are lost before a part."""
    if part.granules is None:
        return part.hole
    granules_per_second = 48_000 if sound.subtype == "OPUS" else sound.samplerate
    hole = part.granules / granules_per_second - sound.frames / sound.samplerate
    return min(max(0.0, hole), MAX_HOLE_SECONDS)


def _resampled(resampler: soxr.ResampleStream, block: np.ndarray, last: bool = False) -> np.ndarray:
    mono = block.shape[1] == 1
    result = resampler.resample_chunk(np.ascontiguousarray(block[:, 0] if mono else block), last=last)
    return np.asarray(result).reshape(-1, block.shape[1])


def _decoded(sound: soundfile.SoundFile, frames: int, flac: FlacFrames | None) -> Iterator[tuple[np.ndarray, bool]]:
    """(block, whether it is silence, perhaps none, in place of damage).

    flac: to go on after damage; its frames carry their position, so that silence fills the hole.
    """
    position = failures = 0
    current: soundfile.SoundFile | None = sound
    while current is not None and failures < _MAX_FAILURES:
        block = np.full((frames, sound.channels), np.nan, np.float32)
        damaged = False
        try:
            block = current.read(out=block)
        except soundfile.LibsndfileError:
            damaged = True
            unread = np.flatnonzero(np.isnan(block[:, 0]))  # libsndfile wrote up to the error
            block = block[: unread[0]] if len(unread) else block
        position += len(block)
        failures = 0 if len(block) else failures + 1
        if len(block):
            yield block, False
        if not damaged and not len(block):
            return
        if damaged and flac is None:
            yield block[:0], True
        elif damaged and flac is not None:
            current, first = _resumed(flac, position)
            while current is not None and position < first:
                silence = np.zeros((min(first - position, frames), sound.channels), np.float32)
                position += len(silence)
                yield silence, True


def _resumed(flac: FlacFrames, sample: int) -> tuple[soundfile.SoundFile | None, int]:
    """The rest of a FLAC file from the first frame after `sample` that can be decoded, and its first sample."""
    for _ in range(_MAX_FRAMES_TRIED):
        if (found := flac.after(sample)) is None:
            break
        view, sample = found
        try:
            probe = _SequentialFile(view)
            probe.read(1, dtype="float32")
            view.seek(0)
            return _SequentialFile(view), sample
        except soundfile.LibsndfileError:
            pass
    return None, sample
