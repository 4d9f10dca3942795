"""Decodes mutated files: each gives a waveform or one sentence, in bounded time, and never ends the process.

    python benchmarks/reliability/fuzz.py [--count 100000] [--seed 0] [--only INDEX] [--no-save]

Case N of a seed is the same on every machine with the same libraries. Each is a small file of a random format with one
to eight mutations: bits, bytes, extreme integers, cut, repeated, moved and foreign pieces. The decoding runs in a
process of its own, so that a crash or a hang is noticed, and the campaign goes on. `--only` decodes one case in this
process and leaves its file in the current folder. Without ffmpeg, its formats are left out.
"""

import argparse
import io
import math
import multiprocessing
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from outcomes import Campaign, without_torch
from poison import FFMPEG, SOUNDFILE, encode, tones

from modeling_m2e.audio_blocks_m2e import AudioReport
from modeling_m2e.audio_m2e import stream
from modeling_m2e.errors_m2e import AudioError
from modeling_m2e.limits_m2e import Limits

RATE = 8_000
LIMITS = Limits(max_duration=600.0, timeout=60.0)  # seconds
HANG = 300.0  # seconds without an answer from the process, of a loaded machine
EXTREME = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]


def seeds(endings: Sequence[str]) -> dict[str, bytes]:
    """{ending: bytes of a file of a second}."""
    with tempfile.TemporaryDirectory(prefix="m2e-fuzz-") as folder:
        return {ending: encode(ending, tones(0, 1), Path(folder)) for ending in endings}


# --- mutations: each changes a bytearray in place ---


def flip(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    for place in rng.integers(0, len(data), rng.integers(1, 9)):
        data[place] ^= 1 << int(rng.integers(8))


def overwrite(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    size = int(rng.integers(1, 65))
    place = int(rng.integers(0, len(data)))
    data[place : place + size] = rng.integers(0, 256, size, dtype=np.uint8).tobytes()


def extreme(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    """An integer at a place that is more often in the header."""
    size = int(rng.choice([1, 2, 4]))
    place = int(len(data) * rng.random() ** 4)
    value = int(rng.choice(EXTREME)) & (256**size - 1)
    data[place : place + size] = value.to_bytes(size, "little" if rng.random() < 0.5 else "big")


def truncate(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    del data[int(rng.integers(1, len(data) + 1)) :]


def remove(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    place = int(rng.integers(0, len(data)))
    del data[place : place + int(rng.integers(1, 1 + len(data) // 4 or 2))]


def repeat(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    first, last = sorted(int(place) for place in rng.integers(0, len(data) + 1, 2))
    data[last:last] = data[first:last]


def zero(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    first, last = sorted(int(place) for place in rng.integers(0, len(data) + 1, 2))
    data[first:last] = bytes(last - first)


def splice(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> None:
    """A piece of another file."""
    other = others[int(rng.integers(len(others)))]
    first, last = sorted(int(place) for place in rng.integers(0, len(other) + 1, 2))
    place = int(rng.integers(0, len(data) + 1))
    data[place:place] = other[first:last]


MUTATIONS: list[Callable[[bytearray, np.random.Generator, list[bytes]], None]] = [
    flip, overwrite, extreme, truncate, remove, repeat, zero, splice,
]  # fmt: skip
COMMON = np.array([4, 3, 6, 1, 1, 1, 1, 1]) / 18  # structure lives longer with small changes


def case(files: dict[str, bytes], seed: int, index: int) -> tuple[str, bytes]:
    """(ending, bytes) of a mutated file."""
    rng = np.random.default_rng([seed, index])
    ending = sorted(files)[int(rng.integers(len(files)))]
    data = bytearray(files[ending])
    for _ in range(int(rng.integers(1, 9))):
        MUTATIONS[int(rng.choice(len(MUTATIONS), p=COMMON))](data, rng, list(files.values()))
        if not data:
            data = bytearray(b"\0")
    return ending, bytes(data)


# --- decoding ---


def verdict(data: bytes) -> tuple[str, str | None]:
    """(what came of it, why that is a failure)."""
    report = AudioReport()
    try:
        samples = 0
        for block in stream(io.BytesIO(data), [RATE], report=report, limits=LIMITS):
            samples += len(block[RATE])
            if not np.isfinite(block[RATE]).all():
                return "waveform", "samples that are not finite"
    except AudioError as error:
        sentence = str(error)
        if "takes longer" in sentence:
            return "sentence", f"took longer than {LIMITS.timeout:g} s"
        plain = "\n" not in sentence and sentence.endswith(".") and len(sentence) < 400
        return "sentence", None if plain else f"no sentence: {sentence!r}"
    except Exception as error:  # whatever it is: this is the failure that is looked for
        return "exception", f"{type(error).__name__}: {error}"
    if report.seconds_used is None or not math.isfinite(report.seconds_used):
        return "waveform", f"used {report.seconds_used} s"
    return "waveform with warnings" if report.warnings else "waveform", None


def decode_all(files: dict[str, bytes], seed: int, first: int, end: int, answers: Connection) -> None:
    for index in range(first, end):
        ending, data = case(files, seed, index)
        answers.send((ending, *verdict(data)))


def run(count: int, seed: int, endings: Sequence[str], save: bool = True) -> int:
    campaign = Campaign("fuzz", "decodes of mutated files, by what came of them")
    files, context = seeds(endings), multiprocessing.get_context("spawn")
    index = 0
    while index < count:
        answers, ours = context.Pipe(duplex=False)
        process = context.Process(target=decode_all, args=(files, seed, index, count, ours), daemon=True)
        process.start()
        ours.close()
        while index < count:
            failure = None
            try:
                if answers.poll(HANG):
                    ending, kind, why = answers.recv()
                    failure = why and f"{ending}: {why}"
                else:
                    kind, failure = "hang", f"no answer for {HANG:g} s"
            except EOFError:
                process.join()
                kind, failure = "crash", f"the process ended with status {process.exitcode}"
            campaign.count(kind, f"--seed {seed} --only {index}", failure)
            index += 1
            if kind in ("hang", "crash"):
                break
            if index % 1000 == 0:
                print(f"{index} of {count}", flush=True)
        process.kill()
        process.join()
    return campaign.end(save)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="INDEX")
    parser.add_argument("--no-save", action="store_true", help="keep the result of the last run")
    args = parser.parse_args()
    without_torch()
    formats = [*SOUNDFILE, *(FFMPEG if shutil.which("ffmpeg") else {})]
    if args.only is not None:
        ending, data = case(seeds(formats), args.seed, args.only)
        Path(f"case{args.only}.{ending}").write_bytes(data)
        print(ending, len(data), "bytes:", *verdict(data))
        sys.exit()
    sys.exit(run(args.count, args.seed, formats, save=not args.no_save))
