"""Time and memory of predictions, stage by stage: one table, and README's numbers.

    python benchmarks/speed.py [--before WORKTREE] [--only start stages track chords batch] [--model DIR]

Every number is a median. --before measures the same with another checkout, in turns with this one, and prints the
ratio. Times are comparable only where nothing else runs. `speed_settings.py` compares settings of the encoder.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from speed_jobs import STAGES

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "moonlight_sonata.ogg"
RESULTS = ROOT / "benchmarks" / "results" / "speed.json"
PARTS = ("start", "stages", "track", "chords", "batch")


def write_mp3(path: Path, seconds: float, seed: int = 0, rate: int = 44100) -> None:
    """The example over and over, in stereo, with some noise so that no two windows are alike."""
    source, source_rate = sf.read(EXAMPLE, dtype="float32", always_2d=True)
    mono = np.interp(np.arange(0, len(source), source_rate / rate), np.arange(len(source)), source.mean(axis=1))
    rng = np.random.default_rng(seed)
    with sf.SoundFile(path, "w", rate, 2, format="MP3") as file:
        written, wanted = 0, int(seconds * rate)
        while written < wanted:
            block = (mono + rng.normal(0, 0.002, len(mono)))[: wanted - written, None]
            file.write(np.repeat(block, 2, axis=1))
            written += len(block)


# --- running a job ---


def environment(checkout: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(checkout), "HF_HUB_OFFLINE": "1"}


def job(checkout: Path, name: str, **arguments: Any) -> dict[str, Any]:
    """The result of a job of speed_jobs.py in a new process."""
    command = [sys.executable, str(ROOT / "benchmarks" / "speed_jobs.py"), name, json.dumps(arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment(checkout))
    return json.loads(done.stdout.splitlines()[-1])


def command(checkout: Path, *arguments: str) -> dict[str, float]:
    """Seconds of a command of m2e in a new process: wall clock and CPU."""
    program = [sys.executable, "-c", "from m2e.cli import main; main()", *arguments]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL, env=environment(checkout), cwd=checkout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"s": time.perf_counter() - began, "cpu_s": cpu}


def in_turns(checkouts: dict[str, Path], measure: Callable[[Path], dict], rounds: int) -> dict[str, dict]:
    """{name of a checkout: median of each number of `measure`}, measured alternately."""
    found: dict[str, list[dict]] = {name: [] for name in checkouts}
    for _ in range(rounds):
        for name, checkout in checkouts.items():
            found[name].append(measure(checkout))
    return {name: {key: _median([run[key] for run in runs]) for key in runs[0]} for name, runs in found.items()}


def _median(values: list) -> Any:
    return statistics.median(values) if isinstance(values[0], int | float) else values[0]


# --- batches ---


def batch(checkout: Path, folder: Path, workers: int, marks: tuple[int, int]) -> dict[str, Any]:
    """Clips per second of `m2e predict FOLDER --workers N`, and memory of all its processes at two clips."""
    program = [sys.executable, "-c", "from m2e.cli import main; main()", "predict", str(folder)]
    program += ["--format", "jsonl", "--workers", str(workers)]
    began, first, memory, count = time.perf_counter(), 0.0, {}, 0
    with subprocess.Popen(program, stdout=subprocess.PIPE, env=environment(checkout), cwd=checkout) as process:
        for count, _ in enumerate(process.stdout or (), 1):
            if count == 1:
                first = time.perf_counter()
            if count in marks:
                memory[f"mb_at_clip_{count}"] = tree_mb(process.pid)
        end = time.perf_counter()
    return {"clips": count, "clips_per_s": (count - 1) / (end - first), "all_s": end - began, **memory}


def tree_mb(root: int) -> int | None:
    """Memory of a process and its children, shared pages counted once (Linux only)."""
    if not Path("/proc/self/smaps_rollup").exists():
        return None
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        parents.setdefault(parent, []).append(int(status.parent.name))
    todo, kilobytes = [root], 0
    while todo:
        process = todo.pop()
        todo += parents.get(process, [])
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes // 1024


# --- tables ---


def show(title: str, rows: list[list[str]]) -> None:
    """Prints a table; the first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]), flush=True)


def show_stages(title: str, result: dict) -> None:
    rows = [["stage", "seconds", "times real time", "share"]]
    for stage in (*STAGES, "all"):
        seconds = result["all_s"] if stage == "all" else result["stages_s"][stage]
        speed = f"{result['audio_s'] / seconds:.0f}" if seconds else ""
        rows.append([stage, f"{seconds:.3f}", speed, f"{seconds / result['all_s']:.1%}"])
    show(f"{title}, {result['audio_s']:.0f} s of audio, peak {result['peak_mb']} MB", rows)


def show_sides(title: str, sides: dict[str, dict]) -> None:
    """The numbers of each checkout, and before / now."""
    names = list(sides)
    rows = [["", *names, *(["before / now"] if "before" in sides else [])]]
    for key, value in sides["now"].items():
        if isinstance(value, int | float):
            row = [key, *(f"{sides[name].get(key) or 0:.4g}" for name in names)]
            rows.append(
                row + ([f"{(sides['before'].get(key) or 0) / value:.2f}"] if "before" in sides and value else [])
            )
    show(title, [row + [""] * (len(rows[0]) - len(row)) for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="WORKTREE", help="a checkout to compare with")
    parser.add_argument("--model", help="folder of the model; default: the embedded one")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=180, help="length of the track")
    parser.add_argument("--clip", type=float, default=30, help="seconds of a clip")
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--hours", type=float, default=3, help="length of the long track; 0: none")
    parser.add_argument("--no-mert", action="store_true", help="without the network of the size of MERT-v1-95M")
    args = parser.parse_args()
    checkouts = {"now": ROOT, **({"before": args.before.resolve()} if args.before else {})}
    model = {"model": args.model} if args.model else {}
    result: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    result["machine"] = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        track, clip, long = (Path(folder, f"{name}.mp3") for name in ("track", "clip", "long"))
        write_mp3(track, args.seconds)
        write_mp3(clip, args.clip)
        if "start" in args.only:
            only = ["--model", args.model] if args.model else []
            for name, arguments in (
                ("m2e --help", ["--help"]),
                ("m2e predict CLIP", ["predict", str(clip), *only]),
            ):
                result[name] = in_turns(checkouts, lambda path, a=tuple(arguments): command(path, *a), args.rounds)
                show_sides(name, result[name])
            result["start"] = in_turns(checkouts, lambda path: job(path, "start", path=str(clip), **model), args.rounds)
            show_sides("first answer in a new process", result["start"])
        if "stages" in args.only:
            for each in (args.model, *(() if args.no_mert else ("mert-95m",))):
                name = f"stages of {each or 'm2e-small'}"
                result[name] = job(ROOT, "stages", path=str(track), model=each, runs=5 if each == args.model else 3)
                show_stages(name, result[name])
        if "track" in args.only:
            result["track"] = in_turns(
                checkouts, lambda path: job(path, "track", path=str(track), **model), args.rounds
            )
            show_sides(f"track of {args.seconds:g} s", result["track"])
            if args.hours:
                write_mp3(long, args.hours * 3600)
                result["long"] = {"now": job(ROOT, "track", path=str(long), runs=0, **model)}
                show_sides(f"track of {args.hours:g} h", result["long"])
                long.unlink()
        if "chords" in args.only:
            result["chords"] = in_turns(checkouts, lambda path: job(path, "chords", path=str(track)), args.rounds)
            show_sides("chords and key alone", result["chords"])
        if "batch" in args.only:
            clips = Path(folder, "clips")
            clips.mkdir()
            for index in range(args.clips):
                if index < 10:
                    write_mp3(clips / f"{index:04}.mp3", args.clip, seed=index)
                else:
                    shutil.copy(clips / f"{index % 10:04}.mp3", clips / f"{index:04}.mp3")
            marks = max(1, args.clips // 5), args.clips
            for workers in (1, 2):
                name = f"{args.clips} clips, workers {workers}"
                result[name] = in_turns(checkouts, lambda path, w=workers: batch(path, clips, w, marks), 1)
                show_sides(name, result[name])
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
