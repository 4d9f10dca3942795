"""Time and memory of one prediction: a 3-minute and a 2-hour MP3, default model.

    python benchmarks/predict.py [--model DIR] [--threads 2]

Each length runs in a process of its own, so that the peak is that of the length alone. Times are of the second
prediction, after everything is loaded and compiled.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile as sf

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "moonlight_sonata.ogg"
RESULTS = Path(__file__).resolve().parent / "results" / "predict.json"


def write_mp3(path: Path, seconds: float, rate: int = 44100) -> None:
    """The example over and over, in stereo, with some noise so that no two windows are alike."""
    source, source_rate = sf.read(EXAMPLE, dtype="float32", always_2d=True)
    mono = np.interp(np.arange(0, len(source), source_rate / rate), np.arange(len(source)), source.mean(axis=1))
    rng = np.random.default_rng(0)
    with sf.SoundFile(path, "w", rate, 2, format="MP3") as file:
        written = 0
        while written < seconds * rate:
            block = mono + rng.normal(0, 0.002, len(mono))
            file.write(np.repeat(block[: int(seconds * rate) - written, None], 2, axis=1))
            written += len(block)


def measure(path: str, model: str | None, threads: int, warm: bool) -> dict:
    """Seconds of a prediction, its parts, and the peak memory of this process in MB."""
    import torch

    import m2e

    torch.set_num_threads(threads)
    began = time.perf_counter()
    pipe = m2e.load(model, device="cpu")
    loading = time.perf_counter() - began
    runs = []
    for _ in range(3 if warm else 1):
        began = time.perf_counter()
        record = pipe(path)
        runs.append(time.perf_counter() - began)
    return {
        "minutes": round(record.duration / 60, 1),
        "load_s": round(loading, 2),
        "first_s": round(runs[0], 2),
        "warm_s": round(min(runs[1:]), 2) if warm else None,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--minutes", type=float, nargs="+", default=[3, 120])
    parser.add_argument("--file", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.file:
        print(json.dumps(measure(args.file, args.model, args.threads, warm=args.minutes[0] < 10)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in args.minutes:
            path = Path(folder, f"{minutes}.mp3")
            write_mp3(path, minutes * 60)
            command = [sys.executable, __file__, "--file", str(path), "--minutes", str(minutes)]
            command += ["--threads", str(args.threads)] + (["--model", args.model] if args.model else [])
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append(json.loads(done.stdout))
            print(rows[-1], flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"threads": args.threads, "runs": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
