"""`m2e merge`: one file of the Parquet files that several tasks have written."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from m2e.cli.output_file import open_output
from m2e.errors import M2EError, UsageError
from m2e.remote import is_remote
from m2e.terminal import fail, tell

if TYPE_CHECKING:
    import pyarrow as pa

# fields that a record has even where they are null
ALWAYS = "path duration valence arousal quadrant moods selected_moods key chords curve model error".split()


def merge(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Read the files that m2e predict -o DIR wrote.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write .parquet, .jsonl or .csv.", show_default="DIR.parquet"
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Merge what is there of a run that is not complete.")
    ] = False,
) -> None:
    """Merge the Parquet files of a run into one, with one row for each track."""
    try:
        from m2e.batch.shards import Folder, complete, once
    except ModuleNotFoundError as error:
        fail(f'Parquet needs {error.name}: install it with pip install "m2e[batch]".')
    output = output or f"{folder.rstrip('/')}.parquet"
    try:
        shards = Folder(folder)
        names = complete(shards, partial)
        schema = shards.schema(names[0])
        tables = counted(once(shards, names), tally := [0, 0])
        if output.lower().endswith(".parquet"):
            from m2e.cli.parquet import target

            where, name = target(output, None)
            Folder(where).write(name, tables, schema)
        elif is_remote(output):
            raise UsageError(f"{output}: only .parquet is written into a store: give a local FILE.")
        else:
            with open_output(output) as file:
                file.writelines(texts(tables, output, asked_for_tempo(schema)))
    except M2EError as error:
        fail(str(error))
    failed = f", {tally[1]} of them failed" if tally[1] else ""
    tell(f"{tally[0]} tracks of {len(names)} files are in {output}{failed}.")


def counted(tables: "Iterator[pa.Table]", tally: list[int]) -> "Iterator[pa.Table]":
    """The tables; `tally` counts rows and failures."""
    for table in tables:
        tally[0] += len(table)
        tally[1] += len(table) - table.column("error").null_count
        yield table


def asked_for_tempo(schema: "pa.Schema") -> bool:
    """Whether the records of a file were predicted with --tempo."""
    from m2e.batch.shards import SETTINGS

    return "tempo" in json.loads((schema.metadata or {}).get(SETTINGS, b"{}"))


def texts(tables: "Iterator[pa.Table]", output: str, tempo: bool = False) -> Iterator[str]:
    """The lines of a .jsonl or .csv file.  tempo: as in `view`. Raises: UsageError."""
    from m2e.cli.journal import rendered

    form = output.lower().rpartition(".")[2]
    if form not in ("jsonl", "csv"):
        raise UsageError(f"{output}: give a FILE that ends in .parquet, .jsonl or .csv.")
    lines = (json.dumps(record(row)) for table in tables for row in table.to_pylist())
    return rendered(lines, "csv" if form == "csv" else "jsonl", tempo)


def record(row: dict) -> dict:
    """A row as the record of `m2e predict --format jsonl`, which leaves out what is not known of a track."""
    kept = {name: value for name, value in row.items() if value is not None or name in ALWAYS}
    kept.pop("embedding", None)
    if not row["warnings"]:
        kept.pop("warnings", None)
        kept.pop("seconds_used", None)
    if row["quadrant_scores"] is not None:
        kept["between"] = row["between"]  # None means that one quadrant is right
    if row["attributes"] is not None:
        kept["attributes"] = _known(row["attributes"])
    if row["chords"] is not None:
        kept["chords"] = [_known(chord) for chord in row["chords"]]
    return {name: kept[name] for name in row if name in kept}


def _known(values: dict) -> dict:
    return {name: value for name, value in values.items() if value is not None}
