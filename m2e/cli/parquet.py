"""`m2e predict --format parquet`: records of very many tracks as Parquet files, by this machine or by a cluster."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from m2e.cli.options import interrupted
from m2e.cli.output_file import locked, writing
from m2e.errors import M2EError, UsageError, WorkerError
from m2e.inputs import Source, stream
from m2e.remote import is_remote
from m2e.terminal import fail, pace, tell

if TYPE_CHECKING:
    import pyarrow as pa

    from m2e.batch.run import Tally
    from m2e.batch.shards import Folder, Shard

SUFFIX = ".parquet"
RESUME = "Run the same command with --resume to go on."

ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="I/N", help="Predict only part I of N of the tracks (parquet).", show_default="all"
    ),
]
ColumnOption = Annotated[
    str | None,
    typer.Option("--column", metavar="NAME", help="Read tracks from this column of PATHs that are .parquet or .csv."),
]
EmbeddingOption = Annotated[bool, typer.Option("--embedding", help="Add the mean embedding of the track (parquet).")]


@dataclass(frozen=True)
class Request:
    """What `m2e predict` was asked for."""

    paths: list[str | Source]
    output: str | None
    shard: str | None
    column: str | None
    resume: bool
    verbose: bool
    model: str | None
    embedding: bool
    settings: dict[str, Any]  # what records depend on

    def schema(self) -> "pa.Schema":
        """The schema of the files. Raises: ModelError."""
        from m2e.batch.predictor import embedding_size
        from m2e.batch.schema import record_schema
        from m2e.batch.shards import with_settings

        size = embedding_size(self.model) if self.embedding else None
        return with_settings(record_schema(size), self.settings | {"embedding": self.embedding})

    def sources(self, skipped: dict[str, str]) -> Iterator[Source]:
        """The tracks, while they are found. Raises: UsageError."""
        return stream(self._names(), skipped)

    def _names(self) -> Iterator[str | Source]:
        from m2e.batch.tables import is_table, names_in

        for path in self.paths:
            if self.column is not None and isinstance(path, str) and is_table(path):
                yield from map(Source, names_in(path, self.column))
            else:
                yield path


class Reasons(dict[str, str]):
    """Counts why names are skipped; of the names it keeps the last."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __setitem__(self, path: str, reason: str) -> None:
        self.clear()
        super().__setitem__(path, reason)
        self.counts[reason] += 1

    def pop(self, path: str, *default: Any) -> Any:
        if path in self:
            self.counts[self[path]] -= 1
        return super().pop(path, *default)


def predict_parquet(request: Request, load: Callable[[], Any], workers: int) -> None:
    """Predicts on this machine, and ends the command with its exit status."""
    try:
        from m2e.batch.run import Tally, remaining, write
        from m2e.batch.shards import Folder, Shard
    except ModuleNotFoundError as error:
        fail(f'Parquet needs {error.name}: install it with pip install "m2e[batch]".')
    from m2e.workers import streamed

    tally = Tally()
    skipped: dict[str, str] = {} if request.verbose else Reasons()
    with ExitStack() as stack:
        try:
            check_arguments(request.paths, request.column)
            index, count = part(request.shard)
            url, name = target(request.output, request.shard)
            folder = Folder(url)
            if not is_remote(url):
                with writing(url):
                    os.makedirs(url, exist_ok=True)
                stack.enter_context(locked(os.path.join(url, name)))
            shard = Shard(folder, name, request.schema())
            refuse_others(folder, shard, request.resume)
            sources = remaining(request.sources(skipped), shard.known(), tally, index, count)
            if (first := next(sources, None)) is not None:  # else no model is loaded
                with streamed(load, chain([first], sources), workers) as records, pace(None, True) as begin:
                    write(records, shard, tally, begin)
            elif not tally.found:
                raise UsageError("there is nothing to read: stdin or the table is empty.")
            shard.finish()
        except WorkerError as error:
            fail(f"{error} {RESUME}", 1)
        except M2EError as error:
            fail(str(error))
        except KeyboardInterrupt:
            interrupted(RESUME)
    for path, why in skipped.items() if request.verbose else ():
        tell(f"{path}: {why}.")
    report(tally, f"{url}/{name}", skipped.counts if isinstance(skipped, Reasons) else Counter(skipped.values()))


def part(text: str | None) -> tuple[int, int]:
    """(I, N) of "I/N"; (1, 1) of None. Raises: UsageError."""
    numbers = re.fullmatch(r"(\d+)/(\d+)", text or "1/1")
    index, count = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if not 1 <= index <= count < 100_000:
        raise UsageError(f"--shard {text} cannot be read: give I/N, such as 1/4 to 4/4.")
    return index, count


def target(output: str | None, shard: str | None) -> tuple[str, str]:
    """(folder, name) of the Parquet file to write. Raises: UsageError."""
    from m2e.batch.shards import shard_name

    if output is None:
        raise UsageError("Parquet needs a place: add -o DIR or -o FILE.parquet.")
    if output.lower().endswith(SUFFIX):
        if shard is not None:
            raise UsageError(f"{output} is a file, and --shard writes several: give -o DIR.")
        folder, _, name = output.rpartition("/") if is_remote(output) else ("", "", output)
        return (folder, name) if folder else (os.path.dirname(name) or os.curdir, os.path.basename(name))
    return output.rstrip("/") or output, shard_name(*part(shard))


def refuse_others(folder: "Folder", shard: "Shard", resume: bool) -> None:
    """Raises UsageError if the folder has files of another split, or of an earlier run that is not to be resumed."""
    split = re.fullmatch(r"shard-\d+-(of-\d+\.parquet)", shard.name)
    others = [name for name in folder.names() if split and not name.endswith(split[1])]
    if others:
        raise UsageError(f"{folder.url} holds {others[0]}, which is of another run: give another -o DIR.")
    if not resume and shard.parts():
        raise UsageError(f"{folder.url} holds records of {shard.name}: add --resume, or give another -o DIR.")


def report(tally: "Tally", output: str, reasons: Counter[str]) -> None:
    """Prints what was done, and ends the command with exit status 1 if tracks failed."""
    if total := reasons.total():
        listed = ", ".join(f"{count} {why}" for why, count in reasons.most_common() if count)
        tell(f"{total} files or folders were skipped: {listed}.")
    if tally.skipped:
        tell(f"{tally.skipped} tracks are already in {output}.")
    tell(f"{tally.done} tracks were predicted into {output}, {tally.failed} of them failed.")
    tell_some(tally.sentences, tally.failed)
    if tally.failed:
        raise typer.Exit(1)


def tell_some(sentences: Iterable[str], count: int) -> None:
    """Prints the first sentences of failed tracks, and how many more there are."""
    shown = list(sentences)
    for sentence in shown:
        tell(sentence)
    if count > len(shown):
        tell(f"... and {count - len(shown)} more: see the column error.")


def check_arguments(paths: Iterable[str | Source], column: str | None) -> None:
    """Raises UsageError for tables without --column, and for --column without tables."""
    from m2e.batch.tables import is_table

    tables = [path for path in paths if isinstance(path, str) and is_table(path)]
    if column is not None and not tables:
        raise UsageError("--column needs a table: give a .parquet or .csv file as PATH.")
    if column is None and tables:
        raise UsageError(f"{tables[0]} is a table: name the column with the tracks by --column NAME.")
