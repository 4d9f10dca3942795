"""Scans of a music library: nothing is lost, and nothing is predicted twice.

    python benchmarks/library.py [--files 2000] [--kills 10] [--workers N] [--model]

Generates short files of seven formats in nested folders, with duplicates and bad files, and scans them; scans again;
renames a third, changes all tags, and scans; kills a scan (SIGKILL) at random moments, resumes it, and compares the
database with that of an undisturbed scan; runs two scans at once. A stand-in predicts in no time, unless --model is
given. Needs ffmpeg, for M4A. benchmarks/library_rows.py measures queries of many tracks.
"""

import argparse
import hashlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from library_rows import report, simulated

ROOT = Path(__file__).resolve().parent.parent
RATE = 22050
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "aiff", "m4a")


# --- the files ---


def generate(folder: Path, files: int, seed: int = 0) -> dict[str, int]:
    """Makes the files; how many there are of each kind: unique, duplicate, bad."""
    chance = random.Random(seed)
    bad, duplicates = max(1, files // 100), max(1, files // 20)
    unique = files - bad - duplicates
    made: list[Path] = []
    m4a = iter(_m4a(folder / "m4a", -(-unique // len(FORMATS)), seed))
    for number in range(unique):
        suffix = FORMATS[number % len(FORMATS)]
        path = _place(folder, number, suffix)
        if suffix == "m4a":
            shutil.move(next(m4a), path)
        else:
            options = {"opus": {"format": "OGG", "subtype": "OPUS"}}.get(suffix, {"format": suffix.upper()})
            soundfile.write(path, _audio(seed + number), RATE if suffix != "opus" else 24000, **options)
        made.append(path)
    shutil.rmtree(folder / "m4a")
    for number in range(duplicates):
        original = chance.choice(made)
        shutil.copy(original, original.with_name(f"copy {number}{original.suffix}"))
    for number in range(bad):
        content = (b"", b"no audio", made[number].read_bytes()[:20])[number % 3]
        _place(folder, number, "mp3", "bad").write_bytes(content)
    for number, path in enumerate(sorted(folder.rglob("*.*"))):
        tag(path, number)
    return {"unique": unique, "duplicate": duplicates, "bad": bad}


def _place(folder: Path, number: int, suffix: str, name: str = "track") -> Path:
    path = folder / f"artist {number % 37:02d}" / f"album {number % 5}" / f"{name} {number:05d}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _audio(seed: int, seconds: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    notes = rng.integers(40, 80, 4).repeat(int(seconds * RATE) // 4)
    return 0.3 * np.sin(2 * np.pi * np.cumsum(440 * 2 ** ((notes - 69) / 12)) / RATE) + rng.normal(0, 0.02, len(notes))


def _m4a(folder: Path, count: int, seed: int) -> list[Path]:
    """Files of one second each, by one run of ffmpeg."""
    folder.mkdir(parents=True)
    long = np.concatenate([_audio(seed + 10**6 + number) for number in range(count + 1)])
    soundfile.write(folder / "long.wav", long, RATE)
    command = ["ffmpeg", "-v", "error", "-i", "long.wav", "-f", "segment", "-segment_time", "1", "-c:a", "aac"]
    subprocess.run([*command, "%05d.m4a"], cwd=folder, check=True)
    return sorted(folder.glob("*.m4a"))


def tag(path: Path, number: int) -> None:
    """Gives a file an artist, a title and a year."""
    import mutagen
    from mutagen.id3 import TDRC, TIT2, TPE1

    try:
        file = mutagen.File(path)
    except mutagen.MutagenError:
        return
    if file is None:
        return
    if file.tags is None:
        file.add_tags()
    artist, title, year = f"Artist {number % 37}", f"Title {number}", str(1960 + number % 60)
    if path.suffix in (".wav", ".aiff", ".mp3"):
        for frame in (TPE1(3, [artist]), TIT2(3, [title]), TDRC(3, [year])):
            file.tags.add(frame)
    else:
        names = ("\xa9ART", "\xa9nam", "\xa9day") if path.suffix == ".m4a" else ("artist", "title", "date")
        for name, text in zip(names, (artist, title, year), strict=True):
            file[name] = [text]
    file.save()


# --- a model that answers at once ---


class StandIn:
    """Values that follow from the decoded audio; opening a file is all that takes time, and `seconds` of sleep."""

    def __init__(self, seconds: float = 0.0):
        self.seconds = seconds

    def __call__(self, path: str):  # noqa: ANN204
        from m2e.errors import AudioError

        time.sleep(self.seconds)
        try:
            file = open(path, "rb")
        except OSError as error:
            raise AudioError(f"{path}: cannot be read.") from error
        with file:
            content = file.read()
        if len(content) < 1000:
            raise AudioError(f"{path}: is no audio.")
        from m2e.library.content import content_hash

        return simulated(int(content_hash(path)[:8], 16), 584)


def stand_in(seconds: float) -> StandIn:
    return StandIn(seconds)


# --- scans ---


def scan(music: Path, database: Path, model: bool, seconds: float = 0.0, workers: int = 1) -> dict[str, float]:
    """Counts and seconds of a scan."""
    from m2e.cli.library import _load
    from m2e.library.database import Library
    from m2e.library.scan import plan_scan, run, settings_of

    load = partial(_load, None, "cpu", None, None, True) if model else partial(stand_in, seconds)
    start, cpu = time.perf_counter(), time.process_time()
    counts: dict[str, float] = {"predicted": 0, "known": 0, "failed": 0}
    with Library.open(database, create=True) as library:
        plan = plan_scan(library, [str(music)], settings_of(None, None, True))
        with run(plan, load, workers) as outcomes:
            for outcome in outcomes:
                counts[outcome.what] += 1
        counts["unchanged"], counts["missing"] = plan.unchanged, plan.finish()
    return counts | {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}


def child(arguments: list[object]) -> subprocess.Popen:
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def content(database: Path) -> str:
    """A digest of all that a library holds, whatever the order in which it was found."""
    from m2e.library.database import Library

    digest = hashlib.sha256()
    with Library.open(database) as library:
        columns = library.columns()
        ids, matrix = columns.embeddings()
        rows = {int(key): matrix[at].tobytes() for at, key in enumerate(ids)}
        valence = dict(zip(columns.ids.tolist(), columns.number("valence").tolist(), strict=True))
        for track in sorted(library.tracks(), key=lambda track: track.content):
            values = [track.content, sorted(track.paths), {**track.values, "path": None}, valence[track.id]]
            digest.update(json.dumps(values, sort_keys=True).encode() + rows[track.id])
        digest.update(json.dumps(sorted(path for path, _ in library.failures())).encode())
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    return digest.hexdigest()


def files(arguments: argparse.Namespace) -> None:
    from m2e.library.database import Library

    with tempfile.TemporaryDirectory() as folder:
        music, first = Path(folder) / "music", Path(folder) / "first.db"
        kinds = generate(music, arguments.files)
        results: dict[str, object] = {"files": arguments.files, **kinds, "formats": list(FORMATS)}
        results["model"] = "m2e-small" if arguments.model else "stand-in"
        results["scan"] = done = scan(music, first, arguments.model, workers=arguments.workers)
        assert done["predicted"] == kinds["unique"] and done["known"] == kinds["duplicate"], done
        assert done["failed"] == kinds["bad"], done
        whole = content(first)

        command = [sys.executable, "-c", "from m2e.cli import main; main()", "library", "scan", str(music)]
        start = time.perf_counter()
        again = subprocess.run([*command, "--db", str(first)], cwd=ROOT, capture_output=True, text=True, check=True)
        results["second scan"] = {"seconds": time.perf_counter() - start, "said": again.stderr.strip()}
        assert ": 0 predicted" in again.stderr, again.stderr

        moved = sorted(music.rglob("*.*"))[::3]
        for number, path in enumerate(moved):
            target = music / "renamed" / f"{number % 7}" / f"{number} {path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        for number, path in enumerate(sorted(music.rglob("*.*"))):
            tag(path, number + 1000)
        results["renamed and tagged"] = done = scan(music, first, arguments.model)
        assert done["predicted"] == done["missing"] == 0, done
        with Library.open(first) as library:
            assert len(library) == kinds["unique"] and library.count_missing() == 0

        if arguments.kills and not arguments.model:
            reference, killed, both = (Path(folder) / f"{name}.db" for name in ("reference", "killed", "both"))
            scan(music, reference, False)
            expected = content(reference)
            results["kills"] = kill(music, killed, arguments.kills, kinds["unique"])
            assert content(killed) == expected, "a killed and resumed scan differs"
            results["two scans at once"] = at_once(music, both)
            assert content(both) == expected, "two scans at once differ from one"
        assert whole
        report(results, "library-files")


def kill(music: Path, database: Path, kills: int, tracks: int) -> dict[str, object]:
    """Kills a scan at random moments until there are enough kills, then lets it end."""
    chance = random.Random(0)
    stored = [0]
    for _ in range(kills):
        scanning = child([music, database, 0.005])
        wanted = stored[-1] + chance.randint(0, max(1, tracks // (kills + 1)))
        while scanning.poll() is None and _stored(database) < wanted:
            time.sleep(0.02)
        time.sleep(chance.uniform(0.0, 0.05))
        scanning.send_signal(signal.SIGKILL)
        scanning.wait()
        stored.append(_stored(database))
    last = child([music, database, 0.0])
    counts = json.loads(last.communicate()[0])
    return {"kills": kills, "stored after each": stored[1:], "predicted by the last": counts["predicted"]}


def _stored(database: Path) -> int:
    from m2e.library.database import Library

    if not database.exists():
        return 0
    with Library.open(database, create=True) as library:
        return len(library)


def at_once(music: Path, database: Path) -> dict[str, object]:
    """Two scans of one folder into one database."""
    scans = [child([music, database, 0.005]) for _ in range(2)]
    counts = [json.loads(each.communicate()[0]) for each in scans]
    assert all(each.returncode == 0 for each in scans)
    return {"predicted": [each["predicted"] for each in counts], "known": [each["known"] for each in counts]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--model", action="store_true", help="Predict with m2e-small; leaves out the kills.")
    parser.add_argument("--child", nargs=3, metavar=("MUSIC", "DATABASE", "SECONDS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        music, database, seconds = arguments.child
        print(json.dumps(scan(Path(music), Path(database), False, float(seconds))))
    else:
        files(arguments)


if __name__ == "__main__":
    main()
