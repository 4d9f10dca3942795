"""The scores on a model card: reads an evaluation.json and writes its model-index and its tables."""

import math
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult

from m2e.errors import PublishError

EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Result:
    """Scores of a model on one split: metric -> value, and metric -> (low, high) where there is an interval.

    dataset_id: a key of DATASETS or a hub id.  setting: the protocol and options of the data set, "" if it has none.
    """

    dataset: str
    dataset_id: str
    split: str
    setting: str
    scores: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def results(evaluation: dict[str, Any]) -> list[Result]:
    """The results in an evaluation.json, without undefined (null) scores.

    evaluation: {"results": [...]}, each with "dataset" ("name", "id"), "split", "scores" and optional "protocol",
    "options" and "intervals", as m2e evaluate writes it; or what train.py writes for Panda 4Q, where "shipped_test"
    holds the scores of the saved weights. Raises PublishError.
    """
    panda4q = {"dataset": {"name": "Panda 4Q", "id": "panda-4q"}, "split": "test"}
    listed = evaluation.get("results", [])
    if "shipped_test" in evaluation:
        scored = {"scores": evaluation["shipped_test"], "intervals": evaluation["intervals"]["test"]}
        listed = [panda4q | scored, *listed]
    try:
        return [
            Result(
                dataset=each["dataset"]["name"],
                dataset_id=each["dataset"]["id"],
                split=each["split"],
                setting=_setting(each.get("protocol"), each.get("options") or {}),
                scores={
                    name: round(float(value), 4)
                    for name, value in each["scores"].items()
                    if value is not None and math.isfinite(value) and name in _score_names()
                },
                intervals=each.get("intervals") or {},
            )
            for each in listed
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise PublishError(
            f"{EVALUATION} has a result without dataset, split or scores ({error!r}): evaluate the model again."
        ) from error


def _setting(protocol: str | None, options: dict[str, Any]) -> str:
    return ", ".join([*([protocol] if protocol else []), *(f"{name}={value}" for name, value in options.items())])


def _score_names() -> dict[str, str]:
    from m2e.evaluation.score import SCORE_NAMES

    wcsr = ("root", "thirds", "triads", "sevenths", "tetrads", "majmin", "mirex")
    chords = {name: f"Chords, WCSR {name}" for name in wcsr} | {"seg": "Chords, segmentation", "key": "Key, weighted"}
    return SCORE_NAMES | chords


def model_index(evaluation: dict[str, Any], task: str) -> list[EvalResult]:
    """The `results` of an evaluation as entries of a card's metadata. task: its name for people."""
    return [
        EvalResult(
            task_type="audio-classification",
            task_name=task,
            dataset_type=result.dataset_id,
            dataset_name=result.dataset,
            dataset_config=result.setting or None,
            dataset_split=result.split,
            metric_type=metric,
            metric_name=_score_names()[metric],
            metric_value=value,
        )
        for result in results(evaluation)
        for metric, value in result.scores.items()
    ]


def score_table(evaluation: dict[str, Any]) -> str:
    """Markdown: every score of one network, mean and deviation over seeds, and of the networks of all seeds together,
    with 95 % intervals of a bootstrap over tracks."""
    columns = "folds, one network | test, one network | folds, all together | test, all together: these weights"
    rows = [f"| | {columns} |", "|---|---|---|---|---|"]
    for metric, label in _score_names().items():
        if metric in evaluation["shipped_test"]:
            alone = [evaluation[part].get(metric) for part in ("folds", "test")]
            cells = ["" if each is None else f"{each['mean']:.3f} ± {each['std']:.3f}" for each in alone]
            for part in ("folds", "test"):
                value, bounds = evaluation[f"shipped_{part}"].get(metric), evaluation["intervals"][part].get(metric)
                cells.append("" if value is None else f"{value:.3f} {_interval(bounds, '({})')}".strip())
            rows.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(rows)


def scores_section(evaluation: dict[str, Any]) -> str:
    """The section "Results" of a card, in Markdown."""
    tables = []
    if "shipped_test" in evaluation:
        tables.append(score_table(evaluation))
    listed = results({"results": evaluation.get("results", [])})
    if listed:
        rows = [
            f"| {result.dataset} | {', '.join(filter(None, [result.split, result.setting]))} "
            f"| {_score_names()[metric]} | {value:.3f} | {_interval(result.intervals.get(metric))} |"
            for result in listed
            for metric, value in result.scores.items()
        ]
        tables.append("\n".join(["| data set | split | score | | interval |", "|---|---|---|---|---|", *rows]))
    if not tables:
        return f"These weights come without an evaluation (`{EVALUATION}`)."
    return "\n\n".join([*tables, f"Source: `{EVALUATION}`; the model-index above holds the same scores."])


def _interval(bounds: tuple[float, float] | None, shape: str = "{}") -> str:
    return "" if bounds is None or None in bounds else shape.format(f"{bounds[0]:.3f} – {bounds[1]:.3f}")
