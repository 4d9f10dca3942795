"""The time of encoders for one window of 30 s, side by side: the sizes of MERT-v1-95M and CLAP, and m2e-encoder.

    python benchmarks/encoders.py [--rounds 5] [--threads 2]

MERT and CLAP have random weights, in float32, and compute the layers that the recipes `mert-95m.yaml` and `clap.yaml`
read, nothing above them. Feature extraction is part of the time. The encoders take turns; times are medians, and
comparable only where nothing else runs. The table in docs/results.md is written.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from documents import put
from speed_jobs import mert_encoder

from m2e.checkpoints.load import embedded_model
from m2e.storage import write_text
from m2e.training.settings import read_settings
from modeling_m2e.encoder_carried_m2e import DistilledEncoder
from modeling_m2e.encoder_transformers_m2e import TransformersEncoder

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "encoders.json"
WINDOW = 30.0  # seconds


def clap_encoder() -> TransformersEncoder:
    """An encoder like the audio tower of laion/larger_clap_music, random."""
    config = transformers.ClapAudioConfig(
        depths=[2, 2, 12, 2],
        num_attention_heads=[4, 8, 16, 32],
        patch_embeds_hidden_size=128,
        hidden_size=1024,
    )
    extractor = transformers.ClapFeatureExtractor(truncation="rand_trunc")
    layers = read_settings(ROOT / "configuration" / "clap.yaml")["encoder"]["layers"]
    return TransformersEncoder(transformers.ClapAudioModelWithProjection(config), extractor, layers, "random")


def measured(encoders: dict[str, Any], rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds for one window by encoder, times real time, parameters and width of the embedding."""
    windows = {name: 0.1 * torch.randn(1, round(WINDOW * encoder.sampling_rate)) for name, encoder in encoders.items()}
    times: dict[str, list[float]] = {name: [] for name in encoders}
    for number in range(rounds + 1):
        for name, encoder in encoders.items():
            began = time.perf_counter()
            encoder(windows[name])
            if number:  # the first call of each is not counted
                times[name].append(time.perf_counter() - began)
    return {
        name: {
            "seconds": statistics.median(times[name]),
            "times_real_time": WINDOW / statistics.median(times[name]),
            "parameters": sum(each.numel() for each in encoder.model.parameters()),
            "width": encoder.hidden_size,
        }
        for name, encoder in encoders.items()
    }


def table(found: dict[str, dict[str, float]], threads: int) -> str:
    """The measurements as the docs show them."""
    lines = [
        f"One window of 30 s on {threads} CPU cores, MERT and CLAP with random weights "
        "(`python benchmarks/encoders.py`):",
        "",
        "| encoder | parameters that are computed | width | seconds | times real time |",
        "|---|---|---|---|---|",
    ]
    for name, each in found.items():
        size = f"{each['parameters'] / 1e6:.1f} M"
        lines.append(f"| {name} | {size} | {each['width']} | {each['seconds']:.2f} | {each['times_real_time']:.0f} |")
    return "\n".join(lines)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    encoders = {
        "like MERT-v1-95M, layers 6 and 7": mert_encoder(),
        "like CLAP (larger_clap_music)": clap_encoder(),
        "m2e-encoder": DistilledEncoder.from_network(embedded_model().parent / DistilledEncoder.kind),
    }
    found = measured(encoders, args.rounds)
    write_text(RESULTS, json.dumps({"threads": args.threads, "encoders": found}, indent=1) + "\n")
    put(ROOT / "docs" / "results.md", {"numbers: encoders": table(found, args.threads)})
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
