"""Any data set with audio and moods, valence and arousal, or quadrants: a folder with a table, or one of the hub.

Columns have the names of the schema, or names given as options such as moods="tags"; at least one kind of label is
needed. Audio paths in a table are relative to its folder. Moods are a list, or words separated by ``mood_separator``,
by default by the one of ; | , that occurs in the column; moods that differ only in case are one. ``va_range`` is the
range of valence and arousal, which are moved to 1 to 9. Without a column of splits, the tracks are split 70/15/15 by
artist.
"""

import csv
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasets import Audio, ClassLabel, Dataset, DatasetDict, List, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetsError

from m2e.datasets.archive import verify
from m2e.datasets.schema import FEATURES, SCALE, Track, listed, rescale, split_words, to_dataset
from m2e.datasets.splits import with_splits
from m2e.errors import DataError, reason
from m2e.remote import is_remote

TABLES = ("labels.csv", "metadata.csv", "labels.jsonl", "metadata.jsonl")
AUDIO = ("audio", "path", "file", "file_name", "filename")
LABELS = ("moods", "valence", "arousal", "quadrant")
SEPARATORS = (";", "|", ",")  # of moods in a cell
SPLIT_NAMES = {"train": "train", "training": "train", "dev": "validation", "development": "validation"}
SPLIT_NAMES |= {"val": "validation", "valid": "validation", "validation": "validation"}
SPLIT_NAMES |= {"test": "test", "testing": "test", "evaluation": "test", "eval": "test"}


def read_folder(
    folder: str | Path,
    table: str | Path | None = None,
    va_range: tuple[float, float] = SCALE,
    mood_separator: str | None = None,
    check: str = "strict",
    **columns: str,
) -> Dataset:
    """The tracks of a CSV, TSV or JSON Lines table in the common schema.

    Audio may be in a remote store (s3://...); its files are not checked.
    table: its name in ``folder``; by default labels or metadata, .csv or .jsonl.  va_range: the lowest and the highest
    possible rating.  check: see archive.verify.  columns: schema's name="name in the table".  Raises DataError.
    """
    folder = Path(folder)
    path = folder / table if table else next((folder / t for t in TABLES if (folder / t).is_file()), None)
    if path is None or not path.is_file():
        raise DataError(f"{folder} holds no {table or ' or '.join(TABLES)}: name the table by table=.")
    header, rows = _read_rows(path)
    names = _column_names(path.name, header, columns)
    if not rows:
        raise DataError(f"{path} has a header but no rows: add the tracks.")
    tracks = _tracks(path.name, rows, names, va_range, mood_separator, folder)
    return to_dataset(path.name, verify(path.name, folder, tracks, None, check))


def read_hub(
    source: str | Path | Dataset | DatasetDict,
    config: str | None = None,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    va_range: tuple[float, float] = SCALE,
    mood_separator: str | None = None,
    **columns: str,
) -> Dataset:
    """A data set of the hub (its id, a local folder of Parquet files, or a loaded one) in the common schema.

    Embedded audio stays embedded: {"bytes", "path"}. No code of the repository is run.  config, revision, cache_dir:
    see datasets.load_dataset.  Others: see read_folder.  Raises DataError.
    """
    loaded = _load(str(source), config, revision, cache_dir) if isinstance(source, str | Path) else source
    parts: dict[str | None, Dataset] = dict(loaded) if isinstance(loaded, DatasetDict) else {None: loaded}
    whole = concatenate_datasets(list(parts.values()))
    origin = [part for part, dataset in parts.items() for _ in range(len(dataset))]
    name = str(source) if isinstance(source, str | Path) else "the data set"
    names = _column_names(name, whole.column_names, columns)
    column = names.pop("audio")
    audio = whole.select_columns(column)
    if column != "audio":
        audio = audio.rename_column(column, "audio")
    if isinstance(audio.features["audio"], Audio):
        audio = audio.cast_column("audio", Audio(decode=False))
    rows = _named_classes(whole.remove_columns(column))
    if "split" not in names and parts.keys() - {None, "train"}:
        rows = [row | {"split": part} for row, part in zip(rows, origin, strict=True)]
        names["split"] = "split"
    if "id" not in names:
        rows = [row | {"id": f"{index:06d}"} for index, row in enumerate(rows)]
        names["id"] = "id"
    labels = to_dataset(name, _tracks(name, rows, names, va_range, mood_separator))
    return concatenate_datasets([labels.remove_columns("audio"), audio], axis=1).select_columns(list(FEATURES))


def _load(source: str, config: str | None, revision: str | None, cache_dir: str | Path | None) -> Dataset | DatasetDict:
    """The data set as `load_dataset` reads it. Raises DataError."""
    if os.path.exists(source):  # a folder called "csv" is not the loader of that name
        source = os.path.abspath(source)
    try:
        return load_dataset(source, config, revision=revision, cache_dir=cache_dir)
    except (DatasetsError, OSError, ValueError) as error:  # ValueError: an unknown config
        why = reason(error.__cause__ or error)
        raise DataError(f"{source} cannot be read as a data set ({why}): give a folder or an id of the hub.") from error


def _read_rows(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The names of the columns and the rows of a table. Raises DataError if the content does not fit the suffix."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            if path.suffix in (".jsonl", ".json"):
                objects = [dict(json.loads(line)) for line in file if line.strip()]
                return list(dict.fromkeys(key for row in objects for key in row)), objects
            first = file.readline()
            delimiter = "\t" if path.suffix == ".tsv" else max(",;\t", key=first.count)
            file.seek(0)
            # strict: a quote that is never closed is an error
            header, *rows = [row for row in csv.reader(file, delimiter=delimiter, strict=True) if row] or [[]]
    except (OSError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{path} is no {path.suffix} table ({reason(error)}): correct or rename it.") from None
    header = [column.strip() for column in header]
    if twice := [column for column, count in Counter(header).items() if count > 1 and column]:
        raise DataError(f"{path} has the column {listed(twice)} twice: rename or remove one.")
    faults = [
        f"row {number}: {fault}" for number, row in enumerate(rows, 1) if (fault := _fault(row, header, delimiter))
    ]
    if faults:
        raise DataError(f"{path} has {len(faults)} rows that cannot be read ({listed(faults)}): correct them.")
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def _fault(row: list[str], header: list[str], delimiter: str) -> str | None:
    """What is wrong with the cells of a row of a CSV table."""
    if len(row) != len(header):
        return f"{len(row)} cells for {len(header)} columns"
    # a quote that is closed in a later row takes the rows between into its cell
    inner = [line for cell in row for line in cell.splitlines()[1:]]
    if any(line.count(delimiter) >= len(header) - 1 for line in inner):
        return "a cell with other rows in it, look for a quote that is not closed"
    return None


def _column_names(name: str, there: Iterable[str], given: dict[str, str]) -> dict[str, str]:
    """{schema's column: the table's column} of the columns in the table. Raises DataError."""
    there = list(there)
    if unknown := given.keys() - FEATURES.keys():
        raise DataError(f"There are no columns {listed(sorted(unknown))} in the schema: {', '.join(FEATURES)}.")
    if absent := [column for column in given.values() if column not in there]:
        raise DataError(f"{name} has no column {listed(absent)}, but {', '.join(there)}.")
    names = {column: column for column in FEATURES if column in there} | given
    if audio := next((column for column in AUDIO if column in there), None):
        names.setdefault("audio", audio)
    if "audio" not in names:
        raise DataError(
            f"{name} has no column {' or '.join(AUDIO)} but {', '.join(there) or 'none'}: "
            "name that of the audio by audio=."
        )
    if not names.keys() & set(LABELS):
        raise DataError(
            f"{name} has no column {', '.join(LABELS)} but {', '.join(there)}: "
            "name that of the labels by moods= or the like."
        )
    return names


def _tracks(
    name: str,
    rows: list[dict[str, Any]],
    names: dict[str, str],
    va_range: tuple[float, float],
    separator: str | None,
    folder: Path = Path(),
) -> list[Track]:
    """The rows as tracks, in their order. Raises DataError that lists all rows that cannot be read."""
    moods = _moods(name, [_filled(row.get(names["moods"])) for row in rows] if "moods" in names else [], separator)
    tracks, faults = [], []
    for number, row in enumerate(rows, 1):
        cells = {column: _filled(row.get(theirs)) for column, theirs in names.items()}
        try:
            if missing := [names[column] for column in ("id", "audio") if column in names and cells[column] is None]:
                raise ValueError(f"no {' and no '.join(missing)}")
            path = str(cells.get("audio", ""))
            tracks.append(
                Track(
                    id=str(cells["id"]) if "id" in names else os.path.splitext(path)[0].replace("/", "_"),
                    audio=path if is_remote(path) else folder / path,
                    split=_split(cells["split"]) if "split" in names else "",
                    moods=moods[number - 1] if moods else None,
                    valence=_rating(cells.get("valence"), va_range),
                    arousal=_rating(cells.get("arousal"), va_range),
                    quadrant=cells.get("quadrant"),
                    artist=None if cells.get("artist") is None else str(cells["artist"]),
                    duration=None if cells.get("duration") is None else float(cells["duration"]),
                )
            )
        except (TypeError, ValueError) as error:
            faults.append(f"row {number}: {error}")
    if faults:
        raise DataError(f"{name} has {len(faults)} rows that cannot be read ({listed(faults)}): correct them.")
    return tracks if "split" in names else with_splits(tracks)


def _moods(name: str, cells: list[Any], separator: str | None) -> list[list[str] | None]:
    """The moods of every cell, None where it is empty; of spellings that differ in case, the most frequent one."""
    texts = [cell for cell in cells if isinstance(cell, str) and not _is_list(cell)]
    if separator is None:
        used = [mark for mark in SEPARATORS if any(mark in text for text in texts)]
        if len(used) > 1:
            raise DataError(f"{name} has moods with {' and with '.join(used)}: name the separator by mood_separator=.")
        separator = used[0] if used else SEPARATORS[0]
    words = [None if cell is None else split_words(_items(cell), separator) for cell in cells]
    spellings = Counter(word for each in words for word in each or ())
    usual: dict[str, str] = {}
    for word, _ in spellings.most_common():
        usual.setdefault(word.casefold(), word)
    return [None if each is None else list(dict.fromkeys(usual[word.casefold()] for word in each)) for each in words]


def _is_list(cell: str) -> bool:
    return cell.startswith("[") and cell.endswith("]")


def _items(cell: Any) -> Any:
    """The items of a list that pandas or NumPy wrote as text, ['happy', 'sad']; any other cell as it is."""
    if not isinstance(cell, str):
        return cell if isinstance(cell, Iterable) else [cell]
    if not _is_list(cell):
        return cell
    quoted = re.findall(r"'([^']*)'|\"([^\"]*)\"", cell)
    return [one or other for one, other in quoted] if quoted else cell[1:-1].split(",")


def _filled(cell: Any) -> Any:
    """The cell without blanks around it; None if it is empty or NaN."""
    if isinstance(cell, str):
        return cell.strip() or None
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def _split(cell: Any) -> str:
    name = str(cell or "").lower()
    if name not in SPLIT_NAMES:
        raise ValueError(f"{name!r} is no split")
    return SPLIT_NAMES[name]


def _rating(cell: Any, va_range: tuple[float, float]) -> float | None:
    if cell is None:
        return None
    low, high = va_range
    value = float(cell)
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{cell} is not between {low} and {high}, see va_range")
    return rescale(value, low, high)


def _named_classes(dataset: Dataset) -> list[dict[str, Any]]:
    """The rows as dicts, with class numbers replaced by their names."""
    columns = {column: dataset[column][:] for column in dataset.column_names}
    for column, feature in dataset.features.items():
        if isinstance(feature, ClassLabel):
            columns[column] = [None if value is None else feature.int2str(value) for value in columns[column]]
        elif isinstance(feature, List) and isinstance(feature.feature, ClassLabel):
            columns[column] = [None if value is None else feature.feature.int2str(value) for value in columns[column]]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
