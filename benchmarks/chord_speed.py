"""Time to detect the chords and key of a track, step by step, after everything is loaded.

    python benchmarks/chord_speed.py [--seconds 180]

The audio is synthetic (chords of decaying partials): time depends on its length only. Best of several runs, all of them
in one process.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from m2e.checkpoints.load import embedded_model
from modeling_m2e.chord_decoding_m2e import DECODINGS, move_to_onsets, onset_strength
from modeling_m2e.chords_m2e import (
    SAMPLING_RATE,
    ChordRecognizer,
    cqt_features,
    frame_logits,
    frames_to_segments,
)
from modeling_m2e.key_m2e import estimate_key

RESULTS = Path(__file__).resolve().parent / "results" / "chord_speed.json"
RUNS = 7


def music(seconds: float) -> np.ndarray:
    """Mono float32 at 22,050 Hz: I-vi-IV-V in C, two seconds each."""
    time_axis = np.arange(2 * SAMPLING_RATE) / SAMPLING_RATE
    chords = [(48, 52, 55), (45, 48, 52), (53, 57, 60), (55, 59, 62)]
    bars = [
        sum(
            np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * partial * time_axis) / partial
            for pitch in chord
            for partial in range(1, 6)
        )
        * np.exp(-time_axis)
        for chord in chords
    ]
    piece = np.concatenate(bars)
    return np.resize(piece / np.abs(piece).max(), int(seconds * SAMPLING_RATE)).astype(np.float32)


def best(step: Callable) -> tuple[float, object]:
    """(seconds of the fastest of several runs, what the step gives)."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        result = step()
        times.append(time.perf_counter() - began)
    return min(times), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180)
    args = parser.parse_args()
    recognizer, waveform = ChordRecognizer.from_pretrained(embedded_model()), music(args.seconds)
    recognizer(waveform)  # the first run loads what is loaded lazily

    smooth = recognizer.decoding != "paper"

    def decode() -> np.ndarray:
        frames = DECODINGS[recognizer.decoding]()
        frames.push(logits)
        return frames.finish()

    steps = {}
    steps["cqt"], features = best(lambda: cqt_features(waveform))
    steps["network"], logits = best(lambda: frame_logits(features, recognizer.model, overlap=smooth))
    steps["decoding"], ids = best(decode)
    if smooth:
        borders = np.array([chord.start for chord in frames_to_segments(ids)[1:]])
        steps["onsets"], _ = best(lambda: move_to_onsets(borders, onset_strength(waveform)))
    chords = recognizer(waveform)
    steps["key"], _ = best(lambda: estimate_key(chords))
    steps["all"], _ = best(lambda: estimate_key(recognizer(waveform)))
    result = {
        "seconds_of_music": args.seconds,
        "threads": torch.get_num_threads(),
        "decoding": recognizer.decoding,
        "seconds": {name: round(seconds, 4) for name, seconds in steps.items()},
        "times_real_time": round(args.seconds / steps["all"]),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
