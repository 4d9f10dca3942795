"""What queries need of all tracks, as NumPy arrays: numbers, moods and embeddings.

They lie in the database as blocks of BLOCK_ROWS rows. A row belongs to one track; a layout says what its columns mean.
Tracks of another model may have another layout: `Columns` joins all layouts by name, NaN where a value is unknown.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from m2e.library.keys import key_number
from m2e.library.schema import BLOCK_ROWS

Kind = Literal["track", "numbers", "moods", "selected", "embedding"]
DTYPES: dict[Kind, type] = {
    "track": np.int64,  # id of the track, 0 where a row is free
    "numbers": np.float32,
    "moods": np.float32,  # probabilities
    "selected": np.uint8,  # one bit per mood: whether it is above its threshold
    "embedding": np.float16,
}


@dataclass(frozen=True)
class Layout:
    """What the columns of a row mean.

    width: of the embedding, 0 without one.  settings_id: what made the values; embeddings of others are no neighbours.
    """

    numbers: tuple[str, ...]
    moods: tuple[str, ...]
    width: int
    settings_id: int

    @classmethod
    def parse(cls, text: str) -> "Layout":
        content = json.loads(text)
        return cls(tuple(content["numbers"]), tuple(content["moods"]), content["width"], content["settings_id"])

    def text(self) -> str:
        return json.dumps(asdict(self))

    def columns(self, kind: Kind) -> int:
        """The number of columns in blocks of this kind."""
        moods = len(self.moods)
        return {
            "track": 1,
            "numbers": len(self.numbers),
            "moods": moods,
            "selected": (moods + 7) // 8,
            "embedding": self.width,
        }[kind]


def numbers_of(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers in the plain values of a record; quadrant 1-4, key by `key_number`, NaN where there is none."""
    found = {name: _float(values.get(name)) for name in ("valence", "arousal", "duration")}
    found["quadrant"] = float(values["quadrant"].removeprefix("Q"))
    key = values.get("key")
    found["key"] = np.nan if key is None else float(key_number(key["tonic"], key["mode"]))
    found["key_confidence"] = np.nan if key is None else _float(key["confidence"])
    attributes = dict(values.get("attributes") or {})
    if "tempo" in values:
        attributes["tempo"] = values["tempo"]
    return found | {name: _float(value) for name, value in attributes.items()}


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


@dataclass(frozen=True)
class Row:
    """The values of one track in the blocks."""

    layout: Layout
    parts: dict[Kind, np.ndarray] = field(compare=False)

    @classmethod
    def of(cls, track: int, values: Mapping[str, Any], embedding: np.ndarray | None, settings_id: int) -> "Row":
        """values: the plain values of a record.  embedding: (width,), finite."""
        numbers = numbers_of(values)
        scores = {mood["label"]: mood["score"] for mood in values["moods"]}
        moods = tuple(sorted(scores))
        chosen = np.array([mood in values["selected_moods"] for mood in moods], dtype=bool)
        vector = np.zeros(0) if embedding is None else np.asarray(embedding)
        limit = np.finfo(np.float16).max
        parts: dict[Kind, np.ndarray] = {
            "track": np.array([track]),
            "numbers": np.array(list(numbers.values())),
            "moods": np.array([scores[mood] for mood in moods]),
            "selected": np.packbits(chosen),
            "embedding": np.clip(vector, -limit, limit),
        }
        layout = Layout(tuple(numbers), moods, len(vector), settings_id)
        return cls(layout, {kind: part.astype(DTYPES[kind]) for kind, part in parts.items()})


# --- blocks in the database ---


def write_row(connection: sqlite3.Connection, layout_id: int, layout: Layout, slot: int, row: Row) -> None:
    """Writes a row into its blocks, which are made if need be."""
    for kind, part in row.parts.items():
        if not layout.columns(kind):
            continue
        number, at = divmod(slot, BLOCK_ROWS)
        where = layout_id, kind, number
        connection.execute(
            "INSERT OR IGNORE INTO blocks (layout_id, kind, number, data) VALUES (?, ?, ?, zeroblob(?))",
            (*where, BLOCK_ROWS * part.nbytes),
        )
        _write(connection, where, at, part)


def free_row(connection: sqlite3.Connection, layout_id: int, slot: int) -> None:
    """Marks a row as free: it belongs to no track."""
    number, at = divmod(slot, BLOCK_ROWS)
    _write(connection, (layout_id, "track", number), at, np.zeros(1, DTYPES["track"]))


def _write(connection: sqlite3.Connection, where: tuple[int, str, int], at: int, part: np.ndarray) -> None:
    query = "SELECT id FROM blocks WHERE layout_id = ? AND kind = ? AND number = ?"
    block = connection.execute(query, where).fetchone()[0]
    with connection.blobopen("blocks", "data", block) as blob:
        blob.seek(at * part.nbytes)
        blob.write(part.tobytes())


def read_matrix(connection: sqlite3.Connection, layout_id: int, layout: Layout, kind: Kind) -> np.ndarray:
    """(rows, columns) of all blocks of a kind; the rows follow the slots."""
    dtype, columns = np.dtype(DTYPES[kind]), layout.columns(kind)
    query = "SELECT id, number FROM blocks WHERE layout_id = ? AND kind = ?"
    blocks = connection.execute(query, (layout_id, kind)).fetchall()
    matrix = np.empty((len(blocks) * BLOCK_ROWS, columns), dtype)
    for key, number in blocks:
        with connection.blobopen("blocks", "data", key, readonly=True) as blob:  # twice as fast as a query
            block = np.frombuffer(blob.read(), dtype).reshape(-1, columns)
        matrix[number * BLOCK_ROWS : (number + 1) * BLOCK_ROWS] = block
    return matrix


@dataclass
class _Part:
    """The tracks of one layout.  rows: those of its matrices that belong to visible tracks."""

    layout_id: int
    layout: Layout
    rows: np.ndarray
    matrices: dict[Kind, np.ndarray] = field(default_factory=dict)


class Columns:
    """The values of n tracks as arrays. All follow the order of `ids`; what is read once is kept.

    hidden: ids of tracks that are left out.
    """

    def __init__(self, connection: sqlite3.Connection, layouts: Mapping[int, Layout], hidden: np.ndarray):
        self._connection = connection
        self._parts: list[_Part] = []
        found = [np.zeros(0, np.int64)]
        for layout_id, layout in layouts.items():
            ids = read_matrix(connection, layout_id, layout, "track")[:, 0]
            rows = np.flatnonzero((ids > 0) & ~np.isin(ids, hidden))
            self._parts.append(_Part(layout_id, layout, rows))
            found.append(ids[rows])
        self.ids: np.ndarray = np.concatenate(found)  # (n,) int64

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def numbers(self) -> list[str]:
        """The names that `number` knows: valence, arousal, duration, quadrant, key, attributes."""
        return list(dict.fromkeys(name for part in self._parts for name in part.layout.numbers))

    @cached_property
    def moods(self) -> list[str]:
        """The names that `mood` and `selected` know, sorted."""
        return sorted({name for part in self._parts for name in part.layout.moods})

    def number(self, name: str) -> np.ndarray:
        """(n,) float32; NaN where a track has no such number. See `numbers_of` for key and quadrant."""
        return self._column("numbers", lambda layout: layout.numbers, name)

    def mood(self, label: str) -> np.ndarray:
        """(n,) float32: the probability of a mood; NaN where the model does not know it."""
        return self._column("moods", lambda layout: layout.moods, label)

    def selected(self, label: str) -> np.ndarray:
        """(n,) bool: whether a mood is above its threshold."""
        found = [np.zeros(0, bool)]
        for part in self._parts:
            if label in part.layout.moods:
                byte, bit = divmod(part.layout.moods.index(label), 8)
                found.append((self._matrix(part, "selected")[:, byte] & (128 >> bit)) > 0)
            else:
                found.append(np.zeros(len(part.rows), bool))
        return np.concatenate(found)

    def embeddings(self) -> tuple[np.ndarray, np.ndarray]:
        """(ids (m,) int64, matrix (m, width) float16) of the tracks whose embeddings can be compared.

        Those that most tracks' settings made; a scan with other settings replaces the rest.
        """
        sizes: Counter[tuple[int, int]] = Counter()
        for part in self._parts:
            sizes[part.layout.settings_id, part.layout.width] += len(part.rows) if part.layout.width else 0
        best, count = sizes.most_common(1)[0] if sizes else ((0, 0), 0)
        parts = [part for part in self._parts if (part.layout.settings_id, part.layout.width) == best and count]
        if len(parts) == 1 and len(parts[0].rows) == len(self.ids):
            return self.ids, self._matrix(parts[0], "embedding")  # no copy: it may be large
        mine = [np.full(len(part.rows), part in parts) for part in self._parts]
        rows = [np.zeros((0, best[1]), np.float16), *(self._matrix(part, "embedding") for part in parts)]
        return self.ids[np.concatenate([np.zeros(0, bool), *mine])], np.concatenate(rows)

    def _column(self, kind: Kind, names: Callable[[Layout], Sequence[str]], name: str) -> np.ndarray:
        found = [np.zeros(0, np.float32)]
        for part in self._parts:
            known = names(part.layout)
            if name in known:
                found.append(self._matrix(part, kind)[:, known.index(name)])
            else:
                found.append(np.full(len(part.rows), np.nan, np.float32))
        return np.concatenate(found)

    def _matrix(self, part: _Part, kind: Kind) -> np.ndarray:
        """The rows of visible tracks."""
        if kind not in part.matrices:
            whole = read_matrix(self._connection, part.layout_id, part.layout, kind)
            everything = len(part.rows) and part.rows[-1] == len(part.rows) - 1
            part.matrices[kind] = whole[: len(part.rows)] if everything else whole[part.rows]
        return part.matrices[kind]
