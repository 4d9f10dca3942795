"""`m2e evaluate`: the scores of a model on a labelled data set, with intervals, beside published ones."""

import json
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from m2e.cli.options import DataFolder, DataName, DataOptions, Device, Model, data_options
from m2e.errors import ModelError, UsageError
from m2e.inputs import check_output, open_output
from m2e.terminal import fail, tell

if TYPE_CHECKING:
    from datasets import Dataset

    from modeling_m2e import MusicEmotion


def evaluate(
    data: DataName,
    folder: DataFolder,
    model: Model = None,
    split: Annotated[Literal["train", "validation", "test", "all"], typer.Option(help="Which tracks.")] = "test",
    predictions: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Score these records of m2e predict (jsonl) instead of running a model."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Also write JSON; results of other data sets in it stay."),
    ] = None,
    option: DataOptions = None,
    protocol: Annotated[
        Literal["paper", "clean"] | None,
        typer.Option(help="Which tracks the model was trained without; noted with the scores."),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Where features are kept, as by m2e features --out DIR.",
            show_default="runs/features/NAME, where m2e features and train.py keep them",
        ),
    ] = None,
    device: Device = "auto",
    resamples: Annotated[int, typer.Option(min=0, metavar="N", help="Of the bootstrap; 0: no intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the bootstrap.")] = 0,
) -> None:
    """Score a model on a labelled data set: moods, valence, arousal and quadrants, whichever are labelled.

    Prints the scores with 95 % bootstrap intervals and, for the test sets of the paper, what was published for them.
    """
    try:
        options = data_options(option)
        if output is not None:
            check_output(output, ())
        earlier = earlier_results(output)
        if predictions is not None and model is not None:
            raise UsageError("--model and --predictions are two ways to the same records: give one of them.")
    except UsageError as error:
        fail(str(error))
    try:
        from m2e.datasets import read_dataset
        from m2e.errors import DataError
        from m2e.evaluation import report as evaluation_report
        from m2e.evaluation.data import labels_of, predictions_of
        from m2e.evaluation.score import score
        from m2e.features.cache import default_folder
    except ModuleNotFoundError as error:
        fail(f'evaluation needs {error.name}: install it with pip install "m2e[train]".')
    from m2e.evaluation.paper_results import PUBLISHED

    logging.basicConfig(format="m2e: %(message)s")
    logging.getLogger("m2e.datasets").setLevel(logging.INFO)  # which labels were used
    features = features or str(default_folder(data, folder))
    try:
        dataset = read_dataset(data, folder, **options)
        rows = rows_of(dataset, split)
        if predictions is None:
            name, tags, records = run(dataset.select(rows), model, device, features)
        else:
            name, tags, records = recorded(dataset.select(rows), predictions)
        labels, ignored = labels_of(dataset, tags)
        good = [index for index, record in enumerate(records) if record is not None]
        if not good:
            raise DataError(f"None of the {len(rows)} tracks has a record without error: nothing can be scored.")
        evaluation = score(
            labels[[rows[index] for index in good]],
            predictions_of([records[index] for index in good], tags),
            tags,
            resamples=resamples,
            seed=seed,
        )
    except (DataError, ModelError, ValueError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        tell(f"interrupted: the features that were computed are in {features}.")
        raise typer.Exit(130) from None

    entry = evaluation_report.result(name, data, folder, split, protocol, options, evaluation) | {
        "tracks_without_record": [dataset["id"][row] for row, r in zip(rows, records, strict=True) if r is None],
        "moods_ignored": dict(ignored.most_common()),
    }
    title = entry["dataset"]["name"]
    under = f", protocol {protocol}" if protocol else ""
    shown = [evaluation_report.report(f"{name} on {title}, {split}{under}: {evaluation.tracks} tracks", evaluation)]
    if data in PUBLISHED and split == "test":
        shown.append(evaluation_report.beside_published(name, evaluation, PUBLISHED[data], options))
    try:
        show(shown)
        if output is not None:
            with open_output(output) as file:
                results = [*others(earlier, entry), entry]
                file.write(json.dumps({"results": results}, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        fail(f"{output or 'stdout'} cannot be written: {error.strerror or error}.", 1)
    if ignored:
        words = ", ".join(word for word, _ in ignored.most_common(5))
        tell(f"{len(ignored)} of the data set's moods mean none of the model's and are ignored ({words}, ...).")
    if len(good) < len(rows):
        tell(f"{len(rows) - len(good)} of {len(rows)} tracks have no record, or a failed one, and are left out.")
        raise typer.Exit(1)


def rows_of(dataset: "Dataset", split: str) -> list[int]:
    """The rows of a split. Raises ValueError where there are none."""
    splits = dataset["split"][:]
    rows = [row for row, each in enumerate(splits) if split in (each, "all")]
    if not rows:
        there = ", ".join(sorted(set(splits))) or "no track at all"
        raise ValueError(f"The data set has no track in split {split}; it has {there}.")
    return rows


def run(
    dataset: "Dataset", model: str | None, device: str, features: str
) -> tuple[str, list[str], list["MusicEmotion | None"]]:
    """(name of the model, its moods, a record per track), by the model itself."""
    from m2e.checkpoints.load import load
    from m2e.evaluation.data import predict

    if not os.path.isdir(features):
        tell(f"there are no features in {features}: they are computed now; m2e features can do it with --workers.")
    pipe = load(model, device=device)
    labels = pipe.model.config.id2label
    records = predict(pipe, dataset["id"][:], dataset["audio"][:], features, tell)
    return pipe.name, [labels[index] for index in range(len(labels))], records


def recorded(dataset: "Dataset", file: str) -> tuple[str, list[str], list["MusicEmotion | None"]]:
    """The same from records that lie in a file."""
    from m2e.evaluation.data import match, read_records

    read = read_records(file)
    paths = [source if isinstance(source, str) else source["path"] or "" for source in dataset["audio"][:]]
    records = match(read, paths)
    found = next((record for record in records if record is not None), None)
    if unused := len(read) - sum(record is not None for record in records):
        tell(f"{unused} of the {len(read)} records in {file} belong to no track of the split, or failed.")
    return (found and found.model) or file, sorted(mood.label for mood in found.moods) if found else [], records


def earlier_results(output: str | None) -> list[dict]:
    """The results that a file of this command holds, none where there is no file. Raises UsageError for another one."""
    if output is None or not os.path.isfile(output):
        return []
    try:
        with open(output, encoding="utf-8") as file:
            results = json.load(file)["results"]
        if not all(isinstance(result["dataset"]["id"], str) for result in results):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{output} holds other things than results of m2e evaluate: choose another -o FILE.") from None
    return results


def others(earlier: Sequence[dict], result: dict) -> list[dict]:
    """Those results that a new one does not replace."""
    what = ("model", "dataset", "split", "options")
    return [each for each in earlier if any(each.get(name) != result[name] for name in what)]


def show(parts: Sequence) -> None:
    from rich.console import Console

    with open_output(None, to_be_read=True) as stdout:
        console = Console(file=stdout, highlight=False, soft_wrap=False)
        for part in parts:
            console.print(part)
