"""Scanning folders: which files are new, changed, renamed or missing, and predictions for those that need one.

plan = plan_scan(library, [folder], settings)
for outcome in run(plan, load): ...
plan.finish()
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from m2e.errors import UsageError
from m2e.inputs import Source, collect, identity
from m2e.library.analysis import Analyzer, Outcome
from m2e.library.database import FileState, KnownFile, Library
from m2e.workers import predictions

if TYPE_CHECKING:
    from m2e.library.analysis import Predict

WEIGHT_FILES = ("*.json", "*.safetensors", "*/*.json", "*/*.safetensors", "*.ckpt", "*/*.ckpt")


def settings_of(model: str | None, window: float | None, harmony: bool, tempo: bool = False) -> dict[str, Any]:
    """All that a record depends on, beside the audio. The files of a model count, not the place of its folder."""
    embedded = model is None or model == "m2e-small"
    # as m2e.checkpoints.load says, but without importing torch
    folder = Path(str(files("m2e") / "models" / "m2e-small")) if embedded else Path(str(model)).expanduser()
    return {
        "model": "m2e-small" if embedded else (folder.resolve().name if folder.is_dir() else model),
        "weights": _digest(folder) if folder.is_dir() else None,  # a hub id stands for itself
        "window": window,
        "harmony": harmony,
    } | ({"tempo": True} if tempo else {})


def _digest(folder: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted({path for pattern in WEIGHT_FILES for path in folder.glob(pattern)}):
        if path.name in ("card.json", "evaluation.json"):
            continue  # they describe the model
        with open(path, "rb") as file:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


@dataclass
class ScanPlan:
    """What a scan has to do.

    todo: files to read or to predict.  unchanged: number of the others.
    gone: known files that were not found.  away: one sentence per folder or disk that seems not to be mounted, whose
    files are not in `gone`.
    skipped: {path: reason} of what the search did not take.  errors: sentences about arguments that cannot be used.
    """

    library: Library
    settings: dict[str, Any]
    roots: list[str]
    todo: list[str] = field(default_factory=list)
    unchanged: int = 0
    gone: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def finish(self) -> int:
        """Marks what is gone as missing, and the roots as scanned; the number of files newly missing.

        After the run, which may have found some of them under other names.
        """
        before = self.library.count_missing()
        with self.library.transaction():
            self.library.mark_missing(self.gone)
            self.library.drop_old_names()
            for root in self.roots:
                self.library.put_root(root)
        return max(0, self.library.count_missing() - before)


def plan_scan(
    library: Library, paths: Sequence[str], settings: Mapping[str, Any], retry: bool = False, gone: bool = False
) -> ScanPlan:
    """Compares files with what is known of them, by size and time only.

    paths: folders, files, globs or playlists.  gone: files count as gone even if their whole disk seems to be away.
    Raises: UsageError, LibraryError.
    """
    for path in paths:
        if path == "-" or "://" in path:
            raise UsageError(f"{path} cannot be part of a library: give folders or files.")
    plan = ScanPlan(library, dict(settings), [identity(path) for path in paths if os.path.isdir(path)])
    settings_id = library.settings_id(settings)
    known = {file.path: file for file in library.files()}
    found: dict[str, FileState] = {}
    moved: dict[str, FileState] = {}  # known files whose states have changed, but not their contents
    for source in collect(paths, plan.skipped):
        path = identity(source.path)
        if source.copy is not None or "://" in source.path:  # a pipe, or an address in a playlist
            plan.errors.append(f"{source.path} cannot be part of a library: it is no file.")
            continue
        if source.error is not None:
            unreadable = os.path.exists(path) and _rest_of(path)[1] is None
            if unreadable or not any(_is_below(each, path) for each in known):  # else `_sort_out` says what is away
                plan.errors.append(source.error)
            continue
        file, state = known.get(path), _state(path)
        found[path] = state or FileState(0, 0, 0, 0)
        if file is None or state is None or not file.state.same_content(state):
            plan.todo.append(path)
            continue
        if file.state != state or file.missing:
            moved[path] = state
        if _is_done(file, settings_id, retry):
            plan.unchanged += 1
        else:
            plan.todo.append(path)
    library.mark_present(moved)
    scanned = [identity(path) for path in paths]
    lost = [
        file
        for file in known.values()
        if not file.missing and file.path not in found and any(_is_below(file.path, root) for root in scanned)
    ]
    _sort_out(plan, lost, [known[path].state.device for path in found if path in known], gone)
    return plan


def _is_done(file: KnownFile, settings_id: int, retry: bool) -> bool:
    if file.track_id is None or (retry and file.error is not None):  # a file that could not be read may be readable now
        return False
    return file.tried_id == settings_id


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _state(path: str) -> FileState | None:
    try:
        return FileState.of(os.stat(path))
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None


# --- what was not found ---


def _sort_out(plan: ScanPlan, lost: Sequence[KnownFile], devices: Sequence[int], gone: bool) -> None:
    """Divides known files that were not found into those that are gone and those whose disk or folder is away.

    A disk is there if one of its files was found (`devices`), or if the folder that is left of a path lies on it.
    """
    present = set(devices)
    kept: dict[str, list[str]] = defaultdict(list)
    folders: dict[str, tuple[str, int | None]] = {}
    for file in lost:
        if os.path.lexists(file.path):
            continue  # not searched: hidden, or in a folder that is
        folder = os.path.dirname(file.path)
        if folder not in folders:
            folders[folder] = _rest_of(folder)
        rest, device = folders[folder]
        if gone or device is not None and (file.state.device in present or file.state.device == device):
            plan.gone.append(file.path)
        else:
            kept[rest].append(file.path)
    for rest, paths in kept.items():
        count = "a file" if len(paths) == 1 else f"{len(paths)} files"
        plan.away.append(
            f"{rest} seems to be unmounted or unreadable: {count} below it stay in the library as they are "
            "(--gone marks them as missing)."
        )


def _rest_of(folder: str) -> tuple[str, int | None]:
    """(the nearest folder that exists, its device); None for the device if the folder cannot be read."""
    while True:
        try:
            os.listdir(folder)
            return folder, FileState.of(os.stat(folder)).device
        except (FileNotFoundError, NotADirectoryError):
            parent = os.path.dirname(folder)
            if parent == folder:
                return folder, None
            folder = parent
        except OSError:
            return folder, None


# --- the run ---


@contextmanager
def run(
    plan: ScanPlan, load: "Callable[[], Predict]", workers: int = 1, retry: bool = False
) -> Iterator[Iterator[Outcome]]:
    """The outcomes of the files in `plan.todo`, as they are stored.

    A second scan of the same database works from the end, so that both do not predict the same tracks.
    load: gives the model; it must be picklable for several workers.
    Raises: WorkerError, LibraryError, ModelError.
    """
    with _first(plan.library.path) as first:
        sources = [Source(path) for path in (plan.todo if first else plan.todo[::-1])]
        analyzer = partial(Analyzer, plan.library.path, plan.settings, load, retry)
        with predictions(analyzer, sources, workers) as outcomes:
            yield map(_checked, outcomes)


def _checked(outcome: Any) -> Outcome:
    if not isinstance(outcome, Outcome):  # a bug in the analyzer: its sentence
        return Outcome(outcome.path, "failed", outcome.error)
    if outcome.fatal is not None:
        raise outcome.fatal
    return outcome


@contextmanager
def _first(database: str) -> Iterator[bool]:
    """Whether no other scan of the database runs."""
    lock = FileLock(f"{database}-scan")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
