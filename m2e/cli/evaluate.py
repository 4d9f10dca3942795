"""`m2e evaluate`: scores of a model on a labelled data set, with intervals and published scores."""

import json
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from m2e.cli.options import DataFolder, DataName, DataOptions, Device, Model, data_options, interrupted, read_data
from m2e.cli.output_file import check_output, locked, open_output, writing
from m2e.errors import DataError, M2EError, UsageError
from m2e.terminal import fail, tell

if TYPE_CHECKING:
    from datasets import Dataset
    from rich.console import RenderableType

    from modeling_m2e import MusicEmotion


def evaluate(
    context: typer.Context,
    data: DataName,
    folder: DataFolder,
    model: Model = None,
    split: Annotated[Literal["train", "validation", "test", "all"], typer.Option(help="Choose the tracks.")] = "test",
    predictions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Score the records in FILE (jsonl of m2e predict) instead of running a model."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Also write JSON to FILE; keep results of other data sets in it."
        ),
    ] = None,
    option: DataOptions = None,
    protocol: Annotated[
        Literal["paper", "clean"] | None,
        typer.Option(help="Record the split protocol of the model's training data with the scores."),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Cache the features in DIR, as m2e features --out DIR does.",
            show_default="runs/features/NAME, as for m2e features and train.py",
        ),
    ] = None,
    device: Device = "auto",
    resamples: Annotated[
        int, typer.Option(min=0, metavar="N", help="Draw N bootstrap resamples; 0: no intervals.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Set the seed of the bootstrap.")] = 0,
) -> None:
    """Score a model on a labelled data set.

    Moods, valence, arousal and quadrants are scored if they are labelled. Prints the scores with 95 % bootstrap
    intervals and, for the test sets of the paper, the published scores.
    """
    try:
        options = data_options(option)
        if output is not None:
            check_output(output, ())
            context.with_resource(locked(output))  # until the end: other results in it must not be lost
        earlier = earlier_results(output)
        if predictions is not None and model is not None:
            raise UsageError("--model and --predictions exclude each other: give one of them.")
    except UsageError as error:
        fail(str(error))
    try:
        import m2e.datasets  # noqa: F401
        from m2e.evaluation import report as evaluation_report
        from m2e.evaluation.data import labels_of, predictions_of
        from m2e.evaluation.score import score
        from m2e.features.cache import default_folder
    except ModuleNotFoundError as error:
        fail(f'evaluation needs {error.name}: install it with pip install "m2e[train]".')
    from m2e.evaluation.paper_results import PUBLISHED

    logging.basicConfig(format="m2e: %(message)s")
    logging.getLogger("m2e.datasets").setLevel(logging.INFO)  # it says which labels are used
    features = features or str(default_folder(data, folder))
    try:
        dataset = read_data(data, folder, options)
        rows = rows_of(dataset, split)
        if predictions is None:
            name, tags, records = run(dataset.select(rows), model, device, features)
        else:
            name, tags, records = recorded(dataset.select(rows), predictions)
        labels, ignored = labels_of(dataset, tags)
        scored = {row: record for row, record in zip(rows, records, strict=True) if record is not None}
        if not scored:
            raise DataError(f"None of the {len(rows)} tracks has a record without error: nothing can be scored.")
        evaluation = score(
            labels[list(scored)], predictions_of(list(scored.values()), tags), tags, resamples=resamples, seed=seed
        )
    except M2EError as error:
        fail(str(error))
    except KeyboardInterrupt:
        interrupted(f"The features so far are cached in {features}.")

    entry = evaluation_report.result(name, data, folder, split, protocol, options, evaluation) | {
        "tracks_without_record": [dataset["id"][row] for row in rows if row not in scored],
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
    except UsageError as error:
        fail(str(error), 1)
    if ignored:
        words = ", ".join(word for word, _ in ignored.most_common(5))
        tell(f"{len(ignored)} moods of the data set match no mood of the model and are ignored ({words}, ...).")
    if len(scored) < len(rows):
        tell(f"{len(rows) - len(scored)} of {len(rows)} tracks have no record, or a failed one, and are not scored.")
        raise typer.Exit(1)


def rows_of(dataset: "Dataset", split: str) -> list[int]:
    """The rows of a split. Raises DataError if there are none."""
    splits = dataset["split"][:]
    rows = [row for row, each in enumerate(splits) if split in (each, "all")]
    if not rows:
        names = ", ".join(sorted(set(splits))) or "no track at all"
        raise DataError(f"The data set has no track in split {split}; it has {names}: choose another --split.")
    return rows


def run(
    dataset: "Dataset", model: str | None, device: str, features: str
) -> tuple[str, list[str], list["MusicEmotion | None"]]:
    """(name of the model, its moods, a record per track), predicted by the model. Raises M2EError."""
    from m2e.checkpoints.load import load
    from m2e.evaluation.data import predict

    if not os.path.isdir(features):
        tell(f"there are no features in {features}: computing them now; m2e features --workers N is faster.")
    pipe = load(model, device=device)
    labels = {int(index): label for index, label in (pipe.model.config.id2label or {}).items()}
    with writing(features):
        records = predict(pipe, dataset["id"][:], dataset["audio"][:], features, tell)
    return pipe.name or "unnamed model", [labels[index] for index in range(len(labels))], records


def recorded(dataset: "Dataset", file: str) -> tuple[str, list[str], list["MusicEmotion | None"]]:
    """(name of the model, its moods, a record per track), read from a file. Raises M2EError."""
    from m2e.evaluation.data import match, read_records

    try:
        read = read_records(file)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}.") from error
    paths = [source if isinstance(source, str) else source["path"] or "" for source in dataset["audio"][:]]
    records = match(read, paths)
    if unused := len(read) - sum(record is not None for record in records):
        tell(f"{unused} of the {len(read)} records in {file} are of no track of the split, or failed.")
    first = next((record for record in records if record is not None), None)
    if first is None:
        return file, [], records
    return first.model or file, sorted(mood.label for mood in first.moods), records


def earlier_results(output: str | None) -> list[dict[str, Any]]:
    """The results in a file of this command; empty if there is no file. Raises UsageError for any other file."""
    if output is None or not os.path.isfile(output):
        return []
    try:
        with open(output, encoding="utf-8") as file:
            results: list[dict[str, Any]] = json.load(file)["results"]
        if not all(isinstance(result["dataset"]["id"], str) for result in results):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{output} is not a file of m2e evaluate: choose another -o FILE.") from None
    return results


def others(earlier: Sequence[dict[str, Any]], result: dict[str, Any]) -> list[dict[str, Any]]:
    """The earlier results that a new one does not replace."""
    what = ("model", "dataset", "split", "options")
    return [each for each in earlier if any(each.get(name) != result[name] for name in what)]


def show(parts: "Sequence[RenderableType]") -> None:
    from rich.console import Console

    with open_output(None, for_people=True) as stdout:
        console = Console(file=stdout, highlight=False, soft_wrap=False)
        for part in parts:
            console.print(part)
