"""Predicts very many tracks by Ray Data: names are listed lazily, actors predict them and write Parquet files.

Ray schedules, retries and holds the listing back while decoding is slower. A row of the data set is a list of names,
and each gives one file, whose name depends on these names only: a list that Ray repeats, because a machine died,
replaces its file. The file _SUCCESS appears when all are there. `results` is for callables that write their own files.
"""

import json
import logging
import os
import pickle
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, cast

import numpy as np
import pyarrow as pa

from m2e.batch.run import Tally, remaining
from m2e.batch.schema import to_table
from m2e.batch.shards import SUCCESS, Folder, Known, digest
from m2e.errors import M2EError, UsageError, WorkerError, first_line
from m2e.inputs import Source
from m2e.workers import predict_one

ROWS = 64  # tracks in a file
Load = Callable[[], Callable[[str], Any]]
Sources = Callable[[dict[str, str]], Iterable[Source]]  # receives {path: reason} of what is skipped


@dataclass(frozen=True)
class Cluster:
    """Where to predict, and with what. address: of a Ray cluster; None starts one on this machine.  actors: None takes
    as many as there is room for.  num_cpus, num_gpus: of each actor.  rows: tracks that an actor gets at once, for a
    file."""

    address: str | None = None
    actors: int | None = None
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    rows: int = ROWS


def predict(
    sources: Sources, load: Load, folder: Folder, schema: pa.Schema, cluster: Cluster, tally: Tally
) -> Iterator[Counter[str]]:
    """Writes the records of `sources` into `folder`, except of tracks that it holds; failed ones are tried again.

    Yields, while `tally` counts, why names were skipped so far.
    sources, load: can be pickled.  sources: called on the machine of this process.  load: gives the model, in an actor.
    Raises: UsageError, also for a model that cannot be loaded; WorkerError.
    """
    names = folder.names()
    folder.check(names, schema)
    folder.remove(SUCCESS)
    folder.sweep("part-")
    forget_failures(folder, names, schema)
    known = folder.known(folder.names())
    writer = {"load": load, "folder": folder.url, "schema": schema, "here": os.getcwd()}
    with connected(cluster.address), explained_by_ray():
        for row in _reports(partial(listed, sources, known, cluster.rows, os.getcwd()), Writer, writer, cluster):
            yield add(row, tally)
    folder.touch(SUCCESS)


@contextmanager
def results(
    cluster: Cluster, load: Callable[[], Callable[[str], Any]], sources: Sequence[Source], workers: int = 1
) -> Iterator[Iterator[Any]]:
    """As `m2e.workers.predictions`, by the actors of a cluster: what the callable gives for each source, in order.

    load, and what the callable gives, can be pickled.  workers: not used, `cluster` has the number.
    Raises: whatever `load` raises; UsageError; WorkerError.
    """
    names_of = partial(listed, partial(_given, sources), Known(np.zeros(0)), cluster.rows, os.getcwd())
    caller = {"load": load, "here": os.getcwd()}
    with connected(cluster.address), explained_by_ray():
        yield _flat(_reports(names_of, Caller, caller, cluster, in_order=True))


def _given(sources: Sequence[Source], skipped: dict[str, str]) -> Sequence[Source]:
    return sources


def _flat(reports: Iterable[dict[str, Any]]) -> Iterator[Any]:
    for row in reports:
        said = pickle.loads(row["said"])
        if isinstance(said, M2EError):
            raise said
        yield from said


def _reports(
    names_of: Callable[..., Any], actor: type, arguments: dict[str, Any], cluster: Cluster, in_order: bool = False
) -> Iterator[dict[str, Any]]:
    """The rows that actors give for lists of names. names_of: `listed`.  actor, arguments: the class, what it gets."""
    import ray
    import ray.data as data

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it warns that its bars are off, and of few tracks
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}  # what names mean is known here
    lists = data.from_items([{"start": 0}])
    lists.context.target_max_block_size = 1  # a block for each row: it goes to an actor as soon as it is there
    lists.context.enable_progress_bars = False
    lists.context.execution_options.preserve_order = in_order
    done = lists.map_batches(names_of, batch_size=None, num_cpus=0, label_selector=here).map_batches(
        actor,
        fn_constructor_kwargs=arguments,
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=cluster.num_cpus,
        num_gpus=cluster.num_gpus,
        compute=data.ActorPoolStrategy(size=_actors(cluster), max_tasks_in_flight_per_actor=1),
    )
    for table in cast(Iterable[Any], done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)):
        yield from table.to_pylist()


def add(row: dict[str, Any], tally: Tally) -> Counter[str]:
    """Adds what a Writer says to the tally; returns why names were skipped. Raises: UsageError if it cannot go on."""
    if row["fatal"] is not None:
        raise UsageError(row["fatal"])
    tally.found, tally.skipped = max(tally.found, row["found"]), max(tally.skipped, row["skipped"])
    tally.add(row["errors"])
    return Counter(json.loads(row["reasons"]))


def forget_failures(folder: Folder, names: Iterable[str], schema: pa.Schema) -> None:
    """Takes the rows of failed tracks out of the files, so that they are predicted again."""
    for name in names:
        errors = sum(len(table) - table.column("error").null_count for table in folder.rows(name, ["error"]))
        if errors:
            kept = pa.concat_tables(
                [table.filter(table.column("error").is_null()) for table in folder.rows(name)] or [schema.empty_table()]
            )
            if len(kept):
                folder.write(name, [kept], schema)
            else:
                folder.remove(name)


# --- in the cluster ---


def listed(
    sources: Sources, known: Known, rows: int, here: str, start: dict[str, Any]
) -> Iterator[dict[str, list[Any]]]:
    """Lists of names, each a row; the last may be short or empty. here: as in `Writer`."""
    enter(here)
    tally, skipped = Tally(), dict[str, str]()
    names: list[Source] = []

    def row() -> dict[str, list[Any]]:
        reasons, skipped_now = json.dumps(Counter(skipped.values())), tally.skipped
        return {
            "path": [[source.path.encode("utf-8", "surrogateescape") for source in names]],
            "error": [[source.error or "" for source in names]],
            "found": [tally.found],
            "skipped": [skipped_now],
            "reasons": [reasons],
        }

    for source in remaining(sources(skipped), known, tally):
        names.append(source)
        if len(names) == rows:
            yield row()
            names.clear()
    yield row()


def enter(folder: str) -> None:
    """Changes to the folder of the driver, if this machine has it."""
    if os.path.isdir(folder):
        os.chdir(folder)


class Caller:
    """An actor: calls what it has loaded with the tracks of a list, and gives the results, or the error of loading.

    here: the folder that relative names start from, if this machine has it.
    """

    def __init__(self, load: Load, here: str):
        self.load = load
        enter(here)

    @cached_property
    def pipe(self) -> Callable[[str], Any]:
        """The model, loaded with the first list: Ray says more about errors in calls."""
        return self.load()

    def called(self, row: dict[str, Any]) -> tuple[list[str], list[Any]]:
        """The paths of a list, which is taken out of its row, and what they give."""
        paths = [path.decode("utf-8", "surrogateescape") for path in row.pop("path")]
        sources = [Source(path, error or None) for path, error in zip(paths, row.pop("error"), strict=True)]
        return paths, [predict_one(self.pipe, source) for source in sources]

    def __call__(self, batch: pa.Table) -> pa.Table:
        (row,) = batch.to_pylist()
        said: list[Any] | M2EError
        try:
            _, said = self.called(row)
        except M2EError as error:  # of the model; Ray would bury it in its own
            said = error
        return pa.table({"said": pa.array([pickle.dumps(said)], pa.binary())})


class Writer(Caller):
    """An actor: predicts the tracks of a list, and writes their records into a file. load, here: as of `Caller`."""

    def __init__(self, load: Load, folder: str, schema: pa.Schema, here: str):
        super().__init__(load, here)
        self.folder, self.schema = Folder(folder), schema

    def __call__(self, batch: pa.Table) -> pa.Table:
        (row,) = batch.to_pylist()
        row["errors"] = []
        try:
            paths, records = self.called(row)
            if records:
                name = digest("\0".join(paths))
                self.folder.write(f"part-{name:016x}.parquet", [to_table(records, self.schema)], self.schema)
                row["errors"] = [record.error for record in records]
        except M2EError as error:  # of the model or the output; Ray would bury it in its own
            row["fatal"] = str(error)
        return pa.Table.from_pylist([row], REPORT)


REPORT = pa.schema(
    {
        "found": pa.int64(),
        "skipped": pa.int64(),
        "reasons": pa.string(),
        "errors": pa.list_(pa.string()),
        "fatal": pa.string(),
    }
)


# --- Ray ---


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """While the block runs, this process is connected to a cluster; one that it started is stopped at the end."""
    # Names are small, but a million of them are many: the listing waits for the actors however empty the store is.
    os.environ.setdefault("RAY_DATA_DOWNSTREAM_CAPACITY_OBJECT_STORE_BUDGET_UTIL_THRESHOLD", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # a loaded machine starts slowly
    os.environ.setdefault("RAY_worker_niceness", "0")  # else all other processes of this machine go before actors
    import ray

    warnings.filterwarnings("ignore", "The minimum number of concurrent actors", UserWarning)
    mine = not ray.is_initialized()
    if mine:
        options: dict[str, Any] = {"include_dashboard": False} if address is None else {}
        try:
            ray.init(address=address or "local", logging_level=logging.WARNING, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(f"no Ray cluster answers at {address or 'this machine'} ({first_line(error)}).") from error
    try:
        yield
    finally:
        if mine:
            ray.shutdown()


@contextmanager
def explained_by_ray() -> Iterator[None]:
    """Raises a WorkerError for the death of an actor that Ray cannot repair."""
    from ray.exceptions import RayActorError

    try:
        yield
    except RayActorError as error:
        raise WorkerError(f"an actor died, perhaps because memory ran out ({first_line(error)}).") from error


def _actors(cluster: Cluster) -> int:
    """The number of actors. Raises: UsageError if there is no room for one."""
    import ray

    there = ray.cluster_resources()
    wanted = {"CPU": cluster.num_cpus, "GPU": cluster.num_gpus}
    room = min((int(there.get(name, 0) // count) for name, count in wanted.items() if count), default=1)
    if not room:
        raise UsageError(
            f"the cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs: ask for fewer."
        )
    return cluster.actors or room
