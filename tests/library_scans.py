"""Scans of small folders with a model that answers at once."""

import os
from functools import partial

import library_tools as tools
import numpy as np
import soundfile as sf

from m2e.library.database import Library
from m2e.library.scan import plan_scan, run

SETTINGS = {"model": "fake"}
RATE = 8000


def predict(path, log):
    """A record that follows from the audio; every call is logged."""
    with open(log, "a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(f"{path}\n")
    samples, _ = sf.read(os.fsencode(path))
    loud = float(np.abs(samples).mean())
    return tools.record(5 + loud, 5 - loud, duration=len(samples) / RATE, calm=loud, embedding=samples[:8])


def fake(log):
    return partial(predict, log=log)


class Scans:
    """Scans of `music` into one database."""

    def __init__(self, folder):
        self.music, self.log = folder / "music", folder / "log"
        self.database = str(folder / "library.db")

    def __call__(self, *paths, settings=SETTINGS, workers=1, retry=False, gone=False):
        """{what: number of files} of a scan, and its plan."""
        self.log.write_text("")
        with Library.open(self.database, create=True) as library:
            plan = plan_scan(library, [str(path) for path in paths or [self.music]], settings, retry, gone)
            counts = {"unchanged": plan.unchanged}
            with run(plan, partial(fake, str(self.log)), workers, retry) as outcomes:
                for outcome in outcomes:
                    counts[outcome.what] = counts.get(outcome.what, 0) + 1
            counts["missing"] = plan.finish()
        self.plan = plan
        return {name: count for name, count in counts.items() if count}

    @property
    def predicted(self):
        """Names of the files that were predicted in the last scan."""
        return sorted(os.path.basename(line) for line in self.log.read_text(errors="surrogateescape").split("\n")[:-1])

    def library(self):
        return Library.open(self.database)

    def names(self):
        with self.library() as library:
            return sorted(os.path.relpath(path, self.music) for track in library.tracks() for path in track.paths)

    def song(self, name, seed=None, seconds=1.0):
        path = self.music / name
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(len(os.listdir(path.parent)) if seed is None else seed)
        sf.write(path, 0.3 * random.standard_normal(int(seconds * RATE)), RATE)
        return path
