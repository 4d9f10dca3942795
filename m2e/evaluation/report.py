"""An evaluation as tables for a terminal, alone and beside published results, and as an entry of evaluation.json."""

import os
from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from m2e.datasets.registry import DATASETS, SLUGS
from m2e.evaluation.paper_results import PublishedTest
from m2e.evaluation.score import SCORE_NAMES, Evaluation

SOURCE = "Kang & Herremans 2025, arXiv 2502.03979"


def result(
    model: str, data: str, folder: str, split: str, protocol: str | None, options: Mapping, evaluation: Evaluation
) -> dict[str, Any]:
    """An entry of evaluation.json. data: name of the reader.  folder: its input.  options: of the reader."""
    return {
        "model": model,
        "dataset": dataset_names(data, folder),
        "split": split,
        "protocol": protocol,
        "options": {name: _without_path(value) for name, value in options.items()},
        **evaluation.to_dict(),
    }


def dataset_names(data: str, folder: str) -> dict[str, str]:
    """{"name", "id"} of a data set, without its path."""
    slug = SLUGS.get(data, data)
    if slug in DATASETS:
        return {"name": DATASETS[slug].partition(" (")[0], "id": slug}
    if data == "hub" and not os.path.exists(folder):
        return {"name": folder, "id": folder}
    return {"name": _basename(folder), "id": data}


def _without_path(value: Any) -> Any:
    """The value; of a file or folder only its name, as the path means nothing to others."""
    return _basename(value) if isinstance(value, str) and os.path.exists(value) else value


def _basename(path: str) -> str:
    return os.path.basename(os.path.abspath(path))


def report(title: str, evaluation: Evaluation) -> Group:
    """All scores and their intervals under a title."""
    table = _table("", "score", f"{evaluation.level:.0%} interval")
    for name, label in SCORE_NAMES.items():
        if name in evaluation.scores:
            table.add_row(label, _number(evaluation.scores[name]), _interval(evaluation, name))
    lines: list[RenderableType] = [Text(title, style="bold"), table]
    if "mood_tags" in evaluation.scores:
        left_out = len(evaluation.tags_left_out)
        lines.append(
            Text(f"Macro means run over {evaluation.scores['mood_tags']} moods; {left_out} have too few tracks.")
        )
    if evaluation.intervals:
        lines.append(Text(f"Intervals: bootstrap over tracks, {evaluation.resamples} resamples."))
    if evaluation.note:
        lines.append(Text(evaluation.note, style="bold"))
    return Group(*lines)


def beside_published(
    model: str, evaluation: Evaluation, published: PublishedTest, options: Mapping[str, object]
) -> Group:
    """The model among published systems, sorted by the first score, and remarks on what differs.

    options: of the reader that read the labels.
    """
    table = _table("system", "table", *(SCORE_NAMES[name] for name in published.scores))
    rows = [
        (result.scores[published.scores[0]], result.system, result.table, [_number(v) for v in result.scores.values()])
        for result in published.results
    ]
    ours = [f"{_number(evaluation.scores[name])} {_interval(evaluation, name)}" for name in published.scores]
    rows.append((evaluation.scores[published.scores[0]], model, "here", ours))
    for _, system, source, cells in sorted(rows, key=lambda row: -row[0]):
        table.add_row(system, source, *cells, style="bold" if source == "here" else None)
    lines: list[RenderableType] = [Text(f"Published for this test set (tables of {SOURCE})", style="bold"), table]
    if evaluation.tracks != published.tracks:
        lines.append(Text(f"Not the same test set: {evaluation.tracks} tracks here, {published.tracks} there."))
    wanted = {name: value for name, value in published.options.items() if options.get(name) != value}
    if published.remark:
        asked = "".join(f" --option {name}={value}" for name, value in wanted.items())
        lines.append(Text(f"Note: {published.remark}" + (f"; compare with{asked}." if wanted else ".")))
    return Group(*lines)


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"


def _interval(evaluation: Evaluation, name: str) -> str:
    bounds = evaluation.intervals.get(name)
    return "" if bounds is None or bounds[0] != bounds[0] else f"[{bounds[0]:.4f}, {bounds[1]:.4f}]"
