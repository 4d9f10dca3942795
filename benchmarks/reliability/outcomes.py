"""What a campaign tried and what failed: printed, and written for the table of docs/reliability.md."""

import json
import os
import sys
import time
import types
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "reliability"
MAX_LISTED = 50  # failures in the file

os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
sys.path += [str(ROOT), str(ROOT / "tests")]


def without_torch() -> None:
    """Makes `modeling_m2e` a package whose modules are imported one by one: those of audio need no torch."""
    package = types.ModuleType("modeling_m2e")
    package.__path__ = [str(ROOT / "modeling_m2e")]
    sys.modules.setdefault("modeling_m2e", package)


class Campaign:
    """Counts cases by kind.

    name: of the result file.  what: was tried, for the table.
    """

    def __init__(self, name: str, what: str):
        self.name, self.what = name, what
        self.tried: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.failures: list[dict[str, str]] = []
        self._start = time.monotonic()

    def count(self, kind: str, case: str, failure: str | None = None) -> None:
        """Notes a case, and why it failed, if it did."""
        self.tried[kind] += 1
        if failure is not None:
            self.failed[kind] += 1
            self.failures.append({"kind": kind, "case": case, "failure": failure})
            print(f"FAILED {kind}: {case}: {failure}", flush=True)

    def end(self, save: bool = True, **more: object) -> int:
        """Prints the sums and writes the result; the exit status.  more: further entries of the result."""
        seconds = round(time.monotonic() - self._start)
        tried, failed = sum(self.tried.values()), sum(self.failed.values())
        print(f"{self.name}: {tried} tried, {failed} failed, {seconds} s", flush=True)
        content = {
            "what": self.what,
            "command": " ".join(["python", f"benchmarks/reliability/{self.name}.py", *sys.argv[1:]]),
            "tried": dict(sorted(self.tried.items())),
            "failed": dict(sorted(self.failed.items())),
            "failures": self.failures[:MAX_LISTED],
            **more,
        }
        if save:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{self.name}.json").write_text(json.dumps(content, indent=1) + "\n")
        return 1 if failed else 0
