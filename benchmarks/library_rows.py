"""Queries of a library with many tracks: time and memory, beside a plain scan of a JSON Lines file.

    python benchmarks/library_rows.py [--rows 200000] [--width 584] [--repeat 3]

Simulates the records; measures query, similar and playlist, each in a fresh process without the time of its imports.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
KEYS = [f"{tonic} {mode}" for tonic in "C Db D Eb E F Gb G Ab A Bb B".split() for mode in ("major", "minor")]
QUERY = "calm and happy, not dark, valence > 6, key = Am, year >= 1990"
sys.path.append(str(ROOT))

MOODS = sorted(
    "action adventure advertising background ballad calm children christmas commercial cool corporate dark deep "
    "documentary drama dramatic dream emotional energetic epic fast film fun funny game groovy happy heavy holiday "
    "hopeful inspiring love meditative melancholic melodic motivational movie nature party positive powerful relaxing "
    "retro romantic sad sexy slow soft soundscape space sport summer trailer travel upbeat uplifting".split()
)


def simulated(seed: int, width: int):  # noqa: ANN201
    """A record of random values, of the size of real ones."""
    from modeling_m2e.chord_labels_m2e import ChordSegment
    from modeling_m2e.key_m2e import Key
    from modeling_m2e.record_m2e import CurvePoint, Mood, MusicEmotion

    rng = np.random.default_rng(seed)
    valence, arousal = np.clip(rng.normal(5, 1, 2), 1, 9).tolist()
    scores = rng.random(len(MOODS)) ** 3
    best = np.argsort(-scores)
    tonic, mode = KEYS[rng.integers(24)].split()
    seconds = float(rng.uniform(120, 360))
    return MusicEmotion(
        path=None,
        duration=seconds,
        valence=valence,
        arousal=arousal,
        quadrant=f"Q{1 + 2 * (arousal < 5) if (valence > 5) == (arousal > 5) else 2 + 2 * (arousal < 5)}",
        moods=[Mood(MOODS[at], float(scores[at])) for at in best],
        selected_moods=[MOODS[at] for at in best if scores[at] > 0.3],
        key=Key(tonic, mode, 0.8),
        chords=[ChordSegment(at * 2.0, at * 2.0 + 2, f"{tonic}:maj") for at in range(40)],
        curve=[CurvePoint(at * 30.0, at * 30.0 + 30, valence, arousal) for at in range(8)],
        model="stand-in",
        embedding=rng.standard_normal(width).astype(np.float32),
    )


def fill(database: Path, lines: Path, rows: int, width: int) -> None:
    """A library of simulated tracks, and a JSON Lines file of the same records."""
    from m2e.library.database import FileState, Library
    from m2e.library.track import Tags

    with Library.open(database, create=True) as library, open(lines, "w") as file:
        settings = library.settings_id({"model": "stand-in"})
        for start in range(0, rows, 5000):
            with library.transaction():
                for number in range(start, min(rows, start + 5000)):
                    record = simulated(number, width)
                    path = f"/music/artist {number % 4001}/album {number % 7}/{number:06d}.flac"
                    tags = Tags(f"Artist {number % 4001}", f"Title {number}", "Album", 1950 + number % 75, "Pop")
                    key = library.content_id(f"{number:032x}")
                    library.put_file(path, FileState(number, 1, 1, number + 1), key, tags)
                    library.put_record(key, record, settings)
                    file.write(json.dumps({**record.to_dict(), "path": path, "year": tags.year}) + "\n")


def query(database: str) -> int:
    from m2e.library.database import Library
    from m2e.library.query import Tracks, search

    with Library.open(database) as library:
        tracks = Tracks(library)
        return len(list(library.tracks(tracks.ids[search(tracks, QUERY)][:50])))


def percentile(database: str) -> int:
    from m2e.library.database import Library
    from m2e.library.query import Tracks, order, search

    with Library.open(database) as library:
        tracks = Tracks(library)
        found = order(tracks, search(tracks, "arousal > 80%, valence > 60%, artist ~ 12"), "-arousal")
        return len(list(library.tracks(tracks.ids[found][:50])))


def similar(database: str) -> int:
    from m2e.library.database import Library
    from m2e.library.similarity import embeddings_of, nearest

    with Library.open(database) as library:
        ids, matrix = library.embeddings()
        return len(nearest(ids, matrix, embeddings_of(ids, matrix, [int(ids[7])]), [int(ids[7])], 10))


def playlist(database: str) -> int:
    from m2e.library.database import Library
    from m2e.library.playlists import Length
    from m2e.library.query import Tracks
    from m2e.library.selection import journey

    with Library.open(database) as library:
        return len(journey(Tracks(library), "calm", "energetic", Length(minutes=45)))


def plain(lines: str) -> int:
    """The query as a scan of the JSON Lines file."""
    found = 0
    with open(lines) as file:
        for line in file:
            record = json.loads(line)
            moods, key = record["selected_moods"], record["key"]
            found += (
                "calm" in moods
                and "happy" in moods
                and "dark" not in moods
                and record["valence"] > 6
                and (key["tonic"], key["mode"]) == ("A", "minor")
                and record["year"] >= 1990
            )
    return found


MEASURED = {"query": query, "percentiles": percentile, "similar": similar, "playlist": playlist, "plain scan": plain}


def rows(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database, lines = Path(folder) / "library.db", Path(folder) / "records.jsonl"
        start = time.perf_counter()
        fill(database, lines, arguments.rows, arguments.width)
        results: dict[str, object] = {"rows": arguments.rows, "width": arguments.width}
        results["fill seconds"] = time.perf_counter() - start
        results["MiB"] = {path.name: round(path.stat().st_size / 2**20, 1) for path in (database, lines)}
        for name in MEASURED:
            source = lines if name == "plain scan" else database
            best: dict[str, float] = {}
            for _ in range(arguments.repeat):
                command = [sys.executable, __file__, "--measure", name, str(source)]
                found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
                best = found if not best or found["seconds"] < best["seconds"] else best
            results[name] = best
        assert results["query"]["found"] == min(50, results["plain scan"]["found"])  # type: ignore[index]
        report(results, "library-rows")


def measure(name: str, source: str) -> None:
    """Prints seconds, seconds of the processor, peak memory and the number of tracks found, in a fresh process."""
    import m2e.library.selection  # noqa: F401  # imports are no part of the measurement

    start, cpu = time.perf_counter(), time.process_time()
    found = MEASURED[name](source)
    measured = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu, "found": found}
    status = Path("/proc/self/status").read_text()  # getrusage counts the parent's memory, too
    peak = next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps(measured | {"peak_mib": peak}))


def report(results: dict[str, object], name: str) -> None:
    def rounded(value: object) -> object:
        if isinstance(value, dict):
            return {key: rounded(each) for key, each in value.items()}
        return round(value, 3) if isinstance(value, float) else value

    text = json.dumps(rounded(results), indent=1)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--width", type=int, default=584)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "SOURCE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    measure(*arguments.measure) if arguments.measure else rows(arguments)


if __name__ == "__main__":
    main()
