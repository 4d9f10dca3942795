"""Reads made files with every fault of the corpus, beside ffmpeg as the oracle of what they hold.

    python benchmarks/reliability/poison.py [--formats wav,mp3] [--no-save]

Each file holds 20 tones, one per second, so that a reader's waveform tells which seconds are there and in their place.
A case fails if
- it ends in anything but a waveform or one sentence (AudioError),
- seconds that ffmpeg reads are lost, or the file is refused though ffmpeg reads half of it,
- seconds are missing, and no warning says so.
Needs ffmpeg.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from outcomes import Campaign, without_torch

without_torch()
from modeling_m2e.audio_blocks_m2e import MIN_SHARE, AudioReport  # noqa: E402
from modeling_m2e.audio_m2e import stream  # noqa: E402
from modeling_m2e.errors_m2e import AudioError  # noqa: E402

RATE, SECONDS = 16_000, 20
SOUNDFILE = {  # ending: format and subtype of libsndfile
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", None),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
}
FFMPEG = {"m4a": "aac", "mkv": "aac", "aac": "aac", "wv": "wavpack", "tta": "tta", "avi": "ac3", "wma": "wmav2"}
# Streams of frames or packets without a length: nothing in them says that their end is missing.
WITHOUT_LENGTH = ("aac", "wma")
BARE = (
    "wav",
    "float.wav",
    "aiff",
    "au",
    "w64",
    "caf",
)  # samples as they are: wrong ones cannot be told from right ones
TOLERANCE = 2  # seconds that two decoders may see differently around damage
LIES = {  # ending: position and size of the length of the samples
    "wav": (40, 4),
    "aiff": (42, 4),
    "au": (8, 4),
}


def tones(first: int = 0, end: int = SECONDS) -> np.ndarray:
    """A second of 500 Hz, one of 600 Hz, ... with a little noise."""
    frequency = np.repeat(500.0 + 100.0 * np.arange(first, end), RATE)
    wave = 0.5 * np.sin(2 * np.pi * np.cumsum(frequency) / RATE)
    return (wave + 0.01 * np.random.default_rng(first).standard_normal(len(wave))).astype(np.float32)


def seconds_in_place(waveform: np.ndarray) -> int:
    """How many of the tones are where they belong."""
    found = 0
    for index in range(SECONDS):
        part = waveform[round((index + 0.25) * RATE) : round((index + 0.75) * RATE)]
        found += len(part) == RATE // 2 and abs(np.abs(np.fft.rfft(part)).argmax() * 2 - 500 - 100 * index) <= 4
    return found


def encode(ending: str, wave: np.ndarray, folder: Path) -> bytes:
    """The bytes of a file of this kind."""
    buffer = io.BytesIO()
    if ending in SOUNDFILE:
        format, subtype = SOUNDFILE[ending]
        soundfile.write(buffer, wave, RATE, format=format, subtype=subtype)
        return buffer.getvalue()
    source, target = folder / "source.wav", folder / f"made.{ending}"
    soundfile.write(source, wave, RATE)
    options = ["-movflags", "+faststart"] if ending == "m4a" else []
    command = ["ffmpeg", "-nostdin", "-y", "-loglevel", "error", "-i", str(source), "-c:a", FFMPEG[ending], *options]
    subprocess.run([*command, str(target)], check=True)
    return target.read_bytes()


def oracle(path: Path) -> np.ndarray:
    """What ffmpeg reads, mono at RATE; nothing where it fails."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "quiet", "-i", str(path), "-map", "0:a:0", "-af"]
    done = subprocess.run([*command, "aresample=async=1", "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"],
                          stdout=subprocess.PIPE)  # fmt: skip
    return np.frombuffer(done.stdout[: len(done.stdout) // 4 * 4], np.float32)


# --- faults ---


def hole(data: bytes, start: float, filler: Callable[[int], bytes]) -> bytes:
    first, last = int(len(data) * start), int(len(data) * (start + 0.1))
    return data[:first] + filler(last - first) + data[last:]


def junk(size: int) -> bytes:
    return np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()


def tag(size: int = 5_000) -> bytes:
    length = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x04\0\0" + length + bytes(size)


def faults(ending: str, data: bytes, parts: tuple[bytes, bytes]) -> dict[str, bytes]:
    """{name: bytes} of the damaged files."""
    made = {
        "whole": data,
        **{f"the first {share} %": data[: len(data) * share // 100] for share in (95, 70, 40, 10)},
        "zeros from 20 %": hole(data, 0.2, bytes),
        "zeros from 40 %": hole(data, 0.4, bytes),
        "junk from 60 %": hole(data, 0.6, junk),
        "a lost part": data[: len(data) // 2] + data[len(data) * 6 // 10 :],
        "text at the end": data + b"<html>not found</html>\n" * 200,
        "ID3 at the beginning": tag() + data,
        "ID3 at the end": data + b"TAG" + bytes(125),
        "the header alone": data[:64],
    }
    if ending not in ("m4a", "mkv", "wma", "tta"):  # players read the first part of these, as their headers say
        made["two files joined"] = b"".join(parts)
    if ending in LIES:
        at, size = LIES[ending]
        for name, value in (("no length", 0), ("a wrapped length", 123_456), ("a length of 4 GiB", 0xFFFF_FFFF)):
            order = "little" if ending == "wav" else "big"
            made[f"a header with {name}"] = data[:at] + value.to_bytes(size, order) + data[at + size :]
    return made


# --- verdicts ---


def verdict(ending: str, fault: str, path: Path) -> str | None:
    """Why a case fails; None where it does not."""
    report = AudioReport()
    try:
        blocks = [block[RATE] for block in stream(str(path), [RATE], report=report)]
    except AudioError as error:
        sentence = str(error)
        if "\n" in sentence or not sentence.endswith("."):
            return f"no sentence: {sentence!r}"
        if ending == "float.wav" and "NaN" in sentence:  # junk is no number
            return None
        theirs = seconds_in_place(oracle(path))
        return f"refused, ffmpeg reads {theirs} s: {sentence}" if theirs >= MIN_SHARE * SECONDS + TOLERANCE else None
    except Exception as error:  # whatever it is: this is the failure that is looked for
        return f"{type(error).__name__}: {error}"
    ours = seconds_in_place(np.concatenate(blocks))
    if ours < SECONDS - 1 and ours < (theirs := seconds_in_place(oracle(path))) - TOLERANCE:
        return f"{ours} s in place, ffmpeg has {theirs}"
    silent = ours < SECONDS - 1 and not report.warnings
    unknowable = ending in WITHOUT_LENGTH if fault.startswith("the first") else ending in BARE and " from " in fault
    return f"{ours} of {SECONDS} s in place and no warning" if silent and not unknowable else None


def run(endings: list[str], save: bool = True) -> int:
    campaign = Campaign("poison", "made files: formats, truncation, holes, joined files, tags, headers that lie")
    with tempfile.TemporaryDirectory(prefix="m2e-poison-") as name:
        folder = Path(name)
        for ending in endings:
            half = SECONDS // 2
            parts = (encode(ending, tones(0, half), folder), encode(ending, tones(half), folder))
            for fault, data in faults(ending, encode(ending, tones(), folder), parts).items():
                path = folder / f"case.{ending}"
                path.write_bytes(data)
                campaign.count(fault, f"{ending}, {fault}", verdict(ending, fault, path))
    return campaign.end(save)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", default=",".join([*SOUNDFILE, *FFMPEG]), help="endings of the files")
    parser.add_argument("--no-save", action="store_true", help="keep the result of the last run")
    args = parser.parse_args()
    sys.exit(run(args.formats.split(","), save=not args.no_save))
