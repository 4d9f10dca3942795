"""Settings of a MERT encoder, compared in one run: precision, length of windows, windows per batch, threads.

    python benchmarks/speed_settings.py [--model REPO] [--seconds 180] [--threads 2] [--batches 1 2 6]

Without --model: a network of the size of MERT-v1-95M with random weights. The first row is what the published code
does: all 12 layers in float32, one window of 30 s at a time. "of GEMM" is the share of the speed at which this machine
multiplies large matrices in the same precision. The changes are against float32 with the same windows, of valence and
arousal by a head with random weights. Times are comparable only where nothing else runs.
"""

import argparse
import copy
import json
import statistics
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from speed import ROOT, show
from speed_jobs import mert_encoder
from torch.utils.flop_counter import FlopCounterMode

RESULTS = ROOT / "benchmarks" / "results" / "speed_settings.json"
ALL_LAYERS = 12


@dataclass(frozen=True)
class Setting:
    """dtype: "float32", "bfloat16", or "int8": dense layers alone, quantised.  window: seconds.  batch: windows."""

    dtype: str
    window: float
    batch: int
    threads: int
    layers: int | None = None  # None: as many as are read

    def __str__(self) -> str:
        layers = f", {self.layers} layers" if self.layers else ""
        return f"{self.dtype}, {self.window:g} s x {self.batch}, {self.threads} threads{layers}"


def encoders(model: str | None, size: int) -> dict[tuple[str, int | None], Any]:
    """{(dtype, layers): encoder}, with the same weights in every precision."""
    from modeling_m2e.encoder_m2e import MertEncoder

    torch.manual_seed(0)
    if model is None:
        everything, read = mert_encoder(ALL_LAYERS, size), mert_encoder(size=size)
    else:
        everything = MertEncoder.from_pretrained(model, layers=(ALL_LAYERS,))
        read = MertEncoder.from_pretrained(model)
    half, whole_numbers = copy.deepcopy(read), copy.deepcopy(read)
    half.model.to(torch.bfloat16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of a package that is not needed otherwise
        dense = {torch.nn.Linear}
        whole_numbers.model = torch.ao.quantization.quantize_dynamic(whole_numbers.model, dense, torch.qint8)
    return {
        ("float32", ALL_LAYERS): everything,
        ("float32", None): read,
        ("bfloat16", None): half,
        ("int8", None): whole_numbers,
    }


def gemm_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """Multiplications and additions per second of a product of square matrices."""
    first, second = (torch.randn(size, size).to(dtype) for _ in range(2))
    times = []
    for _ in range(5):
        began = time.perf_counter()
        first @ second
        times.append(time.perf_counter() - began)
    return 2 * size**3 / min(times)


@torch.inference_mode()
def embed(encoder: Any, windows: torch.Tensor, batch: int) -> torch.Tensor:
    return torch.cat([encoder(part) for part in windows.split(batch)])


def head(width: int) -> torch.nn.Module:
    """The emotion network with random weights, which tells how much a change of embeddings matters."""
    from modeling_m2e import M2EConfig, M2EForMusicEmotion

    torch.manual_seed(0)
    return M2EForMusicEmotion(M2EConfig.default(embedding_size=width)).eval()


@torch.inference_mode()
def valence_arousal(network: Any, embeddings: torch.Tensor) -> torch.Tensor:
    """(2,) of a track without harmony."""
    from modeling_m2e.harmony_statistics_m2e import STATISTICS

    nothing = torch.zeros(1, 0, dtype=torch.long)
    weights = torch.ones(1, len(embeddings))
    inputs = {"chord_roots": nothing, "chord_qualities": nothing, "chord_durations": nothing.float()}
    inputs |= {"chord_mask": nothing.bool(), "mode": torch.zeros(1)}
    inputs["harmony_statistics"] = torch.full((1, STATISTICS), torch.nan)
    return network(embeddings=embeddings[None], window_weights=weights, **inputs).va[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="hub id or folder of a MERT")
    parser.add_argument("--size", type=int, default=768, help="width of the random network, at least 256")
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()])
    parser.add_argument("--windows", type=float, nargs="+", default=[30, 5])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 6])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16", "int8"])
    args = parser.parse_args()
    found = encoders(args.model, args.size)
    network = head(found["float32", None].hidden_size)
    rate = found["float32", None].sampling_rate
    waveform = 0.1 * torch.randn(int(args.seconds * rate), generator=torch.Generator().manual_seed(0))
    published = Setting("float32", min(30, args.seconds), 1, args.threads[0], ALL_LAYERS)
    settings = [published] + [
        Setting(dtype, window, batch, threads)
        for threads in args.threads
        for window in args.windows
        for dtype in args.dtypes
        for batch in args.batches
        if batch * window <= args.seconds
    ]
    gemm: dict[tuple[str, int], float] = {}
    exact: dict[float, torch.Tensor] = {}
    results: dict[str, dict] = {}
    times: dict[Setting, list[float]] = {setting: [] for setting in settings}
    for run in range(args.runs):  # in turns, so that a busy moment meets all of them
        for setting in settings:
            torch.set_num_threads(setting.threads)
            encoder = found[setting.dtype, setting.layers]
            windows = waveform.unfold(0, int(setting.window * rate), int(setting.window * rate))
            if not run:
                embed(encoder, windows[: setting.batch], setting.batch)
            began = time.perf_counter()
            embeddings = embed(encoder, windows, setting.batch)
            times[setting].append(time.perf_counter() - began)
            if run:
                continue
            kind = "bfloat16" if setting.dtype == "bfloat16" else "float32"
            if (kind, setting.threads) not in gemm:
                gemm[kind, setting.threads] = gemm_rate(getattr(torch, kind))
            with FlopCounterMode(display=False) as counter:
                embed(encoder, windows[:1], 1)
            result = {"flop": counter.get_total_flops() * len(windows), "gemm": gemm[kind, setting.threads]}
            if setting.layers is None:
                reference = exact.setdefault(setting.window, embeddings)
                answers = [valence_arousal(network, each) for each in (embeddings, reference)]
                result["va_change"] = (answers[0] - answers[1]).abs().max().item()
                result["embedding_change"] = ((embeddings - reference).norm() / reference.norm()).item()
            results[str(setting)] = result
    rows = [["setting", "seconds", "times real time", "as published = 1", "of GEMM", "embedding", "valence, arousal"]]
    base = statistics.median(times[published])
    for setting in settings:
        result, seconds = results[str(setting)], statistics.median(times[setting])
        result |= {"s": seconds, "speedup": base / seconds, "of_gemm": result["flop"] / seconds / result["gemm"]}
        changes = [f"{result[name]:.4f}" if name in result else "" for name in ("embedding_change", "va_change")]
        share = f"{result['of_gemm']:.0%}" if setting.dtype != "int8" else ""  # its products are not counted
        speed = [f"{seconds:.2f}", f"{args.seconds / seconds:.0f}", f"{result['speedup']:.2f}"]
        rows.append([str(setting), *speed, share, *changes])
    show(f"{args.model or 'random weights'}, {args.seconds:g} s of audio", rows)
    write(results)


def write(results: dict) -> None:
    Path(RESULTS).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
