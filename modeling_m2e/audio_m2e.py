"""Decodes audio of any source once, in blocks, to mono float32 at all requested sampling rates.

`audio_files_m2e` reads files, bytes and URLs. Only `load` holds more than a block.
"""

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO

import numpy as np
import soxr

from .audio_blocks_m2e import AudioReport, Blocks, Decoded, block_frames, check_rate
from .audio_ffmpeg_m2e import complaint
from .audio_files_m2e import open_file
from .audio_mono_m2e import MonoMixer
from .errors_m2e import AudioError
from .limits_m2e import Limits
from .windows_m2e import MIN_SECONDS

# A path or URL, the bytes of a file, an open file, a dict of Hugging Face datasets, (array, sampling rate), or an
# AudioDecoder of torchcodec or datasets.
AudioInput = str | os.PathLike | bytes | BinaryIO | dict[str, Any] | tuple[np.ndarray, int] | Any


def describe(source: AudioInput) -> str:
    """The name of a source in messages and records: its path or URL, or its kind in angle brackets."""
    if isinstance(source, dict):
        if source.get("path") is not None:
            return describe(source["path"])
        return "<bytes>" if source.get("bytes") is not None else "<array>"
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return "<bytes>"
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        return name if isinstance(name, str) else "<file>"
    return "<audio decoder>" if hasattr(source, "get_all_samples") else "<array>"


def stream(
    source: AudioInput,
    sampling_rates: Sequence[int],
    block_seconds: float = 30.0,
    report: AudioReport | None = None,
    limits: Limits | None = None,
) -> Iterator[dict[int, np.ndarray]]:
    """Yields {sampling rate: mono float32 samples}, one dict per decoded block of at most `block_seconds`.

    The blocks of a rate, concatenated, are the whole signal at that rate. Errors about the whole (too short, silent,
    truncated) are raised after the last block: use no result before the iterator ends.
    `report` then has the warnings.

    Raises: AudioError, also for a track beyond `limits`.
    """
    resamplers: dict[int, soxr.ResampleStream] = {}
    nothing = np.zeros(0, np.float32)
    blocks = _mono_blocks(source, block_seconds, report or AudioReport())
    for rate, mono in (limits or Limits()).checked(describe(source), blocks):
        if not resamplers:
            resamplers = {to: soxr.ResampleStream(rate, to, 1, "float32", "HQ") for to in sampling_rates if to != rate}
        yield {to: resamplers[to].resample_chunk(mono) if to in resamplers else mono for to in sampling_rates}
    if resamplers:
        rest = {to: resampler.resample_chunk(nothing, last=True) for to, resampler in resamplers.items()}
        yield {to: rest.get(to, nothing) for to in sampling_rates}


def load(
    source: AudioInput, sampling_rate: int | None = None, max_seconds: float | None = None
) -> tuple[np.ndarray, int]:
    """The mono float32 waveform (n,) and its sampling rate: `sampling_rate`, or the source's own.

    max_seconds: decode no more than that; a longer source is then not checked to its end. Raises: AudioError.
    """
    limit = float("inf") if max_seconds is None else max_seconds
    blocks, seconds = [], 0.0
    for rate, mono in _mono_blocks(source, min(limit, 30.0), AudioReport()):
        blocks.append(mono)
        seconds += len(mono) / rate
        if seconds >= limit:
            break
    waveform = np.concatenate(blocks)
    if seconds > limit:
        waveform = waveform[: round(limit * rate)]
    if sampling_rate is None or sampling_rate == rate:
        return waveform, rate
    return soxr.resample(waveform, rate, sampling_rate, "HQ"), sampling_rate


def _mono_blocks(source: AudioInput, block_seconds: float, report: AudioReport) -> Generator[tuple[int, np.ndarray]]:
    """(sampling rate, samples (n,) float32) of each decoded block, checked."""
    name = describe(source)
    samples = 0
    with ExitStack() as stack:
        audio = _open(source, name, block_seconds, stack, report)
        mixer = MonoMixer(name, audio.rate, report, audio.vorbis_order)
        for block in audio.blocks:
            mono = mixer.mix(block)
            samples += len(mono)
            yield audio.rate, mono
    if not samples:
        raise AudioError(f"{name}: holds no audio samples.")
    if samples < MIN_SECONDS * audio.rate:
        raise AudioError(f"{name}: lasts {samples / audio.rate:.3f} s; at least {MIN_SECONDS} s are needed.")
    mixer.check()
    if report.seconds_used is None:
        report.seconds_used = samples / audio.rate


# --- sources ---


def _open(source: Any, name: str, seconds: float, stack: ExitStack, report: AudioReport) -> Decoded:
    """The audio of any source; `stack` closes what was opened."""
    if isinstance(source, dict):
        array = source.get("array") if source.get("array") is not None else source.get("raw")
        if array is not None:
            return _open_array(array, source.get("sampling_rate"), name, seconds, report)
        source = source["bytes"] if source.get("bytes") is not None else source.get("path")
    if isinstance(source, tuple) and len(source) == 2:
        array, rate = source
        return _open_array(array, rate, name, seconds, report)
    if isinstance(source, np.ndarray) or hasattr(source, "is_floating_point"):
        return _open_array(source, None, name, seconds, report)
    if hasattr(source, "get_all_samples"):
        try:
            audio = source.get_all_samples()
        except (RuntimeError, OSError, ValueError, IndexError) as error:  # raised by torchcodec
            raise AudioError(f"{name}: cannot be decoded ({complaint(str(error))}).") from error
        return _open_array(audio.data, audio.sample_rate, name, seconds, report)
    if isinstance(source, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(source, "read"):
        return open_file(source, name, seconds, stack, report)
    try:
        array, rate = source["array"], source["sampling_rate"]
    except (TypeError, KeyError, IndexError):
        raise AudioError(
            f"{name}: {type(source).__name__} is no audio source; give a path, URL, bytes, file, (array, rate) or dict."
        ) from None
    return _open_array(array, rate, name, seconds, report)


def _open_array(array: Any, rate: Any, name: str, seconds: float, report: AudioReport) -> Decoded:
    if rate is None:
        raise AudioError(f"{name}: an array needs its sampling rate; give (array, sampling_rate).")
    if hasattr(array, "is_floating_point"):  # a torch tensor, perhaps in half precision, perhaps on a device
        array = array.detach().cpu()
        array = (array.float() if array.is_floating_point() else array).numpy()
    array = np.asarray(array)
    if array.ndim == 2 and array.shape[0] <= array.shape[1]:
        array = array.T  # the shorter axis is that of the channels
    if array.ndim not in (1, 2) or array.dtype.kind not in "fiu" or (array.dtype.kind in "iu" and array.itemsize > 4):
        raise AudioError(
            f"{name}: an array of shape {array.shape} and type {array.dtype} is no audio; "
            "give floats in [-1, 1] or 8-, 16- or 32-bit integers of shape (n,) or (channels, n)."
        )
    if not array.size:
        raise AudioError(f"{name}: holds no audio samples.")
    array = array.reshape(len(array), -1)
    scale = 1.0 if array.dtype.kind == "f" else 2.0 ** (8 * array.itemsize - 1)
    offset = scale if array.dtype.kind == "u" else 0.0
    if array.dtype == np.int32 and 0 < (peak := float(np.abs(array.astype(np.float64)).max())) <= 2.0**23:
        bits = 16 if peak <= 2.0**15 else 24
        report.warn(f"The 32-bit integers hold {bits}-bit samples; they were divided by 2^{bits - 1}.")
        scale = 2.0 ** (bits - 1)
    rate = check_rate(rate, name)
    frames = block_frames(rate, array.shape[1], seconds)
    report.seconds_expected = len(array) / rate

    def blocks() -> Blocks:
        for start in range(0, len(array), frames):
            block = array[start : start + frames]
            with np.errstate(over="ignore"):
                yield (block if scale == 1.0 else (block - offset) / scale).astype(np.float32)

    return Decoded(rate, blocks())
