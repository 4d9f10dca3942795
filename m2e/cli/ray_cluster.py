"""`--engine ray`: the options of a Ray cluster, and `m2e predict` by its actors."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from m2e.cli.options import interrupted
from m2e.cli.output_file import locked, writing
from m2e.cli.parquet import RESUME, SUFFIX, Request, check_arguments, report
from m2e.errors import M2EError, UsageError, WorkerError
from m2e.inputs import STDIN, Source, stream
from m2e.remote import is_remote
from m2e.terminal import fail, pace

if TYPE_CHECKING:
    from m2e.batch.shards import Folder

Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(
        "--engine", help="Work on this machine, or on a Ray cluster (predict: parquet) with --workers actors."
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address", metavar="ADDRESS", help="Use this cluster.", show_default="starts one on this machine"
    ),
]
NumCpus = Annotated[float, typer.Option("--num-cpus", min=0, metavar="N", help="Give each actor N CPUs.")]
NumGpus = Annotated[float, typer.Option("--num-gpus", min=0, metavar="N", help="Give each actor N GPUs.")]
Rows = Annotated[int, typer.Option("--rows", min=1, metavar="N", help="Write N tracks in a file (ray).")]


@contextmanager
def ray_installed() -> Iterator[None]:
    """Ends the command with one sentence if the block finds no Ray."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        fail('Ray is not installed: install it with pip install "m2e[ray]".')


def predict_by_ray(request: Request, load: Callable[[], Any], **settings: Any) -> None:
    """Predicts on a cluster, and ends the command with its exit status. settings: those of `Cluster`."""
    try:
        from m2e.batch.ray_engine import Cluster, predict
        from m2e.batch.run import Tally
        from m2e.batch.shards import Folder
    except ModuleNotFoundError as error:
        fail(f'Ray needs {error.name}: install it with pip install "m2e[ray]".')

    tally, reasons = Tally(), Counter[str]()
    with ray_installed(), ExitStack() as stack:
        try:
            check_arguments(request.paths, request.column)
            folder = Folder(place(request))
            if not is_remote(folder.url):
                with writing(folder.url):
                    os.makedirs(folder.url, exist_ok=True)
                stack.enter_context(locked(os.path.join(folder.url, "parts")))
            refuse_others(folder, request.resume)
            request = replace(request, paths=[known for path in request.paths for known in given(path)])
            done = predict(request.sources, load, folder, request.schema(), Cluster(**settings), tally)
            with pace(None, True) as begin:
                for so_far in done:
                    reasons = so_far
                    begin(tally.done, "")
            if not tally.found:
                raise UsageError("there is nothing to read: stdin or the table is empty.")
        except WorkerError as error:
            fail(f"{error} {RESUME}", 1)
        except M2EError as error:
            fail(str(error))
        except KeyboardInterrupt:
            interrupted(RESUME)
    report(tally, folder.url, reasons)


def place(request: Request) -> str:
    """The folder to write into. Raises: UsageError."""
    if request.output is None or request.output.lower().endswith(SUFFIX):
        raise UsageError("Ray writes several files: add -o DIR.")
    if request.shard is not None:
        raise UsageError("--shard splits the work of one machine: remove it, Ray splits by itself.")
    return request.output if is_remote(request.output) else os.path.abspath(request.output)


def given(path: str | Source) -> list[str | Source]:
    """An argument as the cluster gets it: stdin is read here. Raises: UsageError for audio on stdin."""
    if path != STDIN:
        return [path]
    sources = list(stream([STDIN], {}))
    if any(source.copy for source in sources):
        raise UsageError("stdin holds audio, which only this machine can read: remove --engine ray.")
    return list(sources)


def refuse_others(folder: "Folder", resume: bool) -> None:
    """Raises UsageError if the folder has files of shards, or of an earlier run that is not to be resumed."""
    names = folder.names()
    others = [name for name in names if not name.startswith("part-")]
    if others:
        raise UsageError(f"{folder.url} holds {others[0]}, which is of another run: give another -o DIR.")
    if names and not resume:
        raise UsageError(f"{folder.url} holds records: add --resume, or give another -o DIR.")
