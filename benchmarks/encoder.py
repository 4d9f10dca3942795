"""How the encoder's fidelity to its teachers grows with hours of audio and with its size.

    python benchmarks/encoder.py POOL OUT [--steps 800] [--teachers NAME ...] [--publish]

Trains a short recipe for each variant (the full one is configuration/encoder.yaml), so that compare these with each
other only. Fidelity: see the encoder's card. The same command resumes; finished variants are read from OUT.
"""

import argparse
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from documents import put
from torch.utils.flop_counter import FlopCounterMode

from m2e.datasets.encoder.pool import read_index
from m2e.storage import write_text
from m2e.training.encoder.data import Pool
from m2e.training.encoder.recipe import EncoderRecipe, read_recipe
from m2e.training.encoder.train import train
from modeling_m2e import M2EEncoderConfig, M2EEncoderModel

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "configuration" / "encoder.yaml"
SECONDS = 10  # of audio, for multiply-adds


@dataclass(frozen=True)
class Variant:
    """A size of the encoder, and hours of audio (None: all)."""

    name: str
    hours: float | None = None
    model: dict[str, Any] = field(default_factory=dict)


VARIANTS = (
    Variant("all hours"),
    Variant("4 hours", 4.0),
    Variant("1 hour", 1.0),
    Variant("half the width", None, {"widths": [8, 20, 64], "squeezed_width": 16, "hidden_size": 192}),
    Variant("1.5 times the width", None, {"widths": [24, 60, 192], "squeezed_width": 48, "hidden_size": 576}),
)


def size(config: M2EEncoderConfig) -> tuple[int, int]:
    """Parameters, and multiply-adds for `SECONDS` of audio."""
    model = M2EEncoderModel(config).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, SECONDS * config.sampling_rate))
    return model.num_parameters(), counter.get_total_flops() // 2


def measure(variant: Variant, recipe: EncoderRecipe, pool: Pool, out: Path) -> dict[str, Any]:
    """The table's row of a variant, from OUT where it is finished."""
    result = out / f"{variant.name.replace(' ', '-')}.json"
    if result.exists():
        return json.loads(result.read_text())
    recipe = replace(recipe, hours=variant.hours, model=variant.model)
    train(recipe, pool, out / variant.name.replace(" ", "-"))
    last = json.loads((out / variant.name.replace(" ", "-") / "log.jsonl").read_text().splitlines()[-1])
    parameters, operations = size(M2EEncoderConfig(**variant.model))
    row = {"variant": variant.name, "hours": last["hours"], "parameters": parameters, "multiply_adds": operations}
    row |= {"steps": recipe.steps, "fidelity": last["fidelity"]["all"]}
    write_text(result, json.dumps(row, indent=1) + "\n")
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown; the mean is over teachers."""
    teachers = list(rows[0]["fidelity"])
    lines = [["variant", "hours", "parameters", "G multiply-adds / 10 s", "mean", *teachers]]
    lines.append(["---"] * len(lines[0]))
    for row in rows:
        scores = [row["fidelity"][name] for name in teachers]
        lines.append([row["variant"], f"{row['hours']:.1f}", f"{row['parameters'] / 1e6:.2f} M"])
        lines[-1] += [f"{row['multiply_adds'] / 1e9:.2f}", *(f"{score:.3f}" for score in [np.mean(scores), *scores])]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--teachers", nargs="+", help="of the recipe's, with labels in POOL; all by default")
    parser.add_argument("--publish", action="store_true", help="put the table into docs/training.md")
    args = parser.parse_args()
    torch.set_flush_denormal(True)
    recipe = read_recipe(RECIPE, {"steps": args.steps, "evaluate_every": args.steps})
    if args.teachers:
        recipe = replace(recipe, teachers={name: recipe.teachers[name] for name in args.teachers})
    pool = Pool(args.pool, read_index(args.pool, recipe.sources), recipe.teachers)
    text = table([measure(variant, recipe, pool, args.out) for variant in VARIANTS])
    print(text)
    if args.publish:
        put(ROOT / "docs" / "training.md", {"numbers: encoder sizes": text})


if __name__ == "__main__":
    main()
