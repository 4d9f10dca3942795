"""Kills `m2e features` and `train.py` at random moments: what they resume to equals what undisturbed runs give.

    python benchmarks/kill.py [--kills 20] [--seed 0]

A few clips are synthesised; m2e-small is fine-tuned on them. Every command runs in a process of its own, which is
killed (SIGKILL) after a random time and started again. A run that comes to its end is compared, and another one begins,
until there have been enough kills; the last run is left to end. Compared are all features, the weights of the model,
its scores and its log, bit for bit; and that no unfinished file is left.
"""

import argparse
import csv
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results" / "kill.json"
RATE = 22050
# kills hit the work, not the imports
PRELOADED = ["m2e.cli", "m2e.features.cache", "m2e.checkpoints.load", "m2e.datasets", "train"]
UNTIMED = ("seconds", "tracks_per_second")  # of the log: these may differ


def synthesise(folder: Path, clips: int, seconds: float, seed: int) -> None:
    """Tones in noise with a table of labels."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    rows = []
    for number in range(clips):
        notes = np.repeat(rng.integers(40, 80, 1 + int(2 * seconds)), RATE // 2)[: round(seconds * RATE)]
        tone = 0.3 * np.sin(2 * np.pi * np.cumsum(440 * 2 ** ((notes - 69) / 12)) / RATE)
        soundfile.write(folder / f"{number}.wav", tone + rng.normal(0, 0.05, len(tone)), RATE)
        rows.append([f"{number}.wav", ("calm", "mine", "calm;mine")[number % 3], *rng.uniform(2, 8, 2).round(2)])
    with open(folder / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([("file", "moods", "valence", "arousal"), *rows])


# --- the commands, each in a process of its own ---


def features(clips: Path, out: Path) -> None:
    from m2e.cli import main

    _log_to(out)
    sys.argv = ["m2e", "features", "--data", "folder", "--folder", str(clips), "--out", str(out)]
    main()


def train(clips: Path, out: Path, epochs: int) -> None:
    import train

    _log_to(out)
    recipe = ROOT / "configuration" / "fine-tune.yaml"
    places = ["--data", str(clips), "--out", str(out / "model"), "--features", str(out / "features")]
    train.main([str(recipe), *places, "--set", f"training.epochs={epochs}"])


def _log_to(out: Path) -> None:
    log = os.open(out.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)


# --- what came of it ---


def same_features(one: Path, other: Path) -> bool:
    """Whether two folders hold the same tracks and numbers, in files of the same names, and nothing else."""
    from m2e.features.store import read_features

    files = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in (one, other)]
    found = [read_features(folder) for folder in (one, other)]
    return (
        files[0] == files[1]
        and sorted(found[0]) == sorted(found[1])
        and all(
            np.array_equal(found[0][track].embeddings, found[1][track].embeddings)
            and (found[0][track].windows, found[0][track].chords, found[0][track].key)
            == (found[1][track].windows, found[1][track].chords, found[1][track].key)
            for track in found[0]
        )
    )


def same_training(one: Path, other: Path) -> bool:
    """Whether two folders hold the same features, models, scores and logs."""
    models = [folder / "model" for folder in (one, other)]
    files = [sorted(path.name for path in model.iterdir()) for model in models]
    bytes_ = [[(model / name).read_bytes() for name in ("model.safetensors", "evaluation.json")] for model in models]
    caches = [next((folder / "features").iterdir()) for folder in (one, other)]
    return (
        files[0] == files[1]
        and bytes_[0] == bytes_[1]
        and _log(models[0]) == _log(models[1])
        and same_features(*caches)
    )


def _log(model: Path) -> list[dict]:
    rows = [json.loads(line) for line in (model / "training.jsonl").open()]
    return [{name: value for name, value in row.items() if name not in UNTIMED} for row in rows]


# --- the kills ---


@dataclass(frozen=True)
class Outcome:
    """whole_s: of an undisturbed run.  kills: the moment of each, in seconds.  runs: that ended and were compared.
    equal: how many of these."""

    whole_s: float
    kills: list[float]
    runs: int
    equal: int


def kill(
    start: Callable[[Path], multiprocessing.Process],
    same: Callable[[Path, Path], bool],
    folder: Path,
    kills: int,
    delays: random.Random,
) -> Outcome:
    """What comes of a command that is killed at random moments. start: begins it for an output folder."""
    whole = folder / "whole"
    began = time.perf_counter()
    _end(start(whole), whole)
    duration = time.perf_counter() - began
    print(f"undisturbed: {duration:.1f} s", flush=True)
    moments, runs, equal = [], 0, 0
    while True:
        broken = folder / f"broken{runs}"
        fresh, began = not broken.exists(), time.perf_counter()
        process = start(broken)
        if len(moments) < kills:
            moment = delays.uniform(0, duration)
            process.join(moment)
            if process.is_alive():
                process.kill()
                process.join()
                moments.append(round(moment, 2))
                print(f"kill {len(moments)} of run {runs + 1} after {moment:.2f} s", flush=True)
                continue
            if fresh:  # a later run may be quicker, and kills are to hit it
                duration = time.perf_counter() - began
        _end(process, broken)
        runs += 1
        equal += same(whole, broken)
        print(f"run {runs} ended; equal so far: {equal}", flush=True)
        if len(moments) == kills:
            return Outcome(round(duration, 2), moments, runs, equal)


def _end(process: multiprocessing.Process, out: Path) -> None:
    process.join()
    if process.exitcode:
        sys.exit(f"The command failed with status {process.exitcode}:\n{out.with_suffix('.log').read_text()[-2000:]}")


def main() -> None:
    from m2e.storage import write_text

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each of the two commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a clip")
    parser.add_argument("--epochs", type=int, default=40)
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *sys.path])  # of the server that the processes come from
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def start(target: Callable, *arguments) -> multiprocessing.Process:
        process = context.Process(target=target, args=arguments)
        process.start()
        return process

    start(str).join()  # what is preloaded is no part of the undisturbed run
    delays, content = random.Random(args.seed), vars(args) | {}
    with tempfile.TemporaryDirectory(prefix="m2e-kill-") as name:
        folder = Path(name)
        clips = folder / "clips"
        synthesise(clips, args.clips, args.seconds, args.seed)
        commands = {
            "features": (lambda out: start(features, clips, out), same_features),
            "training": (lambda out: start(train, clips, out, args.epochs), same_training),
        }
        for what, (begin, same) in commands.items():
            print(what, flush=True)
            (folder / what).mkdir()
            outcome = kill(begin, same, folder / what, args.kills, delays)
            print(f"{what}: {len(outcome.kills)} kills, {outcome.equal} of {outcome.runs} runs equal", flush=True)
            content[what] = vars(outcome)
    write_text(RESULTS, json.dumps(content, indent=1) + "\n")
    if any(content[what]["equal"] < content[what]["runs"] for what in commands):
        sys.exit("Not all resumed runs equal the undisturbed one.")


if __name__ == "__main__":
    main()
