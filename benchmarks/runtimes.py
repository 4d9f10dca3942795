"""PyTorch against ONNX Runtime, side by side in one run: speed, start-up, and size of what is installed.

    python benchmarks/runtimes.py [--model DIR] [--seconds 30 180] [--repeats 5] [--threads 1] [-o FILE]

The model's encoder is of type m2e-encoder; graphs that lie in its folder are used. Both runtimes compute the same:
embeddings of windows, logits of chords with levels and onsets, and the outputs of the heads. Cutting windows, decoding
chords and finding the key are the same code for both and not measured. The runtimes take turns, and every time is a
median. Start-up is the time of a new process from its start to the embeddings and logits of 3 s. Times are comparable
only where nothing else runs.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RATE = 22050
INSTALLED = {"torch": ("torch", "transformers"), "onnxruntime": ("onnxruntime", "numpy")}
START = {
    "torch": """
import sys, numpy as np
from m2e.checkpoints.light_imports import import_lightly
import_lightly("modeling_m2e")
from m2e.checkpoints.load import load
waveform = 0.1 * np.random.default_rng(0).standard_normal(3 * 22050).astype(np.float32)
load(sys.argv[1], device="cpu").processor.analyze((waveform, 22050))
""",
    "onnxruntime": """
import sys, numpy as np
from pathlib import Path
from m2e.export.runtime import Graphs
waveform = 0.1 * np.random.default_rng(0).standard_normal(3 * 22050).astype(np.float32)
graphs = Graphs(Path(sys.argv[1]))
graphs.encoder(waveform[None]), graphs.chords(waveform)
""",
}


def music(seconds: float, seed: int = 0) -> np.ndarray:
    """Changing chords in noise (samples,), at 22,050 Hz."""
    random = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    roots = np.repeat(random.integers(40, 60, 1 + int(seconds)), RATE)[:samples]
    times = np.arange(samples) / RATE
    tones = sum(np.sin(2 * np.pi * 440 * 2 ** ((roots + step - 69) / 12) * times) for step in (0, 4, 7, 12))
    return (0.1 * tones + 0.02 * random.standard_normal(samples)).astype(np.float32)


def calls(pipe: Any, graphs: Any, waveform: np.ndarray) -> dict[str, dict[str, Callable[[], Any]]]:
    """{part: {runtime: what computes it for the track}}."""
    import torch

    from modeling_m2e.chord_decoding_m2e import onset_strength
    from modeling_m2e.chord_logits_m2e import frame_logits
    from modeling_m2e.chords_m2e import cqt_features

    size = round(30.0 * RATE)
    windows = [waveform[None, start : start + size] for start in range(0, len(waveform), size)]
    encoder, recognizer = pipe.processor.encoder, pipe.processor.chord_recognizer
    overlap = recognizer.decoding != "paper"
    inputs = dict(pipe.processor.collate([pipe.processor.analyze((waveform, RATE))]))
    arrays = {name: value[0].numpy() for name, value in inputs.items()}

    def chords() -> tuple[np.ndarray, np.ndarray]:
        return frame_logits(cqt_features(waveform), recognizer.model, overlap), onset_strength(waveform)

    def heads() -> Any:
        with torch.inference_mode():
            return pipe.model(**inputs)

    return {
        "encoder": {
            "torch": lambda: [encoder(torch.from_numpy(window)) for window in windows],
            "onnxruntime": lambda: [graphs.encoder(window) for window in windows],
        },
        "chords": {"torch": chords, "onnxruntime": lambda: graphs.chords(waveform)},
        "heads": {"torch": heads, "onnxruntime": lambda: graphs.model(**arrays)},
    }


def speed(pipe: Any, graphs: Any, seconds: Iterable[float], repeats: int) -> list[dict[str, Any]]:
    """A row per length of track and part: median seconds of each runtime."""
    rows = []
    for length in seconds:
        for part, runtimes in calls(pipe, graphs, music(length)).items():
            times: dict[str, list[float]] = {name: [] for name in runtimes}
            for turn in range(repeats + 1):  # the first one warms up
                for name, call in runtimes.items():
                    begin = time.perf_counter()
                    call()
                    if turn:
                        times[name].append(time.perf_counter() - begin)
            rows.append({"part": f"{part}, {length:g} s", **{n: statistics.median(t) for n, t in times.items()}})
    return rows


def start_up(model: Path, repeats: int) -> dict[str, float]:
    """Median seconds from the start of a process to its first result, in turns."""
    times: dict[str, list[float]] = {name: [] for name in START}
    for _ in range(repeats):
        for name, script in START.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", script, str(model)], check=True, cwd=ROOT)
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(each) for name, each in times.items()}


def installed_size(names: Iterable[str]) -> int:
    """Bytes of the installed files of these packages and of all that they need."""
    todo, found, total = list(names), set(), 0
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # for another system or version
            continue
        paths = [Path(str(file.locate())) for file in package.files or ()]
        total += sum(path.stat().st_size for path in paths if path.is_file())
        needed = [text for text in package.requires or () if "extra ==" not in text]
        todo += [match[0] for text in needed if (match := re.match(r"[\w.-]+", text))]
    return total


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: torch, ONNX Runtime, and how many times less the second is."""
    lines = ["| | torch | onnxruntime | ratio |", "|---|---|---|---|"]
    for row in rows:
        torch, other = row["torch"], row["onnxruntime"]
        lines.append(f"| {row['part']} | {torch:.3g} | {other:.3g} | {torch / other:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", default="m2e-small", help="folder or hub id (m2e-small)")
    parser.add_argument("--seconds", type=float, nargs="+", default=[30.0, 180.0], help="lengths of tracks (30 180)")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each (5)")
    parser.add_argument("--threads", type=int, default=1, help="of both runtimes (1)")
    parser.add_argument("-o", "--output", type=Path, help="also write JSON")
    arguments = parser.parse_args()
    sys.path.append(str(ROOT))

    import torch

    from m2e.checkpoints.load import load
    from m2e.errors import M2EError
    from m2e.export import DESCRIPTION, FOLDER
    from m2e.export.runtime import Graphs
    from m2e.export.write import export

    torch.set_num_threads(arguments.threads)
    try:
        pipe = load(arguments.model, device="cpu")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(arguments.model)
            if not (folder / FOLDER / DESCRIPTION).is_file():
                folder = Path(temporary)
                pipe.save_pretrained(folder)
                export(pipe, folder)
            rows = speed(pipe, Graphs(folder, threads=arguments.threads), arguments.seconds, arguments.repeats)
            rows.append({"part": "start-up, s", **start_up(folder, arguments.repeats)})
    except M2EError as error:
        sys.exit(f"runtimes: {error}")
    sizes = {name: installed_size(packages) / 1e6 for name, packages in INSTALLED.items()}
    rows.append({"part": "installed, MB", **sizes})
    print(table(rows))
    if arguments.output:
        versions = {name: metadata.version(name) for name in INSTALLED}
        arguments.output.write_text(json.dumps({"versions": versions, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
