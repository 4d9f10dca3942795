"""Cached features of data sets, for training and evaluation.

Embeddings and harmony are cached separately, each in a folder named by everything that it depends on: another chord
recogniser does not need another run of the encoder, and stale features are never read. An interrupted run resumes where
it stopped. See `m2e.features.store` for the files.
"""

import hashlib
import json
import os
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

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
    write_track,
)
from m2e.inputs import Source
from m2e.remote import file_size, is_remote
from m2e.workers import predictions
from modeling_m2e import M2EProcessor
from modeling_m2e.processing_m2e import TrackFeatures
from modeling_m2e.record_m2e import FailedTrack
from modeling_m2e.silence_m2e import SOFTEST
from modeling_m2e.weights_m2e import fingerprint as network_fingerprint

# Bump when cached values change under the same settings.
EMBEDDINGS_VERSION = 1
HARMONY_VERSION = 6
PLAN_TRACKS = 8  # measured by each process
ROOT = Path("runs", "features")


# --- what features depend on ---


def encoder_settings(processor: M2EProcessor) -> dict[str, Any]:
    """Everything that embeddings and windows depend on, JSON-able."""
    encoder, extractor, reference = processor.encoder, processor.feature_extractor, processor.encoder_reference or {}
    if os.path.isdir(reference.get("id") or ""):  # the same weights may lie elsewhere on another machine
        reference = reference | {"id": None}
    return {
        "version": EMBEDDINGS_VERSION,
        "encoder": reference,
        **encoder.settings(),
        "sampling_rate": extractor.sampling_rate,
        "window_seconds": extractor.window_seconds,
        **({"skip_silence": SOFTEST} if extractor.skip_silence else {}),  # else caches keep their names
        **({"hop_seconds": extractor.hop_seconds} if extractor.hop_seconds is not None else {}),
    }


def harmony_settings(processor: M2EProcessor) -> dict[str, Any]:
    """Everything that chords and key depend on, JSON-able."""
    recognizer = processor.chord_recognizer
    if recognizer is None:
        raise TypeError("This processor has no chord recogniser.")
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


# --- cached and missing features ---


@dataclass(frozen=True)
class Job:
    """A track that lacks the features `kinds`; `audio_bytes` is None if there is no file."""

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
        """The tracks of this rank: of all tracks, not of the missing ones, as ranks may start at different times."""
        return self.tracks[self.rank :: self.world_size]

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each kind."""
        return {kind: self.folder / f"{kind}-{_fingerprint(made)}" for kind, made in self.settings.items()}

    @property
    def writer(self) -> str:
        """The name of this rank in the names of its unfinished files."""
        return f"rank{self.rank:05d}"

    @cached_property
    def shards(self) -> dict[str, Shards]:
        """The rows of each kind; files are indexed once, `refresh` adds new ones."""
        return {kind: Shards(folder) for kind, folder in self.folders.items()}

    def jobs(self) -> list[Job]:
        """The tracks of the share that lack something, in order. Raises: DataError if audio has changed."""
        jobs, changed = [], []
        for store in self.shards.values():
            store.refresh()
        for track, path in self.share:
            missing = tuple(kind for kind, store in self.shards.items() if track not in store)
            size = file_size(path) if missing or not is_remote(path) else None  # a store is asked for what is missing
            if size is not None and any(store.audio_bytes(track) not in (None, size) for store in self.shards.values()):
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

    @contextmanager
    def writers(self) -> Iterator[dict[str, ShardWriter]]:
        """The writers of this rank, by kind. Raises: DataError while another command writes to the folder."""
        share, writers = [track for track, _ in self.share], dict[str, ShardWriter]()
        try:
            for kind, shards in self.shards.items():
                writers[kind] = ShardWriter(shards, share, self.settings[kind], self.writer)
            yield writers
        finally:
            for writer in writers.values():
                writer.release()

    def unpacked(self) -> bool:
        """Whether a stopped run has left tracks of the share in files of their own."""
        share = {track for track, _ in self.share}
        return any(share & shards.single() for shards in self.shards.values())

    def features(self) -> StoredFeatures:
        """The features computed so far, of all ranks."""
        for store in self.shards.values():
            store.refresh()
        return StoredFeatures(self.shards[EMBEDDINGS], self.shards.get(HARMONY))


def feature_cache(
    folder: str | Path,
    tracks: Iterable[tuple[str, str | Path]],
    processor: M2EProcessor,
    harmony: bool = True,
    rank: int = 0,
    world_size: int = 1,
) -> FeatureCache:
    """The cache of a data set in a folder, which need not exist yet.

    tracks: (id, path) of all tracks, the same for all ranks; rank r takes every world_size-th of them. Ranks are
    processes, GPUs or machines that need not know of each other; their number may change from run to run.
    harmony: also cache chords and key, if the processor has a chord recogniser.

    Raises: DataError if two tracks have one id.
    """
    named = [(track, os.fspath(path)) for track, path in tracks]
    track, count = Counter(track for track, _ in named).most_common(1)[0] if named else ("", 0)
    if count > 1:
        raise DataError(f"{count} tracks have the id {track}: give each an id of its own.")
    settings = {EMBEDDINGS: encoder_settings(processor)}
    if harmony and processor.chord_recognizer is not None:
        settings = {HARMONY: harmony_settings(processor)} | settings
    return FeatureCache(Path(folder), named, settings, rank, world_size)


def default_folder(data: str, folder: str, root: Path = ROOT) -> Path:
    """The default folder of the features of a data set.

    data: name of the reader; the name of a general reader's folder depends on where the data lie.  folder: its input.
    """
    if data not in ("folder", "hub"):
        return root / data
    place = Path(folder).resolve()
    return root / f"{place.name}-{digest(str(place))[:8]}"


def audio_files(ids: Iterable[str], audio: Iterable[str | dict[str, Any]], folder: str | Path) -> list[str]:
    """The path of every track's audio; audio embedded in a data set ({"bytes", "path"}) is written to `folder`."""
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


# --- computing features ---

# (load, sources, workers) -> what an Extractor gives for each source, or the record of a failed track
Run: TypeAlias = Callable[..., AbstractContextManager[Iterator[OSError | FailedTrack | None]]]


class Extractor:
    """Writes the missing features of tracks, in any process; called with the path of one."""

    def __init__(self, processor: M2EProcessor, cache_folders: dict[str, Path], writer: str, jobs: Sequence[Job]):
        self._processor, self._folders = processor, cache_folders
        self._writer = f"{writer}-{uuid.uuid4().hex}"  # processes of several machines may have one number
        self._jobs: dict[str, list[Job]] = {}
        for job in jobs:
            self._jobs.setdefault(job.path, []).append(job)

    def __call__(self, path: str) -> OSError | None:
        """None, or the error that stopped the writing. Raises: AudioError and others about the audio."""
        jobs = self._jobs[path]
        rows = self._rows(path, {kind for job in jobs for kind in job.kinds})
        try:
            for job in jobs:
                for kind in job.kinds:
                    write_track(self._folders[kind], job.id, job.audio_bytes or 0, rows[kind], self._writer)
        except OSError as error:  # the disk's fault, not the track's
            return error
        return None

    def _rows(self, path: str, kinds: set[str]) -> dict[str, pa.Table]:
        if kinds == {HARMONY}:
            harmony = self._processor.analyze_harmony(path)
            return {HARMONY: harmony_row(harmony.chords, harmony.key, harmony.statistics)}
        track = self._processor.analyze(path, harmony=HARMONY in kinds)
        rows = {EMBEDDINGS: embeddings_row(track)}
        if HARMONY in kinds:
            rows[HARMONY] = harmony_row(track.chords or [], track.key, track.statistics)
        return rows


def compute(
    cache: FeatureCache,
    jobs: Sequence[Job],
    load: Callable[[], M2EProcessor],
    workers: int = 1,
    begin: Callable[[int, str], Any] = lambda done, path: None,
    run: Run = predictions,
) -> list[str]:
    """The error sentences of the jobs that failed, once all others are done and packed.

    load: gives the cache's processor; called once in every worker, and picklable if there are several.
    begin: called with the number of jobs that are done and the path of the next, "" after the last.
    run: gives the workers their tracks, as `predictions` does.

    Raises: ModelError, WorkerError; DataError while another command writes to the folder; OSError if nothing can be
    written.
    """
    if not jobs and not cache.unpacked():
        return []
    failures: list[str] = []
    load_extractor = partial(_load_extractor, load, cache.folders, cache.writer, jobs)
    with cache.writers() as writers:
        with run(load_extractor, [_source(job) for job in jobs], workers) as results:
            for done, job in enumerate(jobs):
                begin(done, job.path)
                result = next(results)
                if isinstance(result, OSError):
                    raise result
                if result is not None:
                    failures.append(result.error)
                    continue
                for kind in job.kinds:
                    writers[kind].adopt(job.id)
            begin(len(jobs), "")
        for writer in writers.values():
            writer.finish()
    return failures


def _load_extractor(
    load: Callable[[], M2EProcessor], cache_folders: dict[str, Path], writer: str, jobs: Sequence[Job]
) -> Extractor:
    return Extractor(load(), cache_folders, writer, jobs)


def _source(job: Job) -> Source:
    return Source(job.path, None if job.audio_bytes is not None else f"{job.path}: there is no such file.")


def cached_features(
    ids: Sequence[str],
    paths: Sequence[str | Path],
    processor: M2EProcessor,
    folder: str | Path,
    report: Callable[[str], None] = print,
) -> list[TrackFeatures | None]:
    """The features of all tracks, in order; missing ones are computed, None where the audio cannot be read."""
    cache = feature_cache(folder, zip(ids, paths, strict=True), processor)
    jobs = cache.jobs()

    def begin(done: int, path: str) -> None:
        if done % 50 == 0 or done == len(jobs):
            report(f"features {len(ids) - len(jobs) + done}/{len(ids)}")

    for failure in compute(cache, jobs, lambda: processor, begin=begin):
        report(f"skipped: {failure}")
    features = cache.features()
    return [replace(features[track], path=path) if track in features else None for track, path in cache.tracks]


# --- estimates ---


@dataclass(frozen=True)
class Plan:
    """The time and disk space that the remaining tracks need, estimated from a few of them.

    measured: number of tracks measured.  failed: the error sentences of those that could not be read.
    tracks_per_second: of all processes and ranks.  seconds: until all ranks are done.  size: bytes on disk.
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

    Some tracks, evenly spread, are measured with as many processes as the run will have. Time and size are assumed
    proportional to the size of the audio files.

    Raises: DataError if none of them can be read; see also `compute`.
    """
    present = [job for job in jobs if job.audio_bytes]
    count = min(len(present), (1 + PLAN_TRACKS) * workers)
    if not count:
        raise DataError(f"None of {len(jobs)} audio files exists, the first is {jobs[0].path}: check the folder.")
    sample = [present[index * len(present) // count] for index in range(count)]
    warm = workers if workers < count else 0  # the first track of a process takes longer
    times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="m2e-plan-") as folder:
        scratch = replace(cache, folder=Path(folder), rank=0, world_size=1)
        failed = compute(scratch, sample, load, workers, begin=lambda done, path: times.append(time.perf_counter()))
        written = sum(file.stat().st_size for file in Path(folder).rglob("shard-*.arrow"))
    if len(failed) == count:
        raise DataError(f"None of {count} tracks could be read, the first for this reason: {failed[0]}")
    all_bytes, sample_bytes, timed_bytes = (
        sum(job.audio_bytes or 0 for job in some) for some in (present, sample, sample[warm:])
    )
    seconds = (times[-1] - times[warm]) * all_bytes / timed_bytes / ranks
    return Plan(count, failed, len(present) / seconds, seconds, round(written * all_bytes / sample_bytes))
