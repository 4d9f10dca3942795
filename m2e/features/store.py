"""The files of cached features: tables with one row per track, in folders named by all that the values depend on.

    FOLDER/embeddings-1a2b3c4d5e6f/settings.json     what the digits stand for
                                   shard-*.arrow     256 tracks each, never changed once written
                                   tracks/*.arrow    one track each: done, but not in a shard yet
                                   rank00000.lock    held by the command that writes
    FOLDER/harmony-0f1e2d3c4b5a/...

A file is written under a temporary name and renamed, so that a kill loses only the track in work. A shard is named by
its tracks: copying merges what several processes or machines have written. The files are Arrow streams, as those of
`datasets`; shards are mapped into memory, not read.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import torch
from filelock import FileLock, Timeout

from m2e.errors import DataError
from modeling_m2e import ChordSegment, Key
from modeling_m2e.harmony_statistics_m2e import CELL_NUMBERS
from modeling_m2e.processing_m2e import TrackFeatures
from modeling_m2e.windows_m2e import Window

if TYPE_CHECKING:
    from datasets import Dataset

EMBEDDINGS, HARMONY = "embeddings", "harmony"
SHARD_TRACKS = 256

_CHORDS = pa.list_(pa.struct({"start": pa.float64(), "end": pa.float64(), "label": pa.string()}))
_CELLS = pa.list_(pa.list_(pa.float32(), CELL_NUMBERS))
_KEY = pa.struct({"tonic": pa.string(), "mode": pa.string(), "confidence": pa.float64()})


# --- one track, one row ---


def embeddings_row(track: TrackFeatures) -> pa.Table:
    """duration, windows (start, end, weight of each) and embeddings (float16) of a track.

    Raises: DataError for a value beyond the range of float16.
    """
    with np.errstate(over="ignore"):
        embeddings = track.embeddings.numpy().astype(np.float16)
    if not np.isfinite(embeddings).all():
        raise DataError(f"{track.path}: has embeddings beyond the range of half precision: leave this track out.")
    windows = np.array([[window.start, window.end, window.weight] for window in track.windows], np.float64)
    return pa.table(
        {"duration": [track.duration], "windows": _list_of_rows(windows), "embeddings": _list_of_rows(embeddings)}
    )


def harmony_row(chords: Sequence[ChordSegment], key: Key | None, statistics: np.ndarray | None = None) -> pa.Table:
    """chords (start, end, label of each), key (null if undecided) and statistics (cells, or null) of a track."""
    return pa.table(
        {
            "chords": pa.array([[vars(chord) for chord in chords]], _CHORDS),
            "key": pa.array([None if key is None else vars(key)], _KEY),
            "statistics": pa.nulls(1, _CELLS) if statistics is None else _list_of_rows(statistics),
        }
    )


def _list_of_rows(array: np.ndarray) -> pa.Array:
    """One value: a matrix as a list of rows of equal length."""
    rows = pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])
    return pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), rows)


def _matrix(value: pa.ListScalar) -> np.ndarray:
    """What `_list_of_rows` was given, as a view of the file."""
    return value.values.flatten().to_numpy().reshape(len(value.values), -1)


# --- rows in files ---


def write_track(folder: Path, track: str, audio_bytes: int, row: pa.Table, writer: str) -> None:
    """Adds the row of a track, whose audio file has `audio_bytes`, to a folder that a `ShardWriter` has prepared.

    writer: a name of this process; no other process that writes to this folder has the same.
    """
    columns = {"id": pa.array([track]), "audio_bytes": pa.array([audio_bytes])}
    _write(
        pa.table(columns | dict(zip(row.column_names, row.columns, strict=True))), _track_file(folder, track), writer
    )


class Shards:
    """The rows of one folder by track; a track in two files counts once. Every file is read or mapped once."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._files: dict[Path, list[str]] = {}  # the tracks in each
        self._rows: dict[str, tuple[pa.Table, int]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Adds what other processes have written since. Raises: DataError for a damaged shard."""
        # Single tracks first: one that another process packs meanwhile then appears in its shard.
        for path in self._unread("tracks/*.arrow"):
            try:
                self._add(path, _read(path))
            except (OSError, pa.ArrowInvalid):  # packed meanwhile; cut short when the power failed
                continue
        for path in self._unread("shard-*.arrow"):
            self._add(path, _mapped(path))
        for path in [path for path in self._files if not path.exists()]:
            del self._files[path]

    @property
    def files(self) -> list[Path]:
        """The files that hold the rows."""
        return list(self._files)

    def single(self) -> set[str]:
        """The tracks with a file of their own."""
        return self._tracks_in(lambda path: path.parent != self.folder)

    def packed(self) -> set[str]:
        """The tracks in shards."""
        return self._tracks_in(lambda path: path.parent == self.folder)

    def __contains__(self, track: object) -> bool:
        return track in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, track: str) -> dict[str, pa.Scalar]:
        """The values of a track by column. Raises: KeyError."""
        table, index = self._rows[track]
        return {name: table.column(name)[index] for name in table.column_names}

    def audio_bytes(self, track: str) -> int | None:
        """The size of the track's audio file; None for a track that is not in the folder."""
        if track not in self._rows:
            return None
        table, index = self._rows[track]
        return table.column("audio_bytes")[index].as_py()

    def table(self, tracks: Iterable[str]) -> pa.Table:
        """The rows of at least one track, in their order."""
        return pa.concat_tables([table.slice(index, 1) for table, index in (self._rows[track] for track in tracks)])

    def add_track(self, track: str) -> None:
        """Adds a track that `write_track` has written."""
        path = _track_file(self.folder, track)
        self._add(path, _read(path))

    def pack(self, tracks: Sequence[str], writer: str) -> None:
        """Moves tracks from files of their own into one shard. writer: as in `write_track`."""
        shard = self.folder / f"shard-{digest(*tracks)}.arrow"
        _write(self.table(tracks).combine_chunks(), shard, writer)
        self._add(shard, _mapped(shard))
        self.remove_single(tracks)

    def remove_single(self, tracks: Iterable[str]) -> None:
        """Deletes the files of packed tracks."""
        for path in [_track_file(self.folder, track) for track in tracks]:
            path.unlink(missing_ok=True)
            self._files.pop(path, None)

    def _unread(self, pattern: str) -> list[Path]:
        return sorted(path for path in self.folder.glob(pattern) if path not in self._files)

    def _add(self, path: Path, table: pa.Table) -> None:
        tracks = self._files[path] = table.column("id").to_pylist()
        self._rows.update((track, (table, index)) for index, track in enumerate(tracks))

    def _tracks_in(self, kind: Callable[[Path], bool]) -> set[str]:
        return {track for path, tracks in self._files.items() if kind(path) for track in tracks}


class ShardWriter:
    """The only process that packs the tracks of `share` into shards of one folder, until `release`.

    settings: what the name of the folder stands for, written down for people.
    writer: as in `write_track`; unfinished files of processes whose names begin with it are deleted.

    Raises: DataError while another command writes to the folder under this name.
    """

    def __init__(self, shards: Shards, share: Sequence[str], settings: dict[str, Any], writer: str):
        self.shards, self._writer = shards, writer
        folder = shards.folder
        (folder / "tracks").mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / f"{writer}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise DataError(
                f"Another command is writing to {folder.parent}: wait for it, or give another folder."
            ) from None
        for leftover in [*folder.glob(f"{writer}*.partial"), *folder.glob(f"tracks/{writer}*.partial")]:
            leftover.unlink()
        with complete_or_absent(folder / "settings.json", writer) as file:
            file.write((json.dumps(settings, indent=2) + "\n").encode())
        shards.refresh()  # another command may have written before this one had the lock
        single, packed = shards.single(), shards.packed()
        shards.remove_single([track for track in share if track in single & packed])  # a kill came between the two
        self._waiting = [track for track in share if track in single - packed]
        self._pack_full_shards()

    def adopt(self, track: str) -> None:
        """Takes over a track of the share that `write_track` has written, and packs a shard when one is full."""
        self.shards.add_track(track)
        self._waiting.append(track)
        self._pack_full_shards()

    def finish(self) -> None:
        """Packs the last tracks of the share, however few."""
        if self._waiting:
            self.shards.pack(self._waiting, self._writer)
            self._waiting = []

    def release(self) -> None:
        """Lets other commands write to the folder."""
        self._lock.release()

    def _pack_full_shards(self) -> None:
        while len(self._waiting) >= SHARD_TRACKS:
            self.shards.pack(self._waiting[:SHARD_TRACKS], self._writer)
            del self._waiting[:SHARD_TRACKS]


def _track_file(folder: Path, track: str) -> Path:
    return folder / "tracks" / f"{digest(track)}.arrow"  # an id may hold what no file name can


def digest(*names: str) -> str:
    """16 hex digits that stand for these names."""
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@contextmanager
def complete_or_absent(path: Path, writer: str) -> Iterator[BinaryIO]:
    """A file that gets its name when the block ends; see `write_track` for `writer`."""
    partial = path.with_name(f"{writer}.partial")
    with open(partial, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _write(table: pa.Table, path: Path, writer: str) -> None:
    with complete_or_absent(path, writer) as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)


def _read(path: Path) -> pa.Table:
    return pa.ipc.open_stream(path.read_bytes()).read_all()


def _mapped(path: Path) -> pa.Table:
    try:
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} is damaged ({error}): delete it, and compute its tracks again.") from error


# --- rows as features ---


class StoredFeatures(Mapping[str, TrackFeatures]):
    """The features of every track by its id, each read on access. See `read_features`."""

    def __init__(self, embeddings: Shards, harmony: Shards | None):
        self._embeddings, self._harmony = embeddings, harmony
        self._tracks = sorted(track for track in embeddings if harmony is None or track in harmony)

    def __getitem__(self, track: str) -> TrackFeatures:
        chords = key = statistics = None
        if self._harmony is not None:
            harmony = self._harmony.row(track)
            chords = [ChordSegment(**chord) for chord in harmony["chords"].as_py()]
            key = Key(**harmony["key"].as_py()) if harmony["key"].is_valid else None
            if harmony["statistics"].is_valid:
                statistics = _matrix(harmony["statistics"])
        row = self._embeddings.row(track)
        windows = [Window(*window) for window in row["windows"].as_py()]
        embeddings = torch.from_numpy(_matrix(row["embeddings"]).astype(np.float32))
        return TrackFeatures(track, row["duration"].as_py(), windows, embeddings, chords, key, statistics)

    def __contains__(self, track: object) -> bool:
        return track in self._embeddings and (self._harmony is None or track in self._harmony)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tracks)

    def __len__(self) -> int:
        return len(self._tracks)

    def dataset(self) -> "Dataset":
        """id, audio_bytes, duration, windows, embeddings and, where there is harmony, chords, key and statistics.

        Embeddings are mapped into memory, the rest is read. Raises: DataError if there is no track.
        """
        from datasets import Dataset, concatenate_datasets

        if not len(self):
            raise DataError(f"{self._embeddings.folder} holds no track with all its features: run m2e features again.")
        view = concatenate_datasets([Dataset.from_file(str(path)) for path in self._embeddings.files])
        last = {track: index for index, track in enumerate(view.data.column("id").to_pylist())}
        tracks = [track for track in last if track in self]
        if len(tracks) < len(view):
            view = view.select([last[track] for track in tracks])
        if self._harmony is None:
            return view
        harmony = self._harmony.table(tracks).select(["chords", "key", "statistics"]).combine_chunks()
        fingerprint = f"{self._harmony.folder.name}-{digest(*tracks)}"  # else datasets would read all of it to make one
        return concatenate_datasets([view, Dataset(harmony, fingerprint=fingerprint)], axis=1)


def read_features(
    folder: str | Path, embeddings: str | None = None, harmony: str | None = None, with_harmony: bool = True
) -> StoredFeatures:
    """{id: TrackFeatures} of all tracks in a folder of cached features, each read on access; `path` is the id.

    embeddings, harmony: the digits in the names of the folders (see `m2e.features.cache.encoder_fingerprint`); not
    needed if there is only one folder of the kind.  with_harmony: skip tracks without chords, if the folder holds any
    chords; False reads all tracks without chords.

    Raises: DataError if there are no embeddings, or several to choose from.
    """
    found = _keyed(Path(folder), EMBEDDINGS, embeddings)
    if found is None:
        raise DataError(f"{folder} holds no such features: compute them with m2e features.")
    chords = _keyed(Path(folder), HARMONY, harmony) if with_harmony else None
    if harmony is not None and with_harmony and chords is None:
        raise DataError(f"{folder} holds no harmony {harmony}: compute it with m2e features.")
    return StoredFeatures(Shards(found), None if chords is None else Shards(chords))


def _keyed(folder: Path, kind: str, fingerprint: str | None) -> Path | None:
    if fingerprint is not None:
        path = folder / f"{kind}-{fingerprint}"
        return path if path.is_dir() else None
    found = sorted(folder.glob(f"{kind}-*"))
    if len(found) > 1:
        names = ", ".join(path.name.removeprefix(f"{kind}-") for path in found)
        raise DataError(f"{folder} holds several {kind}: choose one of {names}.")
    return found[0] if found else None
