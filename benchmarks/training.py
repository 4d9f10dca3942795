"""Training at full size: a signal planted in features like those of MTG-Jamendo, DEAM, EmoMusic and PMEmo.

    python benchmarks/training.py [--threads 2] [--recipes mert-95m mert-95m-paper] [--scale 1]

One epoch of the four teachers and of the student, for each of the two recipes on MERT-v1-95M. Features are random, as
many and as wide as the real ones: 30-s windows and chords of full tracks and of 45-s clips. What is planted: six
directions of the embeddings carry arousal, the moods and most of the valence; the mode carries the rest of the valence,
so that an encoder alone cannot find it. Prints the scores, the best scores that the noise of the labels allows, and
the speed; at full size also writes results/training.json and the table in docs/results.md.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed

from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import MIN_POSITIVES, NO_QUADRANT, dimension_scores, tag_scores
from m2e.storage import write_text
from m2e.training.loop import fit, make_accelerator
from m2e.training.network import new_network
from m2e.training.packed import LabelledTracks, PackedFeatures, mood_frequencies
from m2e.training.recipe import Recipe, read_recipe
from m2e.training.teachers import ModelTeacher
from m2e.training.validation import evaluate
from modeling_m2e.configuration_m2e import JAMENDO_MOOD_FREQUENCIES, JAMENDO_MOODS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results" / "training.json"
DOCS = ROOT / "docs" / "results.md"
WIDTH = 1536  # of two layers of MERT-v1-95M
DIRECTIONS = 6
NOISE = 0.5  # of valence and arousal: the deviation that raters leave
MODE = 0.7  # what a minor key takes from valence, and a major key adds
_TRACKS_AT_ONCE = 1000


@dataclass(frozen=True)
class Size:
    """Tracks of train, validation and test; windows and chords of a track on average; whether it has moods or V/A."""

    tracks: tuple[int, int, int]
    windows: int
    chords: int
    moods: bool


SIZES = {
    "mtg-jamendo": Size((9949, 3802, 4231), 8, 115, True),
    "deam": Size((1261, 271, 270), 2, 22, False),
    "emomusic": Size((495, 124, 125), 2, 22, False),
    "pmemo": Size((536, 116, 115), 2, 20, False),
}


@dataclass(frozen=True)
class Planted:
    """A data set by split, and the scores of a model that knows the signal but not the noise of the labels."""

    sources: dict[str, LabelledTracks]
    best: dict[str, float]


def plant(name: str, size: Size, width: int = WIDTH, moods: int = len(JAMENDO_MOODS), seed: int = 0) -> Planted:
    """PackedFeatures and labels of one data set; the signal is the same in all."""
    signal = np.random.default_rng(seed)
    towards = signal.normal(size=(DIRECTIONS, width)).astype(np.float32)
    of_moods = signal.normal(size=(DIRECTIONS, moods)) / np.sqrt(DIRECTIONS)
    rng = np.random.default_rng([seed, *name.encode()])
    n = sum(size.tracks)
    hidden = rng.normal(size=(n, DIRECTIONS))
    minor = rng.random(n) < 0.5
    features = _features(hidden, minor, towards, size, rng)

    true_va = 5 + np.column_stack([hidden[:, 0] - MODE * (2 * minor - 1), hidden[:, 1]])
    va = np.clip(true_va + rng.normal(0, NOISE, (n, 2)), 1, 9)
    frequencies = np.array(JAMENDO_MOOD_FREQUENCIES[:moods])
    logits = np.log(frequencies / (1 - frequencies)) + 1.5 * hidden @ of_moods
    tags = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(float)

    labels = Emotions(
        tags if size.moods else np.full_like(tags, np.nan),
        np.full_like(va, np.nan) if size.moods else va,
        np.full(n, NO_QUADRANT),
    )
    parts = np.split(np.arange(n), np.cumsum(size.tracks)[:2])
    splits = dict(zip(("train", "validation", "test"), parts, strict=True))
    test = splits["test"]
    if size.moods:
        curves = tag_scores(tags[test], logits[test], MIN_POSITIVES)
        best = {"mood_roc_auc": curves.roc_auc_macro, "mood_pr_auc": curves.pr_auc_macro}
    else:
        best = {
            f"r2_{dimension}": dimension_scores(va[test, column], true_va[test, column])["r2"]
            for column, dimension in enumerate(("valence", "arousal"))
        }
    return Planted({split: LabelledTracks(name, features, labels, rows) for split, rows in splits.items()}, best)


def _features(hidden: np.ndarray, minor: np.ndarray, towards: np.ndarray, size: Size, rng) -> PackedFeatures:
    n, width = len(hidden), towards.shape[1]
    windows = rng.integers(1 + size.windows // 2, size.windows + size.windows // 2 + 1, n)
    chords = rng.integers(1 + size.chords // 2, size.chords + size.chords // 2 + 1, n)
    window_offsets, chord_offsets = np.cumsum([0, *windows]), np.cumsum([0, *chords])
    embeddings = np.empty((window_offsets[-1], width), np.float16)
    for start in range(0, n, _TRACKS_AT_ONCE):
        rows = np.arange(start, min(start + _TRACKS_AT_ONCE, n))
        mean = hidden[rows].astype(np.float32) @ towards / np.sqrt(width) * 4
        around = np.repeat(mean, windows[rows], axis=0)
        around += rng.standard_normal(around.shape, np.float32)
        embeddings[window_offsets[rows[0]] : window_offsets[rows[-1] + 1]] = around
    return PackedFeatures(
        embeddings=torch.from_numpy(embeddings),
        weights=torch.ones(len(embeddings)),
        window_offsets=window_offsets,
        roots=torch.from_numpy(rng.integers(1, 13, chord_offsets[-1]).astype(np.uint8)),
        qualities=torch.from_numpy(rng.integers(1, 14, chord_offsets[-1]).astype(np.uint8)),
        durations=torch.from_numpy(rng.exponential(2.08, chord_offsets[-1]).astype(np.float32)),
        chord_offsets=chord_offsets,
        modes=torch.from_numpy(minor.astype(np.float32)),
    )


def train(recipe: Recipe, planted: dict[str, Planted], teachers: dict, moods: list[str]) -> tuple:
    """(model, measured): one recipe on these data sets. teachers: what makes one for a configuration, by data set."""
    accelerator = make_accelerator(recipe.training.mixed_precision)
    sources = [each.sources["train"] for each in planted.values()]
    held_out = [each.sources["validation"] for each in planted.values()]
    with_moods = any("mood" in source.tasks for source in sources)
    frequencies = mood_frequencies(sources) if recipe.objective.class_balanced and with_moods else None
    set_seed(recipe.seeds[0])
    model = new_network(recipe.model, moods if with_moods else [], frequencies, sources)
    if teachers:
        sources = [replace(source, teacher=teachers[source.name](model.config)) for source in sources]
    began, used = time.perf_counter(), time.process_time()
    fitted = fit(model, sources, recipe.training, recipe.objective, recipe.seeds[0], accelerator, held_out)
    whole, used = time.perf_counter() - began, time.process_time() - used
    scores = {name: evaluate(fitted.model, each.sources["test"]).scores for name, each in planted.items()}
    epochs = [row["seconds"] for row in fitted.log]
    measured = {
        "tracks": sum(len(source) for source in sources),
        "epoch_s": round(sum(epochs) / len(epochs), 1),
        "tracks_per_second": round(sum(row["tracks_per_second"] for row in fitted.log) / len(epochs)),
        "with_validation_s": round(whole, 1),
        "cpu_s": round(used, 1),  # of all threads; what counts on a machine that does other things too
        "found": {name: {key: round(scores[name][key], 3) for key in planted[name].best} for name in planted},
    }
    return fitted.model, measured


def table(content: dict) -> str:
    """The measurements as the docs show them."""
    lines = [
        "Simulated features of the size of MTG-Jamendo, DEAM, EmoMusic and PMEmo with MERT-v1-95M, "
        f"{content['threads']} CPU cores with a load of {content['load']} by other programs, one epoch "
        "(`python benchmarks/training.py`):",
        "",
        "| recipe | model | tracks | epoch | with validation | CPU time | score / best possible score |",
        "|---|---|---|---|---|---|---|",
    ]
    for recipe, models in content["runs"].items():
        for name, run in models.items():
            found = "; ".join(
                f"{dataset}: "
                + ", ".join(f"{key} {value:.2f} / {content['best'][dataset][key]:.2f}" for key, value in scores.items())
                for dataset, scores in run["found"].items()
            )
            times = f"{run['epoch_s']} s | {run['with_validation_s']} s | {run['cpu_s']} s"
            lines.append(f"| {recipe} | {name} | {run['tracks']:,} | {times} | {found} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--recipes", nargs="+", default=["mert-95m", "mert-95m-paper"])
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of the numbers of tracks; nothing is written but at 1"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    load = round(os.getloadavg()[0], 1)
    began = time.perf_counter()
    sizes = {
        name: replace(size, tracks=tuple(round(args.scale * count) for count in size.tracks))
        for name, size in SIZES.items()
    }
    planted = {name: plant(name, size) for name, size in sizes.items()}
    print(f"simulated {sum(sum(s.tracks) for s in sizes.values())} tracks in {time.perf_counter() - began:.0f} s")
    best = {name: {key: round(value, 3) for key, value in each.best.items()} for name, each in planted.items()}
    print(f"{'to be found':24}", json.dumps(best), flush=True)
    runs, moods = {}, list(JAMENDO_MOODS)
    for name in args.recipes:
        recipe = read_recipe(ROOT / "configuration" / f"{name}.yaml", settings={"training.epochs": 1})
        runs[name], teachers = {}, {}
        for dataset in planted:
            model, runs[name][dataset] = train(recipe.alone(dataset), {dataset: planted[dataset]}, {}, moods)
            model.config.trained_tasks = list(planted[dataset].sources["train"].tasks)
            teachers[dataset] = lambda config, model=model: ModelTeacher(model, config)
            print(f"{name} teacher of {dataset:12}", json.dumps(runs[name][dataset]), flush=True)
        _, runs[name]["student"] = train(recipe, planted, teachers, moods)
        print(f"{name} student {'':16}", json.dumps(runs[name]["student"]), flush=True)
    if args.scale != 1:
        return
    content = {
        "threads": args.threads,
        "load": load,
        "width": WIDTH,
        "tracks": {name: list(size.tracks) for name, size in sizes.items()},
        "windows": {name: size.windows for name, size in sizes.items()},
        "best": best,
        "runs": runs,
    }
    write_text(RESULTS, json.dumps(content, indent=1) + "\n")
    from documents import put  # in this folder, which is on the path of the script only

    put(DOCS, {"numbers: training": table(content)})


if __name__ == "__main__":
    main()
