"""Peak memory of `m2e predict` on a short and a long file: the long one may need 10 % more.

    python benchmarks/reliability/memory.py [--minutes 3 180] [--model DIR] [--no-save]

Each length runs in a process of its own, which reports its own peak.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from outcomes import ROOT, Campaign

EXAMPLE = ROOT / "examples" / "moonlight_sonata.ogg"
ALLOWED = 1.10  # times the peak of the first length
CHILD = """
import resource, sys
from m2e.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def write_mp3(path: Path, seconds: float, rate: int = 44_100) -> None:
    """An example over and over, in stereo, with some noise so that no two windows are alike."""
    source, source_rate = soundfile.read(EXAMPLE, dtype="float32", always_2d=True)
    mono = np.interp(np.arange(0, len(source), source_rate / rate), np.arange(len(source)), source.mean(axis=1))
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", rate, 2, format="MP3") as file:
        written = 0
        while written < seconds * rate:
            block = mono + rng.normal(0, 0.002, len(mono))
            file.write(np.repeat(block[: round(seconds * rate) - written, None], 2, axis=1))
            written += len(block)


def peak_mb(file: Path, model: str | None) -> float:
    """MB of `m2e predict FILE`."""
    command = [
        sys.executable,
        "-c",
        CHILD,
        "predict",
        str(file),
        "--format",
        "json",
        "-o",
        str(file.with_suffix(".json")),
    ]
    command += ["--model", model] if model else []
    done = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
    return int(done.stderr.split()[-1]) / (1024 if sys.platform == "linux" else 1024**2)


def run(minutes: list[float], model: str | None, save: bool = True) -> int:
    campaign = Campaign("memory", "peak memory of m2e predict, against that of the shortest file")
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="m2e-memory-") as folder:
        for length in minutes:
            file = Path(folder, f"{length:g}.mp3")
            write_mp3(file, 60 * length)
            peaks[f"{length:g} min"] = round(peak_mb(file, model))
            print(f"{length:g} min: {peaks[f'{length:g} min']:.0f} MB", flush=True)
            first = next(iter(peaks.values()))
            share = peaks[f"{length:g} min"] / first
            campaign.count("length", f"{length:g} min", None if share <= ALLOWED else f"{share:.0%} of the first")
    return campaign.end(save, peaks_mb=peaks)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[3, 180])
    parser.add_argument("--model")
    parser.add_argument("--no-save", action="store_true", help="keep the result of the last run")
    args = parser.parse_args()
    sys.exit(run(args.minutes, args.model, save=not args.no_save))
