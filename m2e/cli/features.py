"""`m2e features`: what a model hears in every track of a data set, computed once and kept for training."""

import logging
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from m2e.cli.options import BatchSize, DataFolder, DataName, DataOptions, Device, Window, data_options
from m2e.errors import ModelError, UsageError, WorkerError
from m2e.terminal import fail, pace, span, tell

if TYPE_CHECKING:
    from m2e.features.cache import Plan
    from modeling_m2e import M2EProcessor

CHECKED = ("emopia", "hub")  # emopia's audio is made where it is checked; the hub's is no files
GO_ON = "The same command goes on from here."


def features(
    data: DataName,
    folder: DataFolder,
    out: Annotated[
        str | None,
        typer.Option(metavar="OUT", help="Folder of the features of this data set.", show_default="runs/features/NAME"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|REPO", help="Whose encoder and chord recogniser are to listen.", show_default="m2e-small"
        ),
    ] = None,
    device: Device = "auto",
    window: Window = None,
    batch_size: BatchSize = None,
    workers: Annotated[
        int, typer.Option(min=1, metavar="N", help="Processes that listen at once, each with its own networks.")
    ] = 1,
    harmony: Annotated[bool, typer.Option("--harmony/--no-harmony", help="Also recognise chords and key.")] = True,
    option: DataOptions = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Measure a few tracks; print speed, time and size of all; write no features.")
    ] = False,
) -> None:
    """Cache the features of a data set: embeddings of its windows, chords and key.

    The same command goes on where one was stopped, with other workers too. Several GPUs or machines share the work
    under torchrun: torchrun --no-python --nproc-per-node 8 m2e features ...; a track that cannot be read is left out
    and told at the end.
    """
    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    try:
        options = data_options(option)
    except UsageError as error:
        fail(str(error))
    try:
        from m2e.datasets import read_dataset
        from m2e.errors import DataError
        from m2e.features.cache import audio_files, compute, default_folder, feature_cache
        from m2e.features.cache import plan as make_plan
    except ImportError as error:
        fail(f'features need {error.name}: install it with pip install "m2e[train]".')

    logging.basicConfig(format="m2e: %(message)s")
    out = out or str(default_folder(data, folder))
    unchecked = {} if data in CHECKED else {"check": "off"}  # bad files are told at the end
    try:
        dataset = read_dataset(data, folder, **unchecked | options)
        ids = dataset["id"][:]
        tracks = list(zip(ids, audio_files(ids, dataset["audio"], os.path.join(out, "audio")), strict=True))
    except (ValueError, OSError) as error:
        fail(str(error))

    load = partial(load_processor, model, _device(device, ranks), window, batch_size)
    try:
        # what several workers load for themselves is only looked at here
        processor = load() if workers == 1 else load_processor(model, "cpu", window, batch_size)
        cache = feature_cache(out, tracks, processor, harmony, rank, ranks)
        load = partial(_given, processor) if workers == 1 else load
        del processor
        if plan:
            every = replace(cache, rank=0, world_size=1)
            jobs = every.jobs()
            text = f"All {len(tracks)} tracks are in {out}."
            if jobs:
                text = describe(make_plan(every, jobs, load, workers, ranks), len(tracks), len(jobs))
            if rank == 0:  # the others only keep the machine as busy as it will be
                print(text)
            return
        jobs = cache.jobs()
        if len(jobs) < len(cache.share):
            tell(f"{len(cache.share) - len(jobs)} of {len(cache.share)} tracks are already in {out}.")
        with pace(len(jobs), rank == 0) as begin:
            failures = compute(cache, jobs, load, workers, begin)
    except (DataError, ModelError) as error:
        fail(str(error))
    except WorkerError as error:
        fail(f"{error} {GO_ON}", 1)
    except KeyboardInterrupt:
        tell(f"interrupted. {GO_ON}")
        raise typer.Exit(130) from None
    except OSError as error:
        fail(f"{error.filename or out} cannot be written: {error.strerror or error}. {GO_ON}", 1)
    if failures:
        tell(f"{len(failures)} of {len(cache.share)} tracks failed:")
    for sentence in failures:
        tell(sentence)
    if failures and ranks == 1:  # another status would make torchrun stop the other ranks
        raise typer.Exit(1)


def load_processor(model: str | None, device: str, window: float | None, batch_size: int | None) -> "M2EProcessor":
    from m2e.checkpoints.load import load

    return load(model, device=device, window=window, batch_size=batch_size).processor


def _given(processor: "M2EProcessor") -> "M2EProcessor":
    return processor


def _device(device: str, ranks: int) -> str:
    """Under torchrun every process of a machine takes a GPU of its own."""
    import torch

    if ranks == 1 or device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"


# --- what people read ---


def describe(plan: "Plan", tracks: int, left: int) -> str:
    """A plan in lines; failures of the tracks that were measured are among them."""
    lines = [
        f"tracks    {tracks:,}, {left:,} of them to be done",
        f"measured  {plan.measured}" + (f", {len(plan.failed)} of them failed" if plan.failed else ""),
        f"speed     {plan.tracks_per_second:.2f} tracks a second",
        f"time      {span(plan.seconds)}",
        f"disk      {size(plan.size)}",
    ]
    return "\n".join([*lines, *plan.failed])


def size(count: int) -> str:
    """Bytes in a unit that leaves at most three digits before the point."""
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and units[1:]:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"
