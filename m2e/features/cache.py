"""Caching of what a pass over a track yields, for training and evaluation.

Embeddings and harmony are cached apart, each in a folder named by everything that it depends on: another chord
recogniser does not cost another run of the encoder, and nothing stale is ever met. A run that is stopped at any moment
goes on where it was. See `m2e.features.store` for what the folders hold and how it is read.
"""

import hashlib
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from m2e.errors import DataError
from m2e.features.store import (
    EMBEDDINGS,
    HARMONY,
    Shards,
    ShardWriter,
    StoredFeatures,
    complete_or_absent,
    digest,
    embeddings_row,
    harmony_row,
    read_features,
    write_track,
)
from m2e.inputs import Source
from m2e.workers import predictions
from modeling_m2e import M2EProcessor
from modeling_m2e.processing_m2e import TrackFeatures
from modeling_m2e.weights_m2e import fingerprint as network_fingerprint

# To be raised where the code begins to give other numbers under the same settings.
EMBEDDINGS_VERSION = 1
HARMONY_VERSION = 5
PLAN_TRACKS = 8  # measured by each process
ROOT = Path("runs", "features")


# --- what features depend on ---


def encoder_settings(processor: M2EProcessor) -> dict[str, Any]:
    """Everything that embeddings and windows depend on, JSON-able."""
    encoder, reference = processor.encoder, processor.encoder_reference or {}
    if os.path.isdir(reference.get("id") or ""):  # the same weights may lie elsewhere on another machine
        reference = reference | {"id": None}
    return {
        "version": EMBEDDINGS_VERSION,
        "encoder": reference,
        **encoder.settings(),
        "sampling_rate": processor.feature_extractor.sampling_rate,
        "window_seconds": processor.feature_extractor.window_seconds,
    }


def harmony_settings(processor: M2EProcessor) -> dict[str, Any]:
    """Everything that chords and key depend on, JSON-able."""
    recognizer = processor.chord_recognizer
    return {
        "version": HARMONY_VERSION,
        "network": network_fingerprint(recognizer.model, leave_out=("decoding",)),  # a default; what counts follows
        "dtype": str(recognizer.model.dtype).removeprefix("torch."),
        "decoding": recognizer.decoding,
        "key": processor.key_profile,
    }


def encoder_fingerprint(processor: M2EProcessor) -> str:
    """12 hex digits that change with the encoder, its weights and the window."""
    return _fingerprint(encoder_settings(processor))


def harmony_fingerprint(processor: M2EProcessor) -> str:
    """12 hex digits that change with the chord recogniser, its weights, its decoding and the key's."""
    return _fingerprint(harmony_settings(processor))


def _fingerprint(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:12]


# --- what is there, and what is not ---


@dataclass(frozen=True)
class Job:
    """A track that lacks the features `kinds`; `audio_bytes` is None where there is no file."""

    id: str
    path: str
    audio_bytes: int | None
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class FeatureCache:
    """The cached features of a data set by one processor, as one of several ranks sees them. See `feature_cache`.

    settings: by kind of feature; embeddings come last.
    """

    folder: Path
    tracks: list[tuple[str, str]]
    settings: dict[str, dict[str, Any]]
    rank: int = 0
    world_size: int = 1

    @property
    def share(self) -> list[tuple[str, str]]:
        """The tracks of this rank: of all, not of those that are left, as ranks may start at different times."""
        return self.tracks[self.rank :: self.world_size]

    @property
    def folders(self) -> dict[str, Path]:
        """Where each kind lies."""
        return {kind: self.folder / f"{kind}-{_fingerprint(made)}" for kind, made in self.settings.items()}

    @property
    def writer(self) -> str:
        """How this rank's unfinished files are called."""
        return f"rank{self.rank:05d}"

    def jobs(self) -> list[Job]:
        """The tracks of the share that lack something, in order. Raises: DataError where audio has changed."""
        stores = {kind: Shards(folder) for kind, folder in self.folders.items()}
        jobs, changed = [], []
        for track, path in self.share:
            size = os.path.getsize(path) if os.path.isfile(path) else None
            missing = tuple(kind for kind, store in stores.items() if track not in store)
            if size is not None and any(store.audio_bytes(track) not in (None, size) for store in stores.values()):
                changed.append((track, path))
            if missing:
                jobs.append(Job(track, path, size, missing))
        if changed:
            track, path = changed[0]
            others = f" (and {len(changed) - 1} more)" if changed[1:] else ""
            raise DataError(
                f"{self.folder} holds the features of other audio than {path} by the id {track}{others}: choose "
                "another folder."
            )
        return jobs

    def writers(self) -> dict[str, ShardWriter]:
        """Where this rank packs what is done."""
        share = [track for track, _ in self.share]
        return {
            kind: ShardWriter(folder, share, self.settings[kind], self.writer) for kind, folder in self.folders.items()
        }

    def features(self) -> StoredFeatures:
        """What is there by now, of all ranks."""
        found = {kind: _fingerprint(made) for kind, made in self.settings.items()}
        return read_features(self.folder, found[EMBEDDINGS], found.get(HARMONY), HARMONY in found)


def feature_cache(
    folder: str | Path,
    tracks: Iterable[tuple[str, str | Path]],
    processor: M2EProcessor,
    harmony: bool = True,
    rank: int = 0,
    world_size: int = 1,
) -> FeatureCache:
    """The cache of a data set in a folder, which need not exist yet.

    tracks: (id, path) of all tracks, the same for all ranks; rank r takes every world_size-th of them. The ranks may be
    processes, GPUs or machines: none needs to know of the others, and their number may change from run to run.
    harmony: whether chords and key are wanted too, of a processor that has a chord recogniser.

    Raises: DataError where two tracks have one id.
    """
    tracks = [(track, os.fspath(path)) for track, path in tracks]
    track, count = Counter(track for track, _ in tracks).most_common(1)[0] if tracks else ("", 0)
    if count > 1:
        raise DataError(f"{count} tracks have the id {track}: give each an id of its own.")
    heard = harmony and processor.chord_recognizer is not None
    settings = {HARMONY: harmony_settings(processor)} if heard else {}
    return FeatureCache(Path(folder), tracks, settings | {EMBEDDINGS: encoder_settings(processor)}, rank, world_size)


def default_folder(data: str, folder: str, root: Path = ROOT) -> Path:
    """Where the features of a data set are kept if nothing else is said.

    data: name of the reader; what is read by a general one is told apart by where it lies.  folder: what it reads.
    """
    if data not in ("folder", "hub"):
        return root / data
    place = Path(folder).resolve()
    return root / f"{place.name}-{digest(str(place))[:8]}"


def audio_files(ids: Iterable[str], audio: Iterable[str | dict[str, Any]], folder: str | Path) -> list[str]:
    """The path of every track's audio; what is embedded in a data set ({"bytes", "path"}) is put into `folder`."""
    return [_audio_file(track, source, Path(folder)) for track, source in zip(ids, audio, strict=True)]


def _audio_file(track: str, source: str | dict[str, Any], folder: Path) -> str:
    if isinstance(source, str):
        return source
    if source["bytes"] is None:
        return source["path"]
    path = folder / (digest(track) + os.path.splitext(source["path"] or "")[1])
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with complete_or_absent(path, str(os.getpid())) as file:
            file.write(source["bytes"])
    return str(path)


# --- filling it ---


class Extractor:
    """Writes the features that tracks lack, in whichever process; called with the path of one."""

    def __init__(self, processor: M2EProcessor, cache_folders: dict[str, Path], writer: str, jobs: Sequence[Job]):
        self._processor, self._folders, self._writer = processor, cache_folders, f"{writer}-{os.getpid()}"
        self._jobs: dict[str, list[Job]] = {}
        for job in jobs:
            self._jobs.setdefault(job.path, []).append(job)

    def __call__(self, path: str) -> OSError | None:
        """None, or why nothing can be written. Raises: AudioError and others on the audio."""
        jobs = self._jobs[path]
        rows = self._rows(path, {kind for job in jobs for kind in job.kinds})
        try:
            for job in jobs:
                for kind in job.kinds:
                    write_track(self._folders[kind], job.id, job.audio_bytes, rows[kind], self._writer)
        except OSError as error:  # the disk's fault, not the track's
            return error
        return None

    def _rows(self, path: str, kinds: set[str]) -> dict[str, pa.Table]:
        if kinds == {HARMONY}:
            return {HARMONY: harmony_row(*self._processor.hear_harmony(path))}
        track = self._processor.analyze(path, harmony=HARMONY in kinds)
        rows = {EMBEDDINGS: embeddings_row(track)}
        return rows | ({HARMONY: harmony_row(track.chords, track.key, track.statistics)} if HARMONY in kinds else {})


def compute(
    cache: FeatureCache,
    jobs: Sequence[Job],
    load: Callable[[], M2EProcessor],
    workers: int = 1,
    begin: Callable[[int, str], Any] = lambda done, path: None,
) -> list[str]:
    """The sentences on the jobs that failed, once all others are done and packed.

    load: gives the cache's processor; called once in every worker, and picklable if there are several.
    begin: called with the number of jobs that are done and the path of the next, "" after the last.

    Raises: ModelError, WorkerError; OSError where nothing can be written.
    """
    writers, failures = cache.writers(), []
    load_extractor = partial(_load_extractor, load, cache.folders, cache.writer, jobs)
    with predictions(load_extractor, [_source(job) for job in jobs], workers) as results:
        for done, job in enumerate(jobs):
            begin(done, job.path)
            result = next(results)
            if isinstance(result, OSError):
                raise result
            if result is not None:  # the record of a failed track
                failures.append(result.error)
                continue
            for kind in job.kinds:
                writers[kind].adopt(job.id)
        begin(len(jobs), "")
    for writer in writers.values():
        writer.finish()
    return failures


def _load_extractor(load: Callable[[], M2EProcessor], *what) -> Extractor:
    return Extractor(load(), *what)


def _source(job: Job) -> Source:
    return Source(job.path, None if job.audio_bytes is not None else f"{job.path}: there is no such file.")


def cached_features(
    ids: Sequence[str],
    paths: Sequence[str | Path],
    processor: M2EProcessor,
    folder: str | Path,
    report: Callable[[str], None] = print,
) -> list[TrackFeatures | None]:
    """The features of all tracks, in order; computed where the cache lacks them, None where the audio is bad."""
    cache = feature_cache(folder, zip(ids, paths, strict=True), processor)
    jobs = cache.jobs()

    def begin(done: int, path: str) -> None:
        if done % 50 == 0 or done == len(jobs):
            report(f"features {len(ids) - len(jobs) + done}/{len(ids)}")

    for failure in compute(cache, jobs, lambda: processor, begin=begin):
        report(f"skipped: {failure}")
    features = cache.features()
    return [replace(features[track], path=path) if track in features else None for track, path in cache.tracks]


# --- what it will take ---


@dataclass(frozen=True)
class Plan:
    """What the tracks that are left will take, as far as a few of them tell.

    measured: how many these were; `failed` of them could not be read.  tracks_per_second: of all processes and ranks.
    seconds: until all ranks are done.  size: bytes on disk.
    """

    measured: int
    failed: list[str]
    tracks_per_second: float
    seconds: float
    size: int


def plan(
    cache: FeatureCache, jobs: Sequence[Job], load: Callable[[], M2EProcessor], workers: int = 1, ranks: int = 1
) -> Plan:
    """The plan for these jobs of all ranks together; nothing is written to the cache.

    Some tracks, evenly spread, are measured with as many processes at once as there will be. Time and size are taken
    to grow with the size of the audio files.

    Raises: DataError where none of them can be read; see also `compute`.
    """
    there = [job for job in jobs if job.audio_bytes]
    count = min(len(there), (1 + PLAN_TRACKS) * workers)
    if not count:
        raise DataError(f"None of {len(jobs)} audio files is there, the first is {jobs[0].path}: check the folder.")
    sample = [there[index * len(there) // count] for index in range(count)]
    warm = workers if workers < count else 0  # the first track of a process takes longer
    times = []
    with tempfile.TemporaryDirectory(prefix="m2e-plan-") as folder:
        scratch = replace(cache, folder=Path(folder), rank=0, world_size=1)
        failed = compute(scratch, sample, load, workers, begin=lambda done, path: times.append(time.perf_counter()))
        written = sum(file.stat().st_size for file in Path(folder).rglob("shard-*.arrow"))
    if len(failed) == count:
        raise DataError(f"None of {count} tracks could be read, the first for this reason: {failed[0]}")
    # time and size of a byte of audio
    every, each, timed = (sum(job.audio_bytes for job in some) for some in (there, sample, sample[warm:]))
    seconds = (times[-1] - times[warm]) * every / timed / ranks
    return Plan(count, failed, len(there) / seconds, seconds, round(written * every / each))
