"""The paper's questions, answered on Panda 4Q: what harmony, both tasks, teachers and rendered piano add.

    python benchmarks/ablations.py 4Q --emopia EMOPIA [--features runs/features]

Every variant is one network by m2e-small's recipe (`configuration/m2e-small.yaml`), without EMOPIA and in its `PLAIN`
form, with what its row says changed; five seeds each, scored out of fold in the artist-grouped folds; the test split is
not looked at. Rows are written as they are measured, a run that is stopped goes on where it was; the table goes into
docs/results.md. EMOPIA stands for music of another kind: models of the 4Q folds are scored on the quadrants of its
test split, which none of them learns.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed
from documents import put
from sklearn.metrics import f1_score

from m2e.checkpoints.load import load
from m2e.datasets import emopia
from m2e.datasets.panda4q import Clips, read_clips
from m2e.evaluation.data import Emotions
from m2e.evaluation.metrics import summary
from m2e.features.cache import cached_features
from m2e.storage import write_text
from m2e.training import folds
from m2e.training.loop import fit
from m2e.training.network import new_network
from m2e.training.packed import LabelledTracks, PackedFeatures, pack
from m2e.training.recipe import Recipe, read_recipe
from m2e.training.teachers import TableTeacher
from m2e.training.validation import predict
from modeling_m2e.configuration_m2e import JAMENDO_MOODS
from modeling_m2e.scale_m2e import QUADRANTS

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "configuration" / "m2e-small.yaml"
RESULTS = ROOT / "benchmarks" / "results" / "ablations.json"
CLIPS_PER_QUADRANT = {"train": 60, "test": 20}  # of EMOPIA
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
    """A row. settings: of the recipe.  teaching: None, targets mixed with teachers as m2e-small's are; else labels
    alone ("labels"), or a loss against the teachers besides ("paper", "ours").  piano: EMOPIA's training split is
    learnt, too.  scores: those that mean anything; all of them where None.  plain: parts of the features are not left
    out, and weights decay less."""

    question: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    teaching: str | None = None
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
    Variant("teachers", "labels alone", teaching="labels"),
    Variant("teachers", "`paper`, w = 0.8", {"objective.teacher_weight": 0.8}, teaching="paper"),
    Variant("teachers", "`paper`, w = 0.2", {"objective.teacher_weight": 0.2}, teaching="paper"),
    Variant("teachers", "`ours`, w = 0.5", {"objective.teacher_weight": 0.5}, teaching="ours"),
    Variant("teachers", "`ours`, w = 0.2", {"objective.teacher_weight": 0.2}, teaching="ours"),
    Variant("piano", "EMOPIA learnt, too", piano=True),
    Variant("training", "parts of the features left out", plain=False),
)


def recipe_of(variant: Variant) -> Recipe:
    """The recipe with the variant's settings."""
    own = {"objective.distillation": variant.teaching} if variant.teaching in ("paper", "ours") else {}
    return read_recipe(RECIPE, settings=(PLAIN if variant.plain else {}) | own | dict(variant.settings))


def clip_source(
    variant: Variant, recipe: Recipe, clips: Clips, features: PackedFeatures, rows: np.ndarray
) -> LabelledTracks:
    """The clips of these rows with the variant's targets."""
    if variant.teaching is None:
        return folds.source(recipe, clips, features, rows)
    return LabelledTracks(folds.NAME, features, Emotions(clips.moods, clips.va, clips.quadrants), rows)


def teacher(recipe: Recipe, clips: Clips, rows: np.ndarray, config) -> TableTeacher:
    """The soft labels of both teachers, on the scales of the labels of these rows."""
    va = folds.va_targets(clips, dict.fromkeys(("valence", "arousal"), 1.0), rows)
    return TableTeacher(folds.mood_targets(clips, 1.0), va, config)


def run(
    variant: Variant, clips: Clips, features: PackedFeatures, piano: Mapping[str, LabelledTracks] | None, seed: int
) -> dict[str, float]:
    """The scores of one seed."""
    recipe, accelerator = recipe_of(variant), Accelerator(cpu=True)
    known = np.flatnonzero(clips.splits != "test")
    transferred = []

    def predicted(_: int, learnt: np.ndarray, held: np.ndarray) -> dict[str, np.ndarray]:
        source = clip_source(variant, recipe, clips, features, learnt)
        set_seed(seed)
        model = new_network(recipe.model, JAMENDO_MOODS, None, [source])
        if variant.teaching in ("paper", "ours"):
            source = replace(source, teacher=teacher(recipe, clips, learnt, model.config))
        sources = [source, piano["train"]] if variant.piano else [source]
        fit(model, sources, recipe.training, recipe.objective, seed, accelerator)
        if piano and recipe.model["num_quadrants"]:
            guessed = predict(model, piano["test"])["quadrant_logits"].argmax(1)
            truth = piano["test"].labels.quadrants[piano["test"].rows]
            transferred.append(f1_score(truth, guessed, average="macro"))
        return predict(model, source.only(held))

    scores = folds.scores(recipe, folds.out_of_fold(recipe, clips, known, predicted), clips, known)
    if transferred:
        scores["emopia_f1"] = float(np.mean(transferred))
    kept = tuple(SCORES) if variant.scores is None else variant.scores
    return {name: scores[name] for name in kept if name in scores}


def piano_sources(folder: Path, processor, cache: Path) -> dict[str, LabelledTracks]:
    """The first clips of each quadrant in EMOPIA's training and test split; only these are rendered."""
    tracks = emopia.read(folder, check="off").to_list()
    chosen = []
    for name in QUADRANTS:
        for split, clips in CLIPS_PER_QUADRANT.items():
            chosen += [track for track in tracks if track["quadrant"] == name and track["split"] == split][:clips]
    paths = [Path(track["audio"]) for track in chosen]
    midis = [folder / "midis" / f"{track['id']}.mid" for track in chosen]
    emopia.render_all(midis, paths[0].parent, emopia.SOUND_FONT, os.cpu_count() or 1)
    tracks = cached_features([track["id"] for track in chosen], paths, processor, cache, print)
    quadrants = np.array([QUADRANTS.index(track["quadrant"]) for track in chosen])
    unknown = np.full((len(chosen), len(JAMENDO_MOODS)), np.nan), np.full((len(chosen), 2), np.nan)
    features, splits = pack(tracks, processor.collate), np.array([track["split"] for track in chosen])
    labels = Emotions(*unknown, quadrants)
    return {
        split: LabelledTracks("emopia", features, labels, np.flatnonzero(splits == split))
        for split in ("train", "test")
    }


def key(variant: Variant) -> dict[str, Any]:
    """What tells its row from others."""
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
    parser.add_argument("--emopia", type=Path, help="EMOPIA folder; rendered where it is not")
    parser.add_argument("--features", type=Path, default=Path("runs/features"), help="cache")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()

    processor = load().processor
    clips = read_clips(args.panda4q)
    features = pack(
        cached_features(clips.ids.tolist(), clips.paths, processor, args.features, print), processor.collate
    )
    piano = piano_sources(args.emopia, processor, args.features) if args.emopia else None
    rows = json.loads(args.out.read_text()) if args.out.exists() else []
    for variant in VARIANTS:
        if variant.piano and piano is None:
            continue
        row = found(rows, variant)
        if row is None:
            rows.append(row := key(variant) | {"seeds": {}})
        for seed in args.seeds:
            if str(seed) not in row["seeds"]:
                row["seeds"][str(seed)] = run(variant, clips, features, piano, seed)
                write_text(args.out, json.dumps(rows, indent=1) + "\n")
        print(markdown([row]).splitlines()[-1], flush=True)
    rows = [row for variant in VARIANTS if (row := found(rows, variant))]
    write_text(args.out, json.dumps(rows, indent=1) + "\n")
    if args.out == RESULTS:
        put(ROOT / "docs" / "results.md", {"numbers: ablations": markdown(rows)})


if __name__ == "__main__":
    main()
