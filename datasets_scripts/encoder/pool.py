"""The encoder's unlabelled audio: clips of at most 30 s, mono, 22,050 Hz, in shards, and a table of them.

    python -m datasets_scripts.encoder.pool OUT --panda4q 4Q --emotify EMOTIFY --emopia EMOPIA --packages PACKAGES

OUT gets `index/SOURCE.csv`, the clips of each source, and `audio/SHARD.npy`, 64 clips each as 16-bit integers. A source
keeps the clips of its first run; the same command resumes an interrupted run. No clip of a test split is taken.
"""

import argparse
import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import soundfile

from m2e.datasets.archive import read_table
from m2e.datasets.emopia import video
from m2e.errors import AudioError, DataError
from m2e.inputs import AUDIO_SUFFIXES
from m2e.storage import write_text, write_whole
from modeling_m2e.audio_m2e import load

SAMPLING_RATE = 22050  # Hz
CLIP_SECONDS = 30.0
MIN_SECONDS = 10.0  # shorter recordings are mostly sound effects
SHARD_CLIPS = 64
HELD_OUT_SHARE = 0.06  # of the groups of a source without splits of its own


@dataclass(frozen=True)
class Recording:
    """An audio file of a source. group: what must not be divided between splits, such as an artist."""

    path: Path
    group: str
    split: str
    licence: str


@dataclass(frozen=True)
class Clip:
    """A stretch of a recording, and where its samples lie: row `row` of `audio/SHARD.npy`."""

    source: str
    path: str
    start: float
    seconds: float
    group: str
    split: str
    licence: str
    shard: str
    row: int


# --- sources ---


def panda4q(folder: Path) -> Iterator[Recording]:
    for row in read_table(folder / "metadata.csv"):
        if row["split"] != "test":
            path = folder / "audio" / f"{row['song_id']}.opus"
            yield Recording(path, row["artist"] or row["song_id"], row["split"], "research only")


def emotify(folder: Path) -> Iterator[Recording]:
    files = {path.stem.lstrip("0"): path for path in (folder / "audio").iterdir()}  # 001.opus is track 1
    for row in read_table(folder / "labels.csv"):
        yield Recording(files[row["track_id"]], row["artist"], split_of(row["artist"]), "CC BY-NC-SA (Magnatune)")


def emopia(folder: Path, rendered: Path) -> Iterator[Recording]:
    """Renderings in the folder `rendered` of the clips in EMOPIA's training and validation lists."""
    for split, short in (("train", "train"), ("validation", "val")):
        for row in read_table(folder / f"split_{short}.csv"):
            name = row["fname"].removesuffix(".mid")
            path = rendered / f"{name}.flac"
            if path.is_file():
                yield Recording(path, video(name), split, "CC BY-NC-SA 4.0")


def package(folder: Path) -> Iterator[Recording]:
    """The audio files that `packages` kept of a Debian package, each content once."""
    licences = sorted({name for path in folder.rglob("copyright") for name in _licences(path)})
    licence = "; ".join(licences) or "see its copyright file"
    seen = set()
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES):
        content = hashlib.sha256(path.read_bytes()).digest()
        if content not in seen:
            seen.add(content)
            yield Recording(path, path.stem, split_of(path.stem), licence)


def _licences(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return [name.strip() for name in re.findall(r"^License:(.+)$", text, re.MULTILINE)]


def folder_of_audio(folder: Path) -> Iterator[Recording]:
    """All audio files below a folder, such as renderings of scores."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES):
        yield Recording(path, path.stem, split_of(path.stem), "as stated by its owner")


def split_of(group: str) -> str:
    """`validation` for `HELD_OUT_SHARE` of all groups, always the same ones."""
    fraction = int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) / 2**32
    return "validation" if fraction < HELD_OUT_SHARE else "train"


# --- clips ---


def cut(seconds: float) -> list[tuple[float, float]]:
    """(start, length) of the clips of a recording; a rest shorter than `MIN_SECONDS` is dropped."""
    if seconds < MIN_SECONDS:
        return []
    starts = np.arange(0.0, max(seconds - MIN_SECONDS, 0.0) + 1e-6, CLIP_SECONDS)
    return [(float(start), min(CLIP_SECONDS, seconds - float(start))) for start in starts]


def plan(source: str, recordings: Iterable[Recording]) -> list[Clip]:
    """The clips of a source in order; a file that cannot be opened is skipped with a message."""
    clips: list[Clip] = []
    for recording in recordings:
        try:
            seconds = soundfile.info(recording.path).duration
        except soundfile.LibsndfileError as error:
            print(f"skipped: {error}", flush=True)
            continue
        for start, length in cut(seconds):
            shard, row = divmod(len(clips), SHARD_CLIPS)
            place = f"{source}-{shard:03}", row
            about = recording.group, recording.split, recording.licence
            clips.append(Clip(source, str(recording.path), start, round(length, 3), *about, *place))
    return clips


def write_index(path: Path, clips: list[Clip]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(Clip)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(clip) for clip in clips)
    write_text(path, text.getvalue())


def read_index(pool: Path, sources: Iterable[str] = ()) -> list[Clip]:
    """The clips of all sources, or of the named ones in their order. Raises DataError."""
    folder = pool / "index"
    names = list(sources) or sorted(path.stem for path in folder.glob("*.csv"))
    clips = []
    for name in names:
        if not (folder / f"{name}.csv").is_file():
            raise DataError(f"{folder} has no {name}.csv: run datasets_scripts.encoder.pool for this source first.")
        for row in read_table(folder / f"{name}.csv"):
            start, seconds, place = float(row.pop("start")), float(row.pop("seconds")), int(row.pop("row"))
            clips.append(Clip(start=start, seconds=seconds, row=place, **row))
    if not clips:
        raise DataError(f"{pool} holds no clips: run datasets_scripts.encoder.pool first.")
    return clips


def by_shard(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    """{shard: its clips in order of their rows}."""
    shards: dict[str, list[Clip]] = {}
    for clip in clips:
        shards.setdefault(clip.shard, []).append(clip)
    return {shard: sorted(members, key=lambda clip: clip.row) for shard, members in shards.items()}


# --- audio ---


@lru_cache(maxsize=1)  # the clips of a recording follow each other
def _recording(path: str, sampling_rate: int) -> np.ndarray | None:
    try:
        return load(path, sampling_rate)[0]
    except AudioError as error:
        print(f"skipped: {error}", flush=True)
        return None


def read_clip(clip: Clip, sampling_rate: int) -> np.ndarray | None:
    """The clip's waveform (samples,) at a rate, float32; None where it cannot be read or is silent."""
    waveform = _recording(clip.path, sampling_rate)
    if waveform is None:
        return None
    start = round(clip.start * sampling_rate)
    waveform = waveform[start : start + round(clip.seconds * sampling_rate)]
    return waveform if len(waveform) >= MIN_SECONDS / 2 * sampling_rate and abs(waveform).max() > 1e-3 else None


def write_shard(path: Path, clips: list[Clip]) -> None:
    """(clips, samples) int16, padded with zeros; a clip that cannot be used is all zeros."""
    samples = np.zeros((len(clips), round(CLIP_SECONDS * SAMPLING_RATE)), np.int16)
    for row, clip in zip(samples, clips, strict=True):
        waveform = read_clip(clip, SAMPLING_RATE)
        if waveform is not None:
            length = min(len(waveform), len(row))
            row[:length] = np.round(waveform[:length].clip(-1, 1) * 32767)

    def write(partial_path: Path) -> None:
        with open(partial_path, "wb") as file:
            np.save(file, samples)

    write_whole(path, write)


def clip_samples(pool: Path, clip: Clip) -> np.ndarray:
    """(samples,) int16 of a clip that `write_shard` has written, mapped from its file."""
    shard = np.load(pool / "audio" / f"{clip.shard}.npy", mmap_mode="r")
    return shard[clip.row, : round(clip.seconds * SAMPLING_RATE)]


def build(out: Path, sources: dict[str, Callable[[], Iterable[Recording]]]) -> None:
    """Writes what is missing of the indices and shards of these sources."""
    for source, recordings in sources.items():
        index = out / "index" / f"{source}.csv"
        if not index.exists():
            write_index(index, plan(source, recordings()))
        if not sum(1 for _ in index.open()) > 1:
            continue
        clips = read_index(out, [source])
        hours = sum(clip.seconds for clip in clips) / 3600
        print(f"{source}: {len(clips)} clips, {hours:.2f} hours", flush=True)
        for shard, members in by_shard(clips).items():
            path = out / "audio" / f"{shard}.npy"
            if not path.exists():
                write_shard(path, members)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--panda4q", type=Path, help="4Q folder with metadata.csv; its test split is skipped")
    parser.add_argument("--emotify", type=Path, help="Emotify folder with labels.csv")
    parser.add_argument("--emopia", type=Path, help="EMOPIA folder; every rendered-FONT in it is a source")
    parser.add_argument("--packages", type=Path, help="folder that datasets_scripts.encoder.packages has filled")
    parser.add_argument(
        "--folder", action="extend", nargs="+", default=[], metavar="NAME=PATH", help="any folder of audio files"
    )
    args = parser.parse_args()
    sources: dict[str, Callable[[], Iterable[Recording]]] = {}
    if args.panda4q:
        sources["panda4q"] = partial(panda4q, args.panda4q)
    if args.emotify:
        sources["emotify"] = partial(emotify, args.emotify)
    for folder in sorted(args.packages.iterdir()) if args.packages else ():
        sources[folder.name] = partial(package, folder)
    for rendered in sorted(args.emopia.glob("rendered-*")) if args.emopia else ():
        sources[f"emopia-{rendered.name.removeprefix('rendered-')}"] = partial(emopia, args.emopia, rendered)
    for text in args.folder:
        name, _, path = text.partition("=")
        sources[name] = partial(folder_of_audio, Path(path))
    build(args.out, sources)


if __name__ == "__main__":
    main()
