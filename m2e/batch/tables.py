"""The names of tracks in a column of a table: Parquet or CSV, local or in a store."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from m2e.errors import UsageError, reason
from m2e.remote import explained, filesystem

SUFFIXES = (".parquet", ".csv", ".tsv")


def is_table(path: str) -> bool:
    """Whether a name is that of a table."""
    return path.lower().endswith(SUFFIXES)


def names_in(path: str, column: str) -> Iterator[str]:
    """The values of a column, read some thousand at a time; empty cells are left out. Raises: UsageError."""
    files, where = filesystem(path)
    with explained(path), files.open(where, "rb") as file:
        try:
            if path.lower().endswith(".parquet"):
                table = pq.ParquetFile(file)
                _check(path, column, table.schema_arrow.names)
                batches: Iterator[pa.RecordBatch] = table.iter_batches(columns=[column])
            else:
                tabs = pa.csv.ParseOptions(delimiter="\t" if path.lower().endswith(".tsv") else ",")
                texts = pa.csv.ConvertOptions(column_types={column: pa.string()})
                reader = pa.csv.open_csv(file, parse_options=tabs, convert_options=texts)
                _check(path, column, reader.schema.names)
                batches = iter(reader)
            for batch in batches:
                yield from (str(name) for name in batch.column(column).to_pylist() if name not in (None, ""))
        except pa.ArrowException as error:
            raise UsageError(f"{path}: cannot be read as a table ({reason(error)[:200]}).") from error


def _check(path: str, column: str, columns: list[str]) -> None:
    if column not in columns:
        raise UsageError(f"{path} has no column {column}: choose one of {', '.join(columns)} by --column.")
