"""What smaller weights of ONNX graphs cost: size, and the difference from PyTorch on the example clips.

    python benchmarks/eight_bits.py MODEL

MODEL: a folder with graphs (`m2e export MODEL MODEL`). Three forms of them: as exported, weights in half precision, and
weights of 8 bits in all products of matrices (dynamic quantisation of ONNX Runtime). Needs pip install "m2e[onnx]".
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

from m2e import load
from m2e.export.runtime import Graphs
from m2e.export.seam import with_graphs
from modeling_m2e import MusicEmotion

NAMES = ("encoder", "chords", "model")
FORMS = ("32 bits", "16 bits", "8 bits")
CLIPS = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.ogg"))


def write(form: str, source: Path, target: Path) -> None:
    """Writes the graphs in that form."""
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        raise SystemExit('eight_bits: this needs ONNX Runtime: pip install "m2e[onnx]".') from None
    shutil.copytree(source / "onnx", target / "onnx")
    for name in NAMES:
        graph = target / "onnx" / f"{name}.onnx"
        if form == "16 bits":
            shutil.copyfile(source / "onnx" / f"{name}_fp16.onnx", graph)
        elif form == "8 bits":
            products = {"weight_type": QuantType.QInt8, "op_types_to_quantize": ["MatMul", "Gemm"]}
            quantize_dynamic(source / "onnx" / f"{name}.onnx", graph, **products)


def same_chords(a: MusicEmotion, b: MusicEmotion) -> float:
    """The share of time in which both have the same chord."""
    times = np.arange(0, a.duration or 0.0, 0.01)

    def labels(record: MusicEmotion) -> list[str]:
        chords = record.chords or []
        places = np.searchsorted([chord.start for chord in chords], times, side="right") - 1
        return [chords[place].label for place in places]

    return float(np.mean([one == other for one, other in zip(labels(a), labels(b), strict=True)]))


def differences(expected: MusicEmotion, found: MusicEmotion) -> list[float]:
    """Of valence, arousal and moods, and the share of time with other chords."""
    moods = {mood.label: mood.score for mood in expected.moods}
    return [
        abs(found.valence - expected.valence),
        abs(found.arousal - expected.arousal),
        max(abs(mood.score - moods[mood.label]) for mood in found.moods),
        1 - same_chords(expected, found),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder with onnx/")
    model = parser.parse_args().model
    expected = [load(str(model), device="cpu")(str(clip)) for clip in CLIPS]
    print("| weights | MB | valence | arousal | moods | other chords, of the time |\n|---|---|---|---|---|---|")
    for form in FORMS:
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch, "model")
            write(form, model, target)
            size = sum((target / "onnx" / f"{name}.onnx").stat().st_size for name in NAMES) / 1e6
            pipe = with_graphs(load(str(model), device="cpu"), Graphs(target))
            found = [pipe(str(clip)) for clip in CLIPS]
        worst = np.max([differences(*pair) for pair in zip(expected, found, strict=True)], axis=0)
        print(f"| {form} | {size:.1f} | " + " | ".join(f"{value:.4f}" for value in worst) + " |")


if __name__ == "__main__":
    main()
