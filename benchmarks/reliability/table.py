"""Writes the table of docs/reliability.md from benchmarks/results/reliability/*.json.

python benchmarks/reliability/table.py
"""

import json
import sys
from pathlib import Path

from outcomes import RESULTS, ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
from documents import put  # noqa: E402

ORDER = ("poison", "fuzz", "kills", "kills-training", "hostile", "network", "memory", "invariance")


def table(folder: Path = RESULTS) -> str:
    """A row per campaign, in Markdown."""
    lines = ["| tried | number | failed | command |", "|---|---|---|---|"]
    for name in ORDER:
        path = folder / f"{name}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        kinds = ", ".join(f"{kind} {count}" for kind, count in result["tried"].items()) if name != "poison" else ""
        if name == "memory":
            kinds = ", ".join(f"{length} {peak:g} MB" for length, peak in result["peaks_mb"].items())
        if name == "invariance":
            kinds = ", ".join(
                f"{change} {each['median']:g} (at most {each['largest']:g})" for change, each in result["moved"].items()
            )
        what = result["what"] + (f": {kinds}" if kinds else "")
        tried, failed = sum(result["tried"].values()), sum(result["failed"].values())
        lines.append(
            f"| {what} | {tried:,} | {failed} | `{result['command'].replace('benchmarks/reliability/', '')}` |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    put(ROOT / "docs" / "reliability.md", {"numbers: reliability": table()})
