"""Writes tags and undoes it: time and size of the journal per format, and random kills in the middle.

    python benchmarks/tags.py [--seconds 240] [--kills 50] [--seed 0]

Noise of a song's length is written in every format that libsndfile writes, and tagged; times are CPU seconds. Then a
process that tags a folder of short files again and again is killed (SIGKILL) at random moments. After every kill each
file must be in a complete state; at last, all writes are undone, and every file must be what it was, bit for bit.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import soundfile

from m2e.library.tagging.journal import digest, open_journal
from m2e.library.tagging.mapping import read_mapping
from m2e.library.tagging.write import plan, undo, write

RESULTS = Path(__file__).resolve().parent / "results" / "tags.json"
FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "mp3": "MPEG_LAYER_III", "ogg": "VORBIS", "aiff": "PCM_16"}
BLOCK = 44100  # frames that are written at once: libsndfile cannot take minutes of Ogg


def make(path: Path, seconds: float, seed: int = 0) -> Path:
    """Stereo noise."""
    noise = np.random.default_rng(seed)
    form = path.suffix[1:].upper()
    with soundfile.SoundFile(path, "w", 44100, 2, FORMATS[path.suffix[1:]], format=form) as file:
        for start in range(0, round(seconds * 44100), BLOCK):
            file.write(0.1 * noise.standard_normal((min(BLOCK, round(seconds * 44100) - start), 2)))
    return path


def record(path: Path, valence: float) -> dict:
    moods = {"moods": [], "selected_moods": ["calm", "happy"]}
    key = {"tonic": "A", "mode": "minor", "confidence": 0.9}
    return {"path": str(path), "valence": valence, "arousal": 5.0, "quadrant": "Q4", "key": key, "error": None, **moods}


def cost(folder: Path, suffix: str, seconds: float) -> dict[str, float]:
    """CPU seconds of a plan, a write and an undo, and the bytes that undo it."""
    path, rules = make(folder / f"song.{suffix}", seconds), read_mapping()
    before = path.read_bytes()
    with open_journal(folder / f"{suffix}.db") as journal:
        times = [time.process_time()]
        planned = plan(str(path), record(path, 3.0), rules)
        times.append(time.process_time())
        write(planned, journal)
        times.append(time.process_time())
        undo(str(path), journal)
        times.append(time.process_time())
    with closing(sqlite3.connect(folder / f"{suffix}.db")) as database:
        kept = database.execute("SELECT sum(length(delta)) FROM writes").fetchone()[0]
    if path.read_bytes() != before:
        raise SystemExit(f"{suffix} was not restored")
    steps = zip(("plan", "write", "undo"), np.diff(times), strict=True)
    return {"megabytes": len(before) / 1e6, "delta_bytes": kept, **{name: round(spent, 4) for name, spent in steps}}


# --- kills ---


def tag_forever(paths: list[Path], database: Path, seed: int) -> None:
    values, rules = random.Random(seed), read_mapping()
    with open_journal(database) as journal:
        while True:
            for path in paths:
                write(plan(str(path), record(path, 1 + 8 * values.random()), rules), journal)


def kills(folder: Path, count: int, seed: int) -> dict[str, int]:
    """How many kills there were, after how many of them a file had been written, and how many writes were undone."""
    paths = [make(folder / f"{number}.{suffix}", 1.0, number) for number in range(4) for suffix in FORMATS]
    originals = {path: path.read_bytes() for path in paths}
    moments, database, written = random.Random(seed), folder / "kills.db", 0
    for number in range(count):
        before = {path: path.stat().st_mtime_ns for path in paths}
        child = os.fork()
        if not child:
            tag_forever(paths, database, number)
        time.sleep(moments.uniform(0.01, 0.6))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        written += any(path.stat().st_mtime_ns != before[path] for path in paths)
        with open_journal(database) as journal:
            for path in paths:
                content = path.read_bytes()
                if content != originals[path] and journal.last_write(str(path), content) is None:
                    raise SystemExit(f"{path.name} is in no complete state after kill {number + 1}")
    undone = 0
    with open_journal(database) as journal:
        for path in paths:
            while undo(str(path), journal) is not None:
                undone += 1
            if digest(path.read_bytes()) != digest(originals[path]):
                raise SystemExit(f"{path.name} was not restored")
    return {"kills": count, "kills_among_writes": written, "writes_undone": undone}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        results = {suffix: cost(Path(work), suffix, arguments.seconds) for suffix in FORMATS}
        for suffix, found in results.items():
            print(suffix, json.dumps(found))
        survived = kills(Path(work), arguments.kills, arguments.seed)
    print(json.dumps(survived))
    RESULTS.write_text(json.dumps({"seconds": arguments.seconds, "formats": results, **survived}, indent=2) + "\n")


if __name__ == "__main__":
    main()
