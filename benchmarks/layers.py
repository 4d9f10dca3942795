"""Which layers of an encoder hold the emotion? A linear probe on every hidden state, and a learned mix of all.

    python benchmarks/layers.py configuration/mert-95m.yaml --data deam=D emomusic=E --layers 0-12 --out runs/layers

The states of all layers are computed and cached once, averaged over time and over the windows of a track. A probe is a
ridge regression (valence, arousal) or a linear layer with cross-entropy (moods, quadrants); its strength is chosen on
the validation split, scores are of validation and test. The mix is one softmax weight per layer, learned with the
linear layer (scalar mix, as in SUPERB; layers are standardised first). Choose layers by the validation scores. OUT gets
layers.json, layers.md and layers.png.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.utils.logging import disable_progress_bar

from m2e.errors import M2EError, TrainingError
from m2e.evaluation.metrics import dimension_scores, quadrant_scores, tag_scores
from m2e.evaluation.paper_tables import grid, number
from m2e.features.cache import ROOT as FEATURES
from m2e.features.cache import default_folder
from m2e.storage import write_text
from m2e.training.data import Material, load_parts, moods_of, read_datasets, with_features
from m2e.training.loop import make_accelerator
from m2e.training.recipe import read_recipe
from m2e.training.settings import parse_setting

ROOT = Path(__file__).resolve().parent.parent
STRENGTHS = (0.001, 0.01, 0.1, 1.0)  # of the penalty, times the mean square of a feature
STEPS = 200  # of Adam, on all tracks at once
TASKS = ("va", "moods", "quadrants")


def standardised(states: Tensor, learnt: np.ndarray) -> Tensor:
    """(n, layers, width) with zero mean and unit deviation on the learnt rows."""
    mean, deviation = states[learnt].mean(0), states[learnt].std(0, correction=0)
    return (states - mean) / deviation.clamp(min=1e-6)


# --- probes: predictions of all rows, learnt on some ---


def ridge(x: Tensor, y: Tensor, learnt: np.ndarray, strength: float) -> Tensor:
    """(n, 2) by ridge regression on standardised x (n, width)."""
    known, target = x[learnt].double(), y[learnt].double()
    mean = target.mean(0)
    penalty = strength * len(learnt) * torch.eye(x.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(known.T @ known + penalty, known.T @ (target - mean))
    return (x.double() @ weight + mean).float()


def mixed(x: Tensor, y: Tensor, learnt: np.ndarray, strength: float, task: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(outputs (n, k), weights (layers,)) of a linear layer on a softmax mix of standardised states (n, layers, width).

    One layer has the weight 1: a plain linear probe.
    """
    torch.manual_seed(seed)
    shares = torch.zeros(x.shape[1], requires_grad=True)
    outputs = int(y.max()) + 1 if task == "quadrants" else y.shape[1]
    head = torch.nn.Linear(x.shape[2], outputs)
    if task == "va":
        torch.nn.init.zeros_(head.weight)
        head.bias.data = y[learnt].mean(0)
    optimizer = torch.optim.Adam([{"params": head.parameters(), "lr": 0.01}, {"params": [shares], "lr": 0.05}])
    known, target = x[learnt], y[learnt]
    for _ in range(STEPS):
        found = head(torch.einsum("nlw,l->nw", known, shares.softmax(0)))
        if task == "va":
            loss = (found - target).square().mean()
        elif task == "moods":
            loss = torch.nn.functional.binary_cross_entropy_with_logits(found, target)
        else:
            loss = torch.nn.functional.cross_entropy(found, target)
        loss = loss + strength * head.weight.square().sum() / len(target) ** 0.5
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return head(torch.einsum("nlw,l->nw", x, shares.softmax(0))), shares.softmax(0)


def scored(outputs: Tensor, labels: np.ndarray, task: str) -> dict[str, float]:
    """Scores of (n, k) outputs."""
    values = outputs.numpy().astype(np.float64)
    if task == "va":
        names = ("r2_valence", "r2_arousal")
        return {name: dimension_scores(labels[:, i], values[:, i])["r2"] for i, name in enumerate(names)}
    if task == "moods":
        found = tag_scores(labels, values).to_dict()
        return {name: found[name] for name in ("mood_roc_auc", "mood_pr_auc")}
    return {"quadrant_f1": quadrant_scores(labels, values.argmax(1))["f1"]}


def probe(states: Tensor, labels: np.ndarray, splits: dict[str, np.ndarray], task: str) -> dict[str, Any]:
    """{"validation", "test", "weights"}: of the strength that is best on validation; states (n, layers, width)."""
    x, y = standardised(states, splits["train"]), torch.tensor(labels, dtype=torch.long if labels.ndim == 1 else None)
    y = y if labels.ndim == 1 else y.float()
    best: dict[str, Any] = {}
    for strength in STRENGTHS:
        if task == "va" and x.shape[1] == 1:
            outputs, weights = ridge(x[:, 0], y, splits["train"], strength), torch.ones(1)
        else:
            outputs, weights = mixed(x, y, splits["train"], strength, task)
        by_split = {name: scored(outputs[splits[name]], labels[splits[name]], task) for name in ("validation", "test")}
        mean = float(np.mean(list(by_split["validation"].values())))
        if not best or mean > best["mean"]:
            best = {"mean": mean, "strength": strength, **by_split, "weights": weights.tolist()}
    return best


# --- data ---


def task_of(data: Material, moods: Sequence[str]) -> tuple[str, np.ndarray]:
    """What a data set is probed for, and its labels. Raises TrainingError."""
    labels = data.labels(moods)
    if not np.isnan(labels.va).all():
        return "va", labels.va
    if moods and not np.isnan(labels.moods).all():
        return "moods", labels.moods
    if (labels.quadrants >= 0).all():
        return "quadrants", labels.quadrants
    raise TrainingError(f"{data.name} has tracks without labels: probes need labels of all.")


def states_of(data: Material, widths: Sequence[int]) -> list[Tensor]:
    """(n, width) of every layer, averaged over windows."""
    every = data.features.batch(np.arange(len(data.dataset)))["embeddings"]
    return list(every.split(list(widths), dim=1))


def measure(data: Material, layers: Sequence[int], widths: Sequence[int], moods: Sequence[str]) -> dict[str, Any]:
    """The probes of one data set, by layer, and the mix of layers where all have one width."""
    task, labels = task_of(data, moods)
    splits = {name: data.rows(name) for name in ("train", "validation", "test")}
    states = states_of(data, widths)
    rows = {str(layer): probe(each[:, None], labels, splits, task) for layer, each in zip(layers, states, strict=True)}
    if len(set(widths)) == 1 and len(widths) > 1:
        rows["mix"] = probe(torch.stack(states, dim=1), labels, splits, task)
    return rows


# --- output ---


def markdown(results: dict[str, dict[str, Any]]) -> str:
    """A table for each data set."""
    parts = []
    for name, rows in results.items():
        scores = list(next(iter(rows.values()))["validation"])
        header = [
            "layer",
            *[f"{split} {score}" for split in ("validation", "test") for score in scores],
            "share in the mix",
        ]
        mix = rows.get("mix", {}).get("weights", [])
        lines = []
        for place, (layer, row) in enumerate(rows.items()):
            cells = [number(row[split][score]) for split in ("validation", "test") for score in scores]
            lines.append([layer, *cells, f"{mix[place]:.3f}" if place < len(mix) else ""])
        parts.append(f"## {name}\n\n{grid(header, lines)}")
    return "\n\n".join(parts) + "\n"


def plot(results: dict[str, dict[str, Any]], file: Path) -> None:
    """Validation scores by layer; the mix as a dashed line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(results), 3.5), layout="constrained")
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (name, rows) in zip(axes, results.items(), strict=True):
        layers = [layer for layer in rows if layer != "mix"]
        for score in rows[layers[0]]["validation"]:
            (line,) = axis.plot(layers, [rows[layer]["validation"][score] for layer in layers], "o-", label=score)
            if "mix" in rows:
                axis.axhline(rows["mix"]["validation"][score], color=line.get_color(), linestyle="--", linewidth=1)
        axis.set(title=name, xlabel="hidden state", ylabel="validation score")
        axis.legend(fontsize="small")
    figure.savefig(file, dpi=150)


def numbers(text: str) -> list[int]:
    """[0, 1, 2, 5] of "0-2,5". Raises TrainingError."""
    try:
        ends = [list(map(int, part.split("-"))) for part in text.split(",")]
    except ValueError:
        raise TrainingError(f"--layers {text} names no layers: give 0-12, or 3,6,9.") from None
    return [layer for each in ends for layer in range(each[0], each[-1] + 1)]


def run(args: argparse.Namespace) -> None:
    """All steps."""
    from train import data_folders

    layers = numbers(args.layers)
    given = [each.partition("=")[0] for each in args.data]
    settings = dict(map(parse_setting, args.set)) | {"encoder.layers": layers, "datasets": given}
    recipe = read_recipe(args.recipe, settings=settings)
    folders = data_folders(recipe, args.data)
    splits, ids = read_datasets(recipe, folders)
    processor, _ = load_parts(recipe, None, None)
    processor._chord_recognizer = None  # probes are of the encoder alone
    widths = getattr(processor.encoder, "widths", [processor.encoder.hidden_size // len(layers)] * len(layers))
    accelerator, results = make_accelerator(), {}
    for name, table in splits.items():
        cache = default_folder(recipe.datasets[name].reader, folders[name], args.features)
        data = with_features(name, table, processor, cache, accelerator, print, folders[name], ids[name])
        results[name] = measure(data, layers, widths, moods_of(recipe, [data.dataset], None))
        print(markdown({name: results[name]}), flush=True)
    write_text(args.out / "layers.json", json.dumps(results, indent=1) + "\n")
    write_text(args.out / "layers.md", markdown(results))
    plot(results, args.out / "layers.png")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="names the encoder and the data sets")
    parser.add_argument(
        "--data", action="extend", nargs="+", required=True, metavar="NAME=FOLDER", help="data sets of the recipe"
    )
    parser.add_argument("--layers", default="0-12", help="hidden states (default: 0-12)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--features", type=Path, default=FEATURES, help=f"feature cache (default: {FEATURES})")
    parser.add_argument(
        "--set", action="extend", nargs="+", default=[], metavar="KEY=VALUE", help="change settings of the recipe"
    )
    args = parser.parse_args(arguments)
    disable_progress_bar()
    try:
        run(args)
    except M2EError as error:
        sys.exit(f"layers: {error}")


if __name__ == "__main__":
    sys.path.append(str(ROOT))  # of train.py
    main()
