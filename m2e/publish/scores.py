"""The scores on a model card: reads an evaluation.json and writes its model-index and its tables."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml

from m2e.datasets.registry import HUB_IDS
from m2e.errors import PublishError

EVALUATION = "evaluation.json"
Json = dict[str, Any]
TABLE_SCORES = (  # of `score_table`; the others are in the evaluation
    "quadrant_f1",
    "quadrant_accuracy",
    "r2_valence",
    "r2_arousal",
    "mood_roc_auc",
    "mood_pr_auc",
    "mood_ece",
)


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


def results(evaluation: Json) -> list[Result]:
    """The results on test sets in an evaluation.json, without undefined (null) scores.

    evaluation: {"results": [...]} as m2e evaluate and train.py write it, each with "dataset" ("name", "id"), "split",
    "scores" and optional "protocol", "options" and "intervals". Raises PublishError.
    """
    listed = evaluation.get("results", [])
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


def _setting(protocol: str | None, options: Json) -> str:
    return ", ".join([*([protocol] if protocol else []), *(f"{name}={value}" for name, value in options.items())])


def _score_names() -> dict[str, str]:
    from m2e.evaluation.score import SCORE_NAMES

    wcsr = ("root", "thirds", "triads", "sevenths", "tetrads", "majmin", "mirex")
    chords = {name: f"Chords, WCSR {name}" for name in wcsr} | {"seg": "Chords, segmentation", "key": "Key, weighted"}
    return SCORE_NAMES | chords


def model_index(evaluation: Json, task: str, hub_ids: bool = False) -> list[EvalResult]:
    """The `results` of an evaluation as entries of a card's metadata.

    task: its name for people.  hub_ids: name data sets by their ids on the hub, where they have one.
    """
    return [
        EvalResult(
            task_type="audio-classification",
            task_name=task,
            dataset_type=HUB_IDS.get(result.dataset_id, result.dataset_id) if hub_ids else result.dataset_id,
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


def eval_results(evaluation: Json, repo: str) -> dict[str, bytes]:
    """{path in the repository: content} of the hub's newer form of scores: a file for each data set that is on the hub.

    repo: hub id of the model; the scores link to its evaluation.json.
    """
    import yaml

    entries: dict[str, list[EvalResultEntry]] = {}
    for result in results(evaluation):
        dataset = HUB_IDS.get(result.dataset_id, result.dataset_id)
        if "/" not in dataset:
            continue
        entries.setdefault(dataset, []).extend(
            EvalResultEntry(
                dataset_id=dataset,
                task_id=metric,
                value=value,
                source_url=f"https://huggingface.co/{repo}/blob/main/{EVALUATION}",
                source_name="m2e evaluate",
                notes=", ".join(filter(None, [result.split, result.setting])),
            )
            for metric, value in result.scores.items()
        )
    return {
        f".eval_results/{dataset.replace('/', '--')}.yaml": yaml.safe_dump(
            eval_result_entries_to_yaml(listed), sort_keys=False, allow_unicode=True
        ).encode()
        for dataset, listed in entries.items()
    }


def score_table(evaluation: Json, result: Json) -> str:
    """Markdown: the main scores on one data set with 95 % intervals of a bootstrap over tracks.

    With several seeds also the scores of one network, mean and deviation over seeds; with folds the same out of fold.

    result: an entry of `results` with the "name" that the scores over seeds have.
    """
    name, folds = result["name"], evaluation.get("folds", {})
    out_of_fold = next((each for each in folds.get("results", []) if each["name"] == name), None)
    parts = [("folds", folds, out_of_fold), ("test", evaluation, result)]
    headings = {"folds": "folds", "test": "test, these weights"}
    columns: list[tuple[str, Callable[[str], str]]] = []
    for part, source, _ in parts:
        if alone := source.get("over_seeds"):
            columns.append((f"{part}, one network", partial(_spread, alone, name)))
    columns += [(headings[part], partial(_scored, each)) for part, _, each in parts if each is not None]
    rows = ["| | " + " | ".join(heading for heading, _ in columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for metric in TABLE_SCORES:
        if metric in result["scores"]:
            rows.append(f"| {_score_names()[metric]} | {' | '.join(cell(metric) for _, cell in columns)} |")
    return "\n".join(rows)


def _spread(over_seeds: Json, name: str, metric: str) -> str:
    each = over_seeds.get(f"{name}.{metric}")
    return "" if each is None else f"{each['mean']:.3f} ± {each['std']:.3f}"


def _scored(result: Json, metric: str) -> str:
    value, bounds = result["scores"].get(metric), (result.get("intervals") or {}).get(metric)
    return "" if value is None else f"{value:.3f} {_interval(bounds, '({})')}".strip()


def scores_section(evaluation: Json) -> str:
    """The section "Results" of a card, in Markdown."""
    listed = evaluation.get("results", [])
    own = [each for each in listed if "name" in each] if {"seeds", "folds"} & evaluation.keys() else []
    tables = [f"{each['dataset']['name']}:\n\n{score_table(evaluation, each)}" for each in own]
    if others := results({"results": [each for each in listed if each not in own]}):
        rows = [
            f"| {result.dataset} | {', '.join(filter(None, [result.split, result.setting]))} "
            f"| {_score_names()[metric]} | {value:.3f} | {_interval(result.intervals.get(metric))} |"
            for result in others
            for metric, value in result.scores.items()
        ]
        tables.append("\n".join(["| data set | split | score | | interval |", "|---|---|---|---|---|", *rows]))
    if not tables:
        return f"These weights come without an evaluation (`{EVALUATION}`)."
    return "\n\n".join([*tables, f"Source: `{EVALUATION}`; the model-index above holds the same scores."])


def _interval(bounds: tuple[float, float] | None, shape: str = "{}") -> str:
    return "" if bounds is None or None in bounds else shape.format(f"{bounds[0]:.3f} – {bounds[1]:.3f}")
