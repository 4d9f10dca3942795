"""How often is the tempo right? On composed tracks, whose tempo is known.

    python benchmarks/tempo.py [--per-style 10]

The styles are those of transfer.py. A tempo is right within 4 %, the "accuracy 1" of Gouyon et al. (2006); half and
double, the usual errors of beat trackers, are counted apart.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from transfer import SECONDS, SOUND_FONTS, STYLES, compose

from m2e.datasets.midi_audio import RATE, render
from m2e.storage import write_text
from modeling_m2e.tempo_m2e import estimate_tempo

RESULTS = Path(__file__).resolve().parent / "results" / "tempo.json"
TOLERANCE = 0.04
FACTORS = {"right": 1.0, "half": 0.5, "double": 2.0}
KINDS = (*FACTORS, "other", "none")


def kind(found: float | None, tempo: float) -> str:
    """Which of KINDS an estimate is; both in beats per minute."""
    if found is None:
        return "none"
    near = (name for name, factor in FACTORS.items() if abs(found - factor * tempo) <= TOLERANCE * factor * tempo)
    return next(near, "other")


def shares(kinds: list[str]) -> dict[str, float]:
    """The number of tracks, and the share of each of KINDS."""
    counts = Counter(kinds)
    return {"tracks": len(kinds)} | {name: round(counts[name] / len(kinds), 3) for name in KINDS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-style", type=int, default=10)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    found: dict[str, list[str]] = {}
    for name, style in STYLES.items():
        for number in range(args.per_style):
            tempo = float(rng.uniform(*style.tempo))
            waveform = render(compose(style, rng, tempo), SOUND_FONTS[number % len(SOUND_FONTS)])
            found.setdefault(name, []).append(kind(estimate_tempo(waveform[: int(SECONDS * RATE)]), tempo))
    every = [each for kinds in found.values() for each in kinds]
    result = {"seconds": SECONDS, "styles": {name: shares(kinds) for name, kinds in {**found, "all": every}.items()}}
    write_text(args.out, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
