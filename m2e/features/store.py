"""Where cached features lie: tables with one row per track, in folders named by all that their numbers depend on.

    FOLDER/embeddings-1a2b3c4d5e6f/settings.json     what the digits stand for
                                   shard-*.arrow     256 tracks each, never changed once written
                                   tracks/*.arrow    one track each: done, but not in a shard yet
    FOLDER/harmony-0f1e2d3c4b5a/...

A file is written under a temporary name and renamed, so that a kill costs no more than the track in work. A shard is
named by its tracks: what several processes or machines have written is merged by copying. The files are Arrow streams,
as those of `datasets`, and are mapped into memory, not read.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import torch

from m2e.errors import DataError
from modeling_m2e import ChordSegment, Key
from modeling_m2e.processing_m2e import TrackFeatures
from modeling_m2e.windows_m2e import Window

if TYPE_CHECKING:
    from datasets import Dataset

EMBEDDINGS, HARMONY = "embeddings", "harmony"
SHARD_TRACKS = 256

_CHORDS = pa.list_(pa.struct({"start": pa.float64(), "end": pa.float64(), "label": pa.string()}))
_STATISTICS = pa.list_(pa.float32())
_KEY = pa.struct({"tonic": pa.string(), "mode": pa.string(), "confidence": pa.float64()})


# --- one track, one row ---


def embeddings_row(track: TrackFeatures) -> pa.Table:
    """duration, windows (start, end, weight of each) and embeddings (float16) of a track.

    Raises: DataError for a number that half precision cannot hold.
    """
    with np.errstate(over="ignore"):
        embeddings = track.embeddings.numpy().astype(np.float16)
    if not np.isfinite(embeddings).all():
        raise DataError(f"{track.path}: has embeddings beyond the range of half precision.")
    windows = np.array([[window.start, window.end, window.weight] for window in track.windows], np.float64)
    return pa.table(
        {"duration": [track.duration], "windows": _list_of_rows(windows), "embeddings": _list_of_rows(embeddings)}
    )


def harmony_row(chords: Sequence[ChordSegment], key: Key | None, statistics: np.ndarray | None = None) -> pa.Table:
    """chords (start, end, label of each), key (null where nothing decides it) and statistics (or null) of a track."""
    key = None if key is None else vars(key)
    return pa.table(
        {
            "chords": pa.array([[vars(chord) for chord in chords]], _CHORDS),
            "key": pa.array([key], _KEY),
            "statistics": pa.array([statistics], _STATISTICS),
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

    writer: a name that no other process has which writes to this folder.
    """
    columns = {"id": pa.array([track]), "audio_bytes": pa.array([audio_bytes])}
    _write(
        pa.table(columns | dict(zip(row.column_names, row.columns, strict=True))), _track_file(folder, track), writer
    )


class Shards:
    """The rows of one folder by track; a track that two files hold counts once."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.files: list[Path] = []
        self._rows: dict[str, tuple[pa.Table, int]] = {}
        # Single tracks first: one that another process packs meanwhile is then met in its shard.
        for path in sorted(self.folder.glob("tracks/*.arrow")):
            try:
                self._take(path, _read(path))
            except (OSError, pa.ArrowInvalid):  # packed meanwhile; cut short when the power failed
                continue
        self._single = set(self._rows)
        self._packed = set()
        for path in sorted(self.folder.glob("shard-*.arrow")):
            self._packed.update(self._take(path, _mapped(path)))

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
        """The size of the track's audio file; None for a track that is not here."""
        table, index = self._rows.get(track, (None, 0))
        return None if table is None else table.column("audio_bytes")[index].as_py()

    def table(self, tracks: Iterable[str]) -> pa.Table:
        """The rows of at least one track, in their order."""
        return pa.concat_tables([table.slice(index, 1) for table, index in (self._rows[track] for track in tracks)])

    def _take(self, path: Path, table: pa.Table) -> list[str]:
        self.files.append(path)
        tracks = table.column("id").to_pylist()
        self._rows.update((track, (table, index)) for index, track in enumerate(tracks))
        return tracks


class ShardWriter(Shards):
    """The rows of one folder, and the only process that packs the tracks of `share` into shards.

    settings: what the name of the folder stands for, written down for people.
    writer: as in `write_track`; what processes whose names begin with it have left unfinished is cleared away.
    """

    def __init__(self, folder: str | Path, share: Sequence[str], settings: dict[str, Any], writer: str):
        super().__init__(folder)
        self._writer = writer
        (self.folder / "tracks").mkdir(parents=True, exist_ok=True)
        for leftover in [*self.folder.glob(f"{writer}*.partial"), *self.folder.glob(f"tracks/{writer}*.partial")]:
            leftover.unlink()
        with complete_or_absent(self.folder / "settings.json", writer) as file:
            file.write((json.dumps(settings, indent=2) + "\n").encode())
        for track in share:
            if track in self._single and track in self._packed:  # a kill came between the two
                _track_file(self.folder, track).unlink(missing_ok=True)
        # done and in no shard, in the order of the share
        self._waiting = [track for track in share if track in self._single and track not in self._packed]
        self._pack_full_shards()

    def adopt(self, track: str) -> None:
        """Takes note of a track of the share that `write_track` has written, and packs a shard where one is full."""
        path = _track_file(self.folder, track)
        self._take(path, _read(path))
        self._waiting.append(track)
        self._pack_full_shards()

    def finish(self) -> None:
        """Packs the last tracks of the share, however few."""
        if self._waiting:
            self._pack(self._waiting)
            self._waiting = []

    def _pack_full_shards(self) -> None:
        while len(self._waiting) >= SHARD_TRACKS:
            self._pack(self._waiting[:SHARD_TRACKS])
            del self._waiting[:SHARD_TRACKS]

    def _pack(self, tracks: Sequence[str]) -> None:
        shard = self.folder / f"shard-{digest(*tracks)}.arrow"
        _write(self.table(tracks).combine_chunks(), shard, self._writer)
        self._take(shard, _mapped(shard))
        for track in tracks:
            _track_file(self.folder, track).unlink(missing_ok=True)


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
    """The features of every track by its id, each read when it is asked for. See `read_features`."""

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
                statistics = harmony["statistics"].values.to_numpy()
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

        Embeddings are mapped into memory, the rest is read. Raises: DataError where there is no track.
        """
        from datasets import Dataset, concatenate_datasets

        if not len(self):
            raise DataError(f"{self._embeddings.folder} holds no track with all its features.")
        view = concatenate_datasets([Dataset.from_file(str(path)) for path in self._embeddings.files])
        last = {track: index for index, track in enumerate(view.data.column("id").to_pylist())}
        tracks = [track for track in last if track in self]
        if len(tracks) < len(view):
            view = view.select([last[track] for track in tracks])
        if self._harmony is None:
            return view
        harmony = self._harmony.table(tracks).select(["chords", "key", "statistics"]).combine_chunks()
        fingerprint = f"{self._harmony.folder.name}-{digest(*tracks)}"  # else all of it would be read for one
        return concatenate_datasets([view, Dataset(harmony, fingerprint=fingerprint)], axis=1)


def read_features(
    folder: str | Path, embeddings: str | None = None, harmony: str | None = None, with_harmony: bool = True
) -> StoredFeatures:
    """{id: TrackFeatures} of all tracks in a folder of cached features, read as they are asked for; `path` is the id.

    embeddings, harmony: fingerprints (see `m2e.features.cache.encoder_fingerprint`); not needed where the
    folder holds one of the kind.  with_harmony: skip tracks without chords, if the folder holds any chords; else all
    tracks come without.

    Raises: DataError where there are no embeddings, or several to choose from.
    """
    found = _keyed(Path(folder), EMBEDDINGS, embeddings)
    if found is None:
        raise DataError(f"{folder} holds no such features: compute them with m2e features.")
    heard = _keyed(Path(folder), HARMONY, harmony) if with_harmony else None
    if harmony is not None and with_harmony and heard is None:
        raise DataError(f"{folder} holds no harmony {harmony}: compute it with m2e features.")
    return StoredFeatures(Shards(found), None if heard is None else Shards(heard))


def _keyed(folder: Path, kind: str, fingerprint: str | None) -> Path | None:
    if fingerprint is not None:
        path = folder / f"{kind}-{fingerprint}"
        return path if path.is_dir() else None
    found = sorted(folder.glob(f"{kind}-*"))
    if len(found) > 1:
        names = ", ".join(path.name.removeprefix(f"{kind}-") for path in found)
        raise DataError(f"{folder} holds several {kind}: choose one of {names}.")
    return found[0] if found else None
