"""What very many tracks cost: Ray beside plain workers, memory of the driver, bytes and CPU time of a track.

    python benchmarks/batch.py track                # CPU seconds and bytes of a track of four minutes
    python benchmarks/batch.py overhead             # 500 clips of 30 s: --workers 2, and Ray with 2 actors
    python benchmarks/batch.py memory               # 100,000 names through a simulated model, on both engines
    python benchmarks/batch.py kills                # Ray is killed ten times at random moments: every track once
    python benchmarks/batch.py equal                # 300 clips in every way: the same rows
    python benchmarks/batch.py document             # the table of docs/batch.md, from the results

`overhead` needs an idle machine. Results are kept in results/batch.json.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from batch_proofs import M2E, ROOT, environment, equal, kills, write_clips

from m2e.inputs import Source
from m2e.storage import write_text
from modeling_m2e.record_m2e import CurvePoint, Mood, MusicEmotion

RESULTS = Path(__file__).resolve().parent / "results" / "batch.json"
TRACKS, NIGHT = 1_000_000, 8 * 3600.0  # seconds
MOODS = 56


def results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def keep(name: str, values: dict[str, Any]) -> None:
    print(json.dumps({name: values}, indent=2))
    write_text(RESULTS, json.dumps(results() | {name: values}, indent=2, sort_keys=True) + "\n")


# --- a track ---


def track(minutes: float = 4.0, repeats: int = 1) -> None:
    """CPU seconds of a warm prediction in one thread, and the bytes of a row in a file, without and with embedding."""
    import torch
    from speed import write_mp3

    from m2e.batch import Predictor
    from m2e.batch.shards import Folder

    torch.set_num_threads(1)
    predictor = Predictor(embedding=True, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        write_mp3(Path(folder, "track.mp3"), 60 * minutes)
        seconds = []
        for _ in range(1 + repeats):
            began = time.process_time()
            (record,) = predictor.records({"path": [f"{folder}/track.mp3"]})
            seconds.append(time.process_time() - began)
        sizes = {"mp3_bytes": os.path.getsize(f"{folder}/track.mp3")}
        rng = np.random.default_rng(0)
        row = predictor({"path": [f"{folder}/track.mp3"]})
        for name, table in (("row_bytes", row.drop(["embedding"])), ("row_with_embedding_bytes", row)):
            tables = [varied(table, rng) for _ in range(64)]  # so that rows do not compress as copies of each other
            Folder(folder).write("rows.parquet", tables, table.schema)
            sizes[name] = os.path.getsize(f"{folder}/rows.parquet") // len(tables)
    keep("track", {"minutes": minutes, "cpu_seconds": round(min(seconds[1:]), 2), **sizes})


def varied(table: Any, rng: np.random.Generator) -> Any:
    """A row with other numbers of the same kind."""
    import pyarrow as pa

    (row,) = table.to_pylist()
    for name, numbers in (("moods", ("score",)), ("curve", ("valence", "arousal")), ("chords", ("start", "end"))):
        for part in row[name]:
            for number in numbers:
                part[number] = round(part[number] + rng.normal(0, 0.05), 4)
    labels = rng.permutation([chord["label"] for chord in row["chords"]])
    row["chords"] = [chord | {"label": str(label)} for chord, label in zip(row["chords"], labels, strict=True)]
    rng.shuffle(row["moods"])
    if row.get("embedding"):
        row["embedding"] = [value + rng.normal(0, 0.05) for value in row["embedding"]]
    return pa.Table.from_pylist([row], table.schema)


# --- overhead ---


def overhead(clips: int, seconds: float) -> None:
    """Wall time of both engines, from the start of the command to its end; their rows must be equal."""
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder, "music"), clips, seconds)
        command = [*M2E, "predict", f"{folder}/music", "--workers", "2", "--format", "parquet", "--device", "cpu", "-o"]
        walls = {}
        for engine in ("local", "ray"):
            began = time.perf_counter()
            subprocess.run([*command, f"{folder}/{engine}", "--engine", engine], check=True, env=environment())
            walls[engine] = time.perf_counter() - began
        tables = [pq.read_table(f"{folder}/{engine}").sort_by("path") for engine in walls]
        assert tables[0] == tables[1] and len(tables[0]) == clips
    extra = walls["ray"] / walls["local"] - 1
    keep(
        "overhead",
        {"clips": clips, "clip_seconds": seconds, "local_s": round(walls["local"], 1), "ray_s": round(walls["ray"], 1)}
        | {"overhead": round(extra, 3)},
    )


# --- memory ---


class Simulated:
    """A model that answers at once."""

    name = "simulated"

    def __call__(self, path: str) -> MusicEmotion:
        moods = [Mood(f"mood {number}", 0.5) for number in range(MOODS)]
        curve = [CurvePoint(30.0 * part, 30.0 * part + 30, 5.0, 5.0) for part in range(8)]
        return MusicEmotion(path, 240.0, 5.0, 5.0, "Q1", moods, [], curve=curve, model=self.name)


def names(count: int, skipped: dict[str, str] | None = None) -> Iterator[Source]:
    return (Source(f"s3://a-bucket-of-music/artist-{n % 977:04d}/{n:07d}.mp3") for n in range(count))


def memory(count: int, engine: str) -> None:
    """Resident memory of this process after each tenth of the names, in MB."""
    from m2e.batch.run import Tally, remaining, write
    from m2e.batch.schema import RECORD_SCHEMA
    from m2e.batch.shards import Folder, Known, Shard, with_settings
    from m2e.inputs import stream
    from m2e.workers import streamed

    schema, tally, seen = with_settings(RECORD_SCHEMA, {}), Tally(), dict[int, int]()

    def watch(done: int, path: str = "") -> None:
        tenth = 10 * done // count
        if done and tenth not in seen:
            seen[tenth] = resident()

    with tempfile.TemporaryDirectory() as folder:
        if engine == "local":
            shard = Shard(Folder(folder), "all.parquet", schema)
            sources = remaining(stream(names(count), {}), Known(np.zeros(0)), tally)
            with streamed(Simulated, sources) as records:
                write(records, shard, tally, watch)
            shard.finish()
        else:
            from m2e.batch.ray_engine import Cluster, predict

            cluster = Cluster(actors=2, num_cpus=1, rows=256)
            for _ in predict(partial(names, count), Simulated, Folder(folder), schema, cluster, tally):
                watch(tally.done)
        assert tally.done == count
    keep(f"memory_{engine}", {"names": count, "mb_by_tenth": [seen[tenth] for tenth in sorted(seen)]})


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


# --- the document ---


def document() -> None:
    from documents import put

    found = results()
    put(ROOT / "docs" / "batch.md", {"cost": cost(found["track"]), "proofs": proofs(found["kills"], found["equal"])})


def proofs(killed: dict[str, Any], compared: dict[str, Any]) -> str:
    """What `kills` and `equal` have found, in sentences."""
    ways = ", ".join(f"{way} ({rows})" for way, rows in compared["equal_rows"].items())
    found = [
        "`python benchmarks/batch.py kills` kills `m2e predict --engine ray` with all its processes at random moments,"
        f" and runs it again with `--resume`. There were {len(killed['kills'])} kills. {killed['equal']} of"
        f" {killed['runs']} runs ended with each of {killed['tracks']} tracks once, {killed['failed']} of them with an"
        f" error, and the rows of a run that nobody killed; {killed['broken']} kills left a file that cannot be read,"
        " or a track twice.",
        f"`python benchmarks/batch.py equal` predicts {compared['clips']} clips of {compared['clip_seconds']:g} s by"
        f" m2e-small; {compared['failed']} cannot be read. Rows that are exactly those of `m2e predict`: {ways}.",
    ]
    return "\n".join(fill(f"- {text}", 120, subsequent_indent="  ", break_on_hyphens=False) for text in found)


def cost(measured: dict[str, Any]) -> str:
    """The table of what a million tracks cost."""
    seconds, minutes = measured["cpu_seconds"], measured["minutes"]
    hours = TRACKS * seconds / 3600
    cores = hours / (NIGHT / 3600)

    def gigabytes(name: str) -> str:
        return f"{TRACKS * measured[name] / 1e9:,.1f} GB"

    rows = [
        ("CPU time of a track", f"{seconds:.2f} s", f"measured: {minutes:g} minutes of MP3, one thread, warm"),
        ("CPU time of all", f"{hours:,.0f} core hours", f"1,000,000 x {seconds:.2f} s / 3600"),
        ("cores for one night", f"{cores:,.0f}", f"{hours:,.0f} core hours / {NIGHT / 3600:g} h"),
        ("machines of 16 cores", f"{int(np.ceil(cores / 16)):,}", "one worker a core"),
        ("audio to read", gigabytes("mp3_bytes"), f"{measured['mp3_bytes'] / 1e6:.1f} MB a track"),
        ("reading, for one night", f"{TRACKS * measured['mp3_bytes'] / NIGHT / 1e6:,.0f} MB/s", "of all machines"),
        ("records", gigabytes("row_bytes"), f"{measured['row_bytes'] / 1e3:.1f} kB a track"),
        ("with embeddings", gigabytes("row_with_embedding_bytes"), "584 float32 of m2e-small"),
    ]
    lines = ["| 1,000,000 tracks | | from |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} | {source} |" for name, value, source in rows)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["track", "overhead", "memory", "kills", "equal", "document"])
    parser.add_argument("--clips", type=int, help="500; of equal 300")
    parser.add_argument("--seconds", type=float, help="length of a clip: 30; of equal 5")
    parser.add_argument("--names", type=int, default=100_000)
    parser.add_argument("--count", type=int, default=10, help="of kills")
    parser.add_argument("--engine", choices=["local", "ray"], help="of memory; both by default")
    arguments = parser.parse_args()
    if arguments.part == "track":
        track()
    elif arguments.part == "overhead":
        overhead(arguments.clips or 500, arguments.seconds or 30.0)
    elif arguments.part == "kills":
        keep("kills", kills(arguments.count))
    elif arguments.part == "equal":
        keep("equal", equal(arguments.clips or 300, arguments.seconds or 5.0))
    elif arguments.part == "document":
        document()
    else:
        for chosen in [arguments.engine] if arguments.engine else ["local", "ray"]:
            memory(arguments.names, chosen)
