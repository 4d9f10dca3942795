"""Attributes of every clip of the encoder's pool by vibenet: energy, danceability and others, from 0 to 1.

    PYTHON datasets_scripts/encoder/attributes.py POOL [--sources NAME ...]

PYTHON is that of an environment with vibenet (GPL-3) and without this package: the two programs share files only. POOL
gets `labels/vibenet/SHARD.npz` like those of `label`: `tags` (clips, 1, 7), the attributes in the order of vibenet's
`labels`, and `embeddings`, their log-odds. The same command resumes an interrupted run.
"""

import argparse
import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import vibenet

SAMPLING_RATE = 22050  # Hz, of the pool
LEVEL = 0.2  # root mean square that all clips get: -14 dB of full scale
BLOCK = 2205  # samples; quiet blocks do not count
ODDS_LIMIT = 1e-3  # attributes are kept this far from 0 and 1


def levelled(waveform: np.ndarray) -> np.ndarray:
    """The waveform at `LEVEL`, measured where it is not quiet."""
    power = np.square(waveform[: len(waveform) // BLOCK * BLOCK].reshape(-1, BLOCK)).mean(1)
    loud = power[power >= 0.1 * power.mean()]
    return waveform * np.float32(LEVEL / max(loud.mean(), 1e-9) ** 0.5)


def label_shard(model: Any, audio: Path, seconds: dict[int, float], path: Path) -> None:
    """Writes the attributes of the rows with these lengths of a shard of audio; rows of zeros get NaN."""
    samples = np.load(audio, mmap_mode="r")
    values = np.full((len(samples), len(vibenet.labels)), np.nan)
    for row, length in seconds.items():
        waveform = samples[row, : round(length * SAMPLING_RATE)].astype(np.float32) / 32767
        if waveform.any():
            result = model.predict(levelled(waveform), sr=SAMPLING_RATE)[0].to_dict()
            values[row] = [result[name] for name in vibenet.labels]
    kept = values.clip(ODDS_LIMIT, 1 - ODDS_LIMIT)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        odds = np.log(kept / (1 - kept))
        np.savez(file, embeddings=odds[:, None].astype(np.float16), tags=values[:, None].astype(np.float16))
    os.replace(partial, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--sources", nargs="+", default=[], help="all by default")
    args = parser.parse_args()
    model = vibenet.load_model()
    sources = args.sources or sorted(path.stem for path in (args.pool / "index").glob("*.csv"))
    for source in sources:
        shards: dict[str, dict[int, float]] = {}
        with open(args.pool / "index" / f"{source}.csv", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                shards.setdefault(row["shard"], {})[int(row["row"])] = float(row["seconds"])
        for shard, seconds in shards.items():
            path = args.pool / "labels" / "vibenet" / f"{shard}.npz"
            if not path.exists():
                label_shard(model, args.pool / "audio" / f"{shard}.npy", seconds, path)
                print(shard, flush=True)


if __name__ == "__main__":
    main()
