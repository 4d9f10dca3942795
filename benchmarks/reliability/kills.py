"""Kills jobs at random moments: nothing is lost or doubled, and what they resume to equals what undisturbed runs give.

    python benchmarks/reliability/kills.py [--count 50] [--jobs predict-jsonl,chords] [--seed 0] [--no-save]

A few clips are synthesised. Every job runs in a process of its own, which is killed (SIGKILL) after a random time and
started again. A run that comes to its end is compared, and another one begins, until there have been enough kills; the
last run is left to end. Compared are the files of records (`m2e predict`), of chords (`m2e chords`) and all features
(`m2e features`), and for `train.py`, which fine-tunes m2e-small, the weights, the scores and the log: bit for bit, and
that no unfinished file is left. After every kill, a file that has its final name must be whole.
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
from outcomes import ROOT, Campaign

RATE = 22050
# kills hit the work, not the imports
PRELOADED = ["m2e.cli", "m2e.workers", "m2e.features.cache", "m2e.checkpoints.chords", "m2e.datasets", "train"]
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


def command(out: Path, *arguments: object) -> None:
    """`m2e` with these arguments."""
    from m2e.cli import main

    _log_to(out)
    sys.argv = ["m2e", *map(str, arguments)]
    main()


def predict(form: str, clips: Path, model: Path, out: Path) -> None:
    out.mkdir(exist_ok=True)
    command(out, "predict", clips, "--model", model, "--resume", "-o", out / f"records.{form}")


def chords(clips: Path, model: Path, out: Path) -> None:
    command(out, "chords", clips, "--model", model, "--format", "lab", "-o", out)


def features(clips: Path, out: Path) -> None:
    command(out, "features", "--data", "folder", "--folder", clips, "--out", out)


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


def same_files(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files. What a kill left under an unfinished name does not count."""
    found = [
        {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith((".partial", ".lock"))}
        for folder in (one, other)
    ]
    return found[0] == found[1]


def whole_files(one: Path, other: Path) -> bool:
    """Whether every file of records or chords in the second folder is as in the first."""
    made = [path for path in other.glob("*.*") if path.suffix in (".jsonl", ".json", ".csv", ".lab")]
    return all(path.read_bytes() == (one / path.name).read_bytes() for path in made)


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
    equal: how many of these.  broken: kills that left a file which looks whole and is not."""

    whole_s: float
    kills: list[float]
    runs: int
    equal: int
    broken: int


def kill(
    start: Callable[[Path], multiprocessing.Process],
    same: Callable[[Path, Path], bool],
    folder: Path,
    kills: int,
    delays: random.Random,
    correct: Callable[[Path, Path], bool] = whole_files,
) -> Outcome:
    """What comes of a command that is killed at random moments. start: begins it for an output folder.

    correct: whether what a kill left in the second folder agrees with the first.
    """
    whole = folder / "whole"
    began = time.perf_counter()
    _end(start(whole), whole)
    duration = time.perf_counter() - began
    print(f"undisturbed: {duration:.1f} s", flush=True)
    moments, runs, equal, bad = [], 0, 0, 0
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
                bad += broken.exists() and not correct(whole, broken)
                continue
            if fresh:  # a later run may be quicker, and kills are to hit it
                duration = time.perf_counter() - began
        _end(process, broken)
        runs += 1
        equal += same(whole, broken)
        if len(moments) == kills:
            return Outcome(round(duration, 2), moments, runs, equal, bad)


def _end(process: multiprocessing.Process, out: Path) -> None:
    process.join()
    if process.exitcode:
        sys.exit(f"The command failed with status {process.exitcode}:\n{out.with_suffix('.log').read_text()[-2000:]}")


def run(jobs: list[str], args: argparse.Namespace, save: bool = True) -> int:
    campaign = Campaign("kills", "kills (SIGKILL) at random moments, and what is resumed afterwards")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def start(target: Callable, *arguments: object) -> multiprocessing.Process:
        process = context.Process(target=target, args=arguments)
        process.start()
        return process

    start(str).join()  # what is preloaded is no part of the undisturbed run
    delays, outcomes = random.Random(args.seed), {}
    with tempfile.TemporaryDirectory(prefix="m2e-kills-") as name:
        folder = Path(name)
        clips, model = folder / "clips", folder / "tiny-model"
        synthesise(clips, args.clips, args.seconds, args.seed)
        if any(job.startswith(("predict", "chords")) for job in jobs):
            import tiny

            tiny.pipeline().save_pretrained(model)
        known: dict[str, tuple[Callable, Callable[[Path, Path], bool]]] = {
            **{
                f"predict-{form}": (lambda out, form=form: start(predict, form, clips, model, out), same_files)
                for form in ("jsonl", "csv", "json")
            },
            "chords": (lambda out: start(chords, clips, model, out), same_files),
            "features": (lambda out: start(features, clips, out), same_features),
            "training": (lambda out: start(train, clips, out, args.epochs), same_training),
        }
        for job in jobs:
            print(job, flush=True)
            begin, same = known[job]
            (folder / job).mkdir()
            outcome = kill(begin, same, folder / job, args.count, delays)
            outcomes[job] = vars(outcome)
            campaign.tried[job] += len(outcome.kills)
            if outcome.equal < outcome.runs:
                campaign.count(job, "resumed", f"{outcome.runs - outcome.equal} of {outcome.runs} runs differ")
            if outcome.broken:
                campaign.count(job, "killed", f"{outcome.broken} kills left a file that looks whole and is not")
            print(f"{job}: {len(outcome.kills)} kills, {outcome.equal} of {outcome.runs} runs equal", flush=True)
    return campaign.end(save, jobs=outcomes)


JOBS = ("predict-jsonl", "predict-csv", "predict-json", "chords", "features", "training")


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="kills of each job")
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a clip")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--no-save", action="store_true", help="keep the result of the last run")
    return parser.parse_args(given)


if __name__ == "__main__":
    chosen = arguments()
    sys.exit(run(chosen.jobs.split(","), chosen, save=not chosen.no_save))
