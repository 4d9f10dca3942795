"""The paper's questions, answered on Panda 4Q: what harmony, both tasks, teachers and rendered piano add.

    python benchmarks/ablations.py 4Q --emopia EMOPIA [--features runs/features]

Every variant is one network by m2e-small's recipe (`configuration/m2e-small.yaml`), without EMOPIA and with the
settings `PLAIN`, changed as its row says; five seeds each, scored out of fold. The test split is not used. Rows are
written as they are measured, and the same command resumes an interrupted run; the table goes into docs/results.md.
EMOPIA is music of another kind: the networks of the 4Q folds are scored on the quadrants of its test split, which none
of them learns.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from datasets import Dataset
from documents import put

from m2e.checkpoints.load import load
from m2e.datasets import read_dataset
from m2e.evaluation.metrics import summary
from m2e.evaluation.score import score
from m2e.storage import write_text
from m2e.training.data import Material, moods_of, read_datasets, with_features
from m2e.training.model import Run, Trainer
from m2e.training.recipe import Recipe, read_recipe
from m2e.training.validation import emotions, evaluate
from modeling_m2e import M2EForMusicEmotion

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "configuration" / "m2e-small.yaml"
RESULTS = ROOT / "benchmarks" / "results" / "ablations.json"
TEST_CLIPS = 20  # of each quadrant of EMOPIA
SCORES = {
    "quadrant_f1": "quadrant F1",
    "r2_valence": "R2 valence",
    "r2_arousal": "R2 arousal",
    "mood_roc_auc": "moods ROC-AUC",
    "mood_pr_auc": "moods PR-AUC",
    "emopia_f1": "EMOPIA F1",
}


@dataclass(frozen=True)
class Variant:
    """A row. settings: of the recipe.  piano: EMOPIA's training split is learnt, too.
    scores: those that mean something; None: all.  plain: with the settings PLAIN."""

    question: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    piano: bool = False
    scores: tuple[str, ...] | None = None
    plain: bool = True


PLAIN = {"training.part_dropout": [], "training.weight_decay": 0.05}
NO_QUADRANTS = {"model.num_quadrants": 0}
DIMENSIONS, MOODS = ("r2_valence", "r2_arousal"), ("mood_roc_auc", "mood_pr_auc")
VARIANTS = (
    Variant("", "one network, 4Q alone"),
    Variant("features", "encoder only", {"model.use_harmony": False}),
    Variant("features", "without statistics of harmony", {"model.num_harmony_statistics": 0}),
    Variant("features", "harmony only", {"model.use_encoder": False}),
    Variant("features", "chords and key only", {"model.use_encoder": False, "model.num_harmony_statistics": 0}),
    Variant("tasks", "moods only", NO_QUADRANTS | {"model.va_loss_weight": 0.0}, scores=MOODS),
    Variant("tasks", "valence, arousal only", NO_QUADRANTS | {"model.mood_loss_weight": 0.0}, scores=DIMENSIONS),
    Variant("tasks", "both, no quadrant branch", NO_QUADRANTS),
    Variant("teachers", "labels alone", {"objective.distillation": None}),
    Variant("teachers", "`paper`, w = 0.8", {"objective.distillation": "paper", "objective.teacher_weight": 0.8}),
    Variant("teachers", "`paper`, w = 0.2", {"objective.distillation": "paper", "objective.teacher_weight": 0.2}),
    Variant("teachers", "`ours`, w = 0.5", {"objective.distillation": "ours", "objective.teacher_weight": 0.5}),
    Variant("teachers", "`ours`, w = 0.2", {"objective.distillation": "ours", "objective.teacher_weight": 0.2}),
    Variant("piano", "EMOPIA learnt, too", piano=True),
    Variant("training", "parts of the features left out", plain=False),
)


def recipe_of(variant: Variant) -> Recipe:
    """The recipe with the variant's settings."""
    chosen = {"datasets": ["4q", "emopia"] if variant.piano else ["4q"]}
    return read_recipe(RECIPE, settings=chosen | (PLAIN if variant.plain else {}) | dict(variant.settings))


def run(variant: Variant, data: Mapping[str, Material], piano: Material | None, seed: int, shared: Run) -> dict:
    """The scores of one seed. data: of the recipe.  piano: EMOPIA with its test split."""
    recipe, transferred, configs = recipe_of(variant), [], []
    moods = moods_of(recipe, [], None)

    def inspect(model: M2EForMusicEmotion) -> None:
        configs.append(model.config)
        if piano is not None and model.config.num_quadrants:
            transferred.append(evaluate(model, piano.tracks(piano.rows("test"), moods)).scores["quadrant_f1"])

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe, {name: data[name] for name in recipe.datasets}, moods, Path(folder), shared)
        outputs = trainer.cross_validate(seed, Path(folder), inspect)["4q"]
    tracks = data["4q"].tracks(trainer.held_rows["4q"], moods)
    scores = score(tracks.labels[tracks.rows], emotions(outputs, configs[0]), moods, resamples=0).scores
    if transferred:
        scores["emopia_f1"] = float(np.mean(transferred))
    kept = tuple(SCORES) if variant.scores is None else variant.scores
    return {name: scores[name] for name in kept if name in scores}


def read_data(folders: Mapping[str, str], features: Path, shared: Run) -> tuple[dict[str, Material], Material | None]:
    """The data of the recipe, and EMOPIA with the first clips of each quadrant of its test split."""
    recipe = read_recipe(RECIPE, settings={"datasets": list(folders)})
    tables, ids = read_datasets(recipe, folders)
    arguments = shared.processor, shared.accelerator

    def material(name: str, table: Dataset) -> Material:
        processor, accelerator = arguments
        read_ids = ids[name]
        return with_features(name, table, processor, features / name, accelerator, print, folders[name], read_ids)

    data = {name: material(name, table) for name, table in tables.items()}
    if "emopia" not in folders:
        return data, None
    test = read_dataset("emopia", folders["emopia"], per_quadrant=TEST_CLIPS).filter(lambda row: row["split"] == "test")
    return data, material("emopia", test)


def key(variant: Variant) -> dict[str, Any]:
    """What identifies its row."""
    return {"question": variant.question, "name": variant.name, "settings": dict(variant.settings)}


def found(rows: Sequence[dict[str, Any]], variant: Variant) -> dict[str, Any] | None:
    """Its row."""
    return next((row for row in rows if key(variant).items() <= row.items()), None)


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table, mean ± deviation over seeds; without scores that no row has."""
    scored = [summary(list(row["seeds"].values())) for row in rows]
    shown = {name: title for name, title in SCORES.items() if any(name in each for each in scored)}
    lines = ["| | | " + " | ".join(shown.values()) + " |", "|---" * (2 + len(shown)) + "|"]
    for row, scores in zip(rows, scored, strict=True):
        cells = [f"{scores[s]['mean']:.3f} ± {scores[s]['std']:.3f}" if s in scores else "" for s in shown]
        lines.append(f"| {row['question']} | {row['name']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panda4q", type=Path, help="4Q folder with a table and soft labels")
    parser.add_argument("--emopia", type=Path, help="EMOPIA folder; clips are rendered first if needed")
    parser.add_argument("--features", type=Path, default=Path("runs/features"), help="cache")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()

    folders = {"4q": str(args.panda4q)} | ({"emopia": str(args.emopia)} if args.emopia else {})
    shared = Run(Accelerator(cpu=True), load().processor, None, None, folders, RECIPE)
    data, piano = read_data(folders, args.features, shared)
    rows = json.loads(args.out.read_text()) if args.out.exists() else []
    for variant in VARIANTS:
        if variant.piano and piano is None:
            continue
        row = found(rows, variant)
        if row is None:
            rows.append(row := key(variant) | {"seeds": {}})
        for seed in args.seeds:
            if str(seed) not in row["seeds"]:
                row["seeds"][str(seed)] = run(variant, data, piano, seed, shared)
                write_text(args.out, json.dumps(rows, indent=1) + "\n")
        print(markdown([row]).splitlines()[-1], flush=True)
    rows = [row for variant in VARIANTS if (row := found(rows, variant))]
    write_text(args.out, json.dumps(rows, indent=1) + "\n")
    if args.out == RESULTS:
        put(ROOT / "docs" / "results.md", {"numbers: ablations": markdown(rows)})


if __name__ == "__main__":
    main()
