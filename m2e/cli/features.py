"""`m2e features`: caches the features of a data set for training and evaluation."""

import logging
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from m2e.cli.options import (
    BatchSize,
    DataFolder,
    DataName,
    DataOptions,
    Device,
    Window,
    data_options,
    interrupted,
    read_data,
)
from m2e.cli.output_file import writing
from m2e.cli.ray_cluster import Engine, NumCpus, NumGpus, RayAddress, ray_installed
from m2e.errors import M2EError, UsageError, WorkerError
from m2e.terminal import fail, pace, span, tell

if TYPE_CHECKING:
    from m2e.features.cache import Plan
    from modeling_m2e import M2EProcessor

CHECKED = ("emopia", "hub")  # emopia's audio is rendered when it is checked; audio of the hub is not in files
RESUME = "Run the same command to resume."
RAY_TRACKS = 8  # that an actor gets at once


def features(
    data: DataName,
    folder: DataFolder,
    out: Annotated[
        str | None,
        typer.Option(metavar="OUT", help="Write the features into the folder OUT.", show_default="runs/features/NAME"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|REPO",
            help="Use the encoder and the chord recogniser of this model.",
            show_default="m2e-small",
        ),
    ] = None,
    device: Device = "auto",
    window: Window = None,
    batch_size: BatchSize = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Analyse in N processes, each with its own networks.", show_default="1"),
    ] = None,
    harmony: Annotated[bool, typer.Option("--harmony/--no-harmony", help="Also recognise chords and key.")] = True,
    option: DataOptions = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only measure a few tracks, and print speed, time and size of all.")
    ] = False,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    num_cpus: NumCpus = 1,
    num_gpus: NumGpus = 0,
) -> None:
    """Cache the features of a data set.

    Features are embeddings of windows, chords and key. The same command resumes an interrupted run, also with other
    --workers. Tracks that cannot be read are skipped and listed at the end. Several GPUs or machines share the work
    under torchrun: torchrun --no-python --nproc-per-node 8 m2e features ..., or --engine ray.
    """
    rank, ranks = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if engine == "ray" and ranks > 1:
        fail("Ray shares the work by itself: run the command without torchrun.")
    if engine == "ray" and plan:
        fail("--plan measures this machine: remove --engine ray.")
    try:
        options = data_options(option)
    except M2EError as error:
        fail(str(error))
    try:
        import m2e.datasets  # noqa: F401
        from m2e.features.cache import Run, audio_files, compute, default_folder, feature_cache
        from m2e.features.cache import plan as make_plan
        from m2e.workers import predictions
    except ModuleNotFoundError as error:
        fail(f'features need {error.name}: install it with pip install "m2e[train]".')

    logging.basicConfig(format="m2e: %(message)s")
    out = out or str(default_folder(data, folder))
    run: Run = predictions
    if engine == "ray":
        from m2e.batch.ray_engine import Cluster, results

        out = os.path.abspath(out)  # all machines write there
        run = partial(results, Cluster(ray_address, workers, num_cpus, num_gpus, RAY_TRACKS))
    alone = engine == "local" and workers in (None, 1)
    unchecked = {} if data in CHECKED else {"check": "off"}  # bad files are listed at the end
    load = partial(load_processor, model, _device(device, ranks), window, batch_size)
    try:
        dataset = read_data(data, folder, unchecked | options)
        ids = dataset["id"][:]
        with writing(out):
            tracks = list(zip(ids, audio_files(ids, dataset["audio"], os.path.join(out, "audio")), strict=True))
        # several workers load their own; this one only gives the settings
        processor = load() if alone else load_processor(model, "cpu", window, batch_size)
        cache = feature_cache(out, tracks, processor, harmony, rank, ranks)
        if alone:
            load = partial(_given, processor)
        del processor
        if plan:
            every = replace(cache, rank=0, world_size=1)
            jobs = every.jobs()
            text = f"All {len(tracks)} tracks are in {out}."
            if jobs:
                text = describe(make_plan(every, jobs, load, workers or 1, ranks), len(tracks), len(jobs))
            if rank == 0:  # the other ranks only load the machine as they will later
                print(text)
            return
        jobs = cache.jobs()
        if len(jobs) < len(cache.share):
            tell(f"{len(cache.share) - len(jobs)} of {len(cache.share)} tracks are already in {out}.")
        with ray_installed(), writing(out), pace(len(jobs), rank == 0) as begin:
            failures = compute(cache, jobs, load, workers or 1, begin, run)
    except (WorkerError, UsageError) as error:
        fail(f"{error} {RESUME}", 1)
    except M2EError as error:
        fail(str(error))
    except KeyboardInterrupt:
        interrupted(RESUME)
    if failures:
        tell(f"{len(failures)} of {len(cache.share)} tracks failed:")
    for sentence in failures:
        tell(sentence)
    if failures and ranks == 1:  # with exit status 1, torchrun would stop the other ranks
        raise typer.Exit(1)


def load_processor(model: str | None, device: str, window: float | None, batch_size: int | None) -> "M2EProcessor":
    from m2e.checkpoints.load import load

    pipe = load(model, device=device, window=window, batch_size=batch_size)
    return pipe.processor


def _given(processor: "M2EProcessor") -> "M2EProcessor":
    return processor


def _device(device: str, ranks: int) -> str:
    """The device; under torchrun every process of a machine takes its own GPU."""
    import torch

    if ranks == 1 or device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"


# --- the text of --plan ---


def describe(plan: "Plan", tracks: int, left: int) -> str:
    """The lines of a plan, with the failures of the measured tracks."""
    lines = [
        f"tracks    {tracks:,}, {left:,} of them to do",
        f"measured  {plan.measured}" + (f", {len(plan.failed)} of them failed" if plan.failed else ""),
        f"speed     {plan.tracks_per_second:.2f} tracks a second",
        f"time      {span(plan.seconds)}",
        f"disk      {size(plan.size)}",
    ]
    return "\n".join([*lines, *plan.failed])


def size(count: int) -> str:
    """Bytes with a unit, at most three digits before the point."""
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and units[1:]:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"
