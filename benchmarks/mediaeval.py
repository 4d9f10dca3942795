"""The metrics on real predictions: systems of MediaEval on the MTG-Jamendo mood/theme test set, beside the paper.

    python benchmarks/mediaeval.py FOLDER [--resamples 1000]

FOLDER holds groundtruth.npy and SYSTEM_predictions.npy, (tracks, tags) each, as the task published them. Scores are
macro means over 56 tags, intervals are 95 % of a bootstrap over tracks; Table IV is that of arXiv 2502.03979.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from m2e.evaluation.metrics import NO_QUADRANT
from m2e.evaluation.paper_results import PUBLISHED
from m2e.evaluation.score import Emotions, score

RESULTS = Path(__file__).resolve().parent / "results" / "mediaeval.json"
SYSTEMS = {"VGGish baseline": "baseline_vggish", "lileonardo": "lileonardo"}  # in Table IV: file
SCORES = ("mood_roc_auc", "mood_pr_auc")


def emotions(moods: np.ndarray) -> Emotions:
    """Moods alone."""
    nothing = len(moods)
    return Emotions(moods.astype(np.float64), np.full((nothing, 2), np.nan), np.full(nothing, NO_QUADRANT))


def measure(folder: Path, resamples: int = 1000) -> dict[str, dict]:
    """{system: what `Evaluation.to_dict` holds}; popularity gives every track the same scores."""
    truth = emotions(np.load(folder / "groundtruth.npy", allow_pickle=False))
    files = {system: folder / f"{name}_predictions.npy" for system, name in SYSTEMS.items()}
    predictions = {system: emotions(np.load(file, allow_pickle=False)) for system, file in files.items()}
    predictions["popularity"] = emotions(np.broadcast_to(truth.moods.mean(0), truth.moods.shape))
    tags = [str(index) for index in range(truth.moods.shape[1])]
    return {system: score(truth, guess, tags, resamples=resamples).to_dict() for system, guess in predictions.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resamples", type=int, default=1000)
    args = parser.parse_args()
    began = time.perf_counter()
    measured = measure(args.folder, args.resamples)
    seconds = time.perf_counter() - began
    table = {result.system: result.scores for result in PUBLISHED["mtg-jamendo"].results if result.table == "IV"}
    print("| system | ROC-AUC | 95 % | Table IV | PR-AUC | 95 % | Table IV |")
    print("|---|---|---|---|---|---|---|")
    for system, evaluation in measured.items():
        cells = []
        for name in SCORES:
            low, high = evaluation["intervals"][name]
            cells += [f"{evaluation['scores'][name]:.6f}", f"{low:.4f} – {high:.4f}", f"{table[system][name]:.4f}"]
        print(f"| {system} | {' | '.join(cells)} |")
    result = {
        "tracks": measured["lileonardo"]["tracks"],
        "resamples": args.resamples,
        "seconds": round(seconds, 1),
        "systems": {
            system: {
                name: {
                    "score": round(evaluation["scores"][name], 6),
                    "interval": [round(bound, 6) for bound in evaluation["intervals"][name]],
                }
                for name in SCORES
            }
            for system, evaluation in measured.items()
        },
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{len(measured)} systems, {args.resamples} resamples each: {seconds:.1f} s")


if __name__ == "__main__":
    main()
