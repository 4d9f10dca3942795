"""Fits the numbers of `Answers` on predictions for held-out tracks, and writes them into the model's config.json.

    python -m m2e.training.answers runs/m2e-small                     # as train.py does, which leaves held_out.npz
    python -m m2e.training.answers runs/m2e-small --center --stretch 0.5
    python -m m2e.training.answers runs/m2e-small --reference records.jsonl --name "1,000 tracks of ..."

Prints R2 and coverage with and without what was fitted. See docs/training.md.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2e.errors import M2EError, TrainingError
from m2e.storage import write_text
from m2e.training import held_out
from m2e.training.held_out import HeldOut
from modeling_m2e.answers_m2e import (
    DIMENSIONS,
    FULL_SECONDS,
    MIN_SHARE,
    SPREAD_FLOOR,
    Answers,
    Intervals,
    MonotoneMap,
    Percentiles,
    Width,
)
from modeling_m2e.output_m2e import calibrate

LEVEL = 0.8
NEUTRAL = 5.0
QUANTILES = 101
MIN_LABELS = 30  # of valence or arousal, for an interval
_MARGIN = 0.5  # points next to the ends of the scale, where a stretched map gets flat
_LEAST_RATE = 1e-4


def fit(
    config: Any,
    tracks: Mapping[str, HeldOut],
    center: bool = False,
    stretch: float = 0.0,
    level: float = LEVEL,
    reference: str | None = None,
) -> Answers:
    """All numbers that these tracks of data sets can tell about what an M2EConfig with calibrated moods has learnt.

    center: move the neutral point to 5.  stretch: share of the deviation that predictions lack which is given back to
    them, 0 to 1.  level: of the intervals.  reference: what percentiles call these tracks; None = by their data sets.
    """
    every = list(tracks.values())
    learnt = getattr(config, "trained_tasks", ["mood", "va"])
    plain = Answers(
        mood_base_rates=base_rates(config, every) if "mood" in learnt else None,
        quadrant_temperature=quadrant_temperature(every),
        calibration=calibration(config, every, center, stretch),
    )
    values = np.concatenate([plain.calibrated(each.va) for each in every])
    values = np.clip(values, config.va_min, config.va_max)
    name = reference or f"{len(values)} tracks of {', '.join(tracks)}, each predicted without having been learnt"
    valence, arousal = (quantiles(column) for column in values.T)
    return Answers(
        plain.mood_base_rates,
        plain.quadrant_temperature,
        plain.calibration,
        intervals(every, plain, level),
        Percentiles(name, valence, arousal) if "va" in learnt else None,
    )


def base_rates(config: Any, tracks: Sequence[HeldOut]) -> tuple[float, ...] | None:
    """The mean calibrated probability of every mood; None for a model without moods."""
    logits = np.concatenate([each.mood_logits for each in tracks])
    if not logits.shape[1]:
        return None
    probabilities = calibrate(logits, config.mood_scale, config.mood_offset)
    return tuple(np.clip(probabilities.mean(axis=0), _LEAST_RATE, 1.0).tolist())


def quadrant_temperature(tracks: Sequence[HeldOut]) -> float:
    """The temperature of least log-loss of the labelled quadrants; 1 where nothing tells it."""
    known = [each for each in tracks if each.quadrant_logits.shape[1]]
    rows = [each.quadrants >= 0 for each in known]
    if not sum(int(each.sum()) for each in rows):
        return 1.0
    logits = np.concatenate([each.quadrant_logits[keep] for each, keep in zip(known, rows, strict=True)])
    labels = np.concatenate([each.quadrants[keep] for each, keep in zip(known, rows, strict=True)])

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]).mean())

    return min((round(float(each), 3) for each in np.geomspace(0.2, 5.0, 129)), key=loss)


# --- the scale ---


def calibration(
    config: Any, tracks: Sequence[HeldOut], center: bool, stretch: float
) -> tuple[MonotoneMap, MonotoneMap] | None:
    """The maps of valence and of arousal; None where they would change nothing."""
    if not 0 <= stretch <= 1:
        raise TrainingError(f"stretch is {stretch}: give a number from 0 to 1.")
    neutral = np.array([config.neutral_valence, config.neutral_arousal], dtype=np.float64)
    if not stretch and not (center and (neutral != NEUTRAL).any()):
        return None
    maps = []
    for axis, middle in enumerate(neutral.tolist()):
        predictions, labels = _labelled(tracks, axis)
        lacking = labels.std() / predictions.std() if len(labels) >= MIN_LABELS else 1.0
        slope = 1 + stretch * max(lacking - 1, 0.0)
        maps.append(_line(middle, NEUTRAL if center else middle, slope, config.va_min, config.va_max))
    return maps[0], maps[1]


def _line(source: float, target: float, slope: float, low: float, high: float) -> MonotoneMap:
    """From `low` to `high` onto the same, straight with this slope around source -> target, as far as it can."""
    knots = [(low, low), (source, target), (high, high)]
    for at, end in ((low + _MARGIN, low), (high - _MARGIN, high)):
        place = source + (at - target) / slope
        if low < place < high and min(abs(place - source), abs(place - end)) > 1e-6:
            knots.append((place, at))
    knots.sort()
    return MonotoneMap(tuple(x for x, _ in knots), tuple(y for _, y in knots))


def _labelled(tracks: Iterable[HeldOut], axis: int) -> tuple[np.ndarray, np.ndarray]:
    """(predictions, labels) of one dimension, of the tracks with a label."""
    pairs = [(each.va[:, axis], each.labels[:, axis]) for each in tracks]
    predictions, labels = (np.concatenate(each) for each in zip(*pairs, strict=True))
    known = ~np.isnan(labels)
    return predictions[known].astype(np.float64), labels[known]


def quantiles(values: np.ndarray) -> tuple[float, ...]:
    """Equally spaced quantiles, 0 to 100 %, to 4 decimals."""
    return tuple(np.quantile(values, np.linspace(0, 1, QUANTILES)).round(4).tolist())


# --- intervals ---


def intervals(tracks: Sequence[HeldOut], answers: Answers, level: float = LEVEL) -> Intervals | None:
    """Split conformal intervals with normalised errors (Lei et al. 2018, JASA), of whole tracks; None where a dimension
    has too few labels."""
    widths = [width(tracks, answers, axis, level) for axis in range(2)]
    return Intervals(level, *(each for each in widths if each is not None)) if None not in widths else None


def width(tracks: Sequence[HeldOut], answers: Answers, axis: int, level: float) -> Width | None:
    """How wide the intervals of a dimension are."""
    errors, spread, seconds = _errors(tracks, answers, axis)
    if len(errors) < MIN_LABELS:
        return None
    constant, slope = _by_spread(np.abs(errors), spread)
    found = Width(constant, slope, 0.0, 1.0, 1.0)
    found = Width(constant, slope, _by_seconds(tracks, answers, axis, found, level), 1.0, 1.0)
    below, above = conformal(errors / found.scale(spread, seconds), level)
    return Width(*(round(each, 4) for each in (found.constant, found.spread, found.seconds, below, above)))


def conformal(scores: np.ndarray, level: float) -> tuple[float, float]:
    """How far below and above a prediction an interval reaches, in units of its scale, from errors in that unit.

    Of n + 1 exchangeable errors, each tail has at most (1 - level) / 2. At least 0, so that it holds the prediction.
    """
    ordered, tail = np.sort(scores), round((1 - level) / 2, 9)  # 0.1 exactly for 0.8, as ranks are whole numbers
    low = math.floor((len(scores) + 1) * tail) - 1
    high = math.ceil((len(scores) + 1) * (1 - tail)) - 1
    return max(0.0, -float(ordered[max(low, 0)])), max(0.0, float(ordered[min(high, len(scores) - 1)]))


def _errors(tracks: Iterable[HeldOut], answers: Answers, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(label - calibrated prediction, spread, seconds) of the tracks with a label."""
    parts = [
        (each.labels[:, axis] - answers.calibrated(each.va)[:, axis], each.spread[:, axis], each.seconds)
        for each in tracks
    ]
    errors, spread, seconds = (np.concatenate(each) for each in zip(*parts, strict=True))
    known = ~np.isnan(errors)
    return errors[known], spread[known], seconds[known]


def _by_spread(sizes: np.ndarray, spread: np.ndarray) -> tuple[float, float]:
    """(constant, slope) of the likeliest Laplace scale exp(constant + slope * log(spread + floor)) of the errors."""
    moved = np.log(spread + SPREAD_FLOOR)

    def constant(slope: float) -> float:  # the likeliest one for this slope
        return math.log(max(float((sizes * np.exp(-slope * moved)).mean()), 1e-6))

    def loss(slope: float) -> float:
        return constant(slope) + slope * float(moved.mean())

    slopes = np.linspace(0.0, 2.0, 81).tolist() if np.ptp(spread) > 1e-9 else [0.0]
    best = min(slopes, key=loss)
    return constant(best), best


def _by_seconds(tracks: Sequence[HeldOut], answers: Answers, axis: int, whole: Width, level: float) -> float:
    """The slope by which the `level` quantile of the errors grows from whole tracks to excerpts, in logarithms."""
    products = squares = 0.0
    for each in tracks:
        for place, seconds in enumerate(each.excerpt_seconds.tolist()):
            part, label = each.excerpt_va[:, place], each.labels[:, axis]
            rows = ~np.isnan(label) & ~np.isnan(part[:, axis])
            if rows.sum() < MIN_LABELS:
                continue
            sizes = []
            for va, spread in ((part, each.excerpt_spread[:, place]), (each.va, each.spread)):
                errors = label[rows] - answers.calibrated(va[rows])[:, axis]
                sizes.append(np.quantile(np.abs(errors) / whole.scale(spread[rows, axis], FULL_SECONDS), level))
            ends = np.clip(np.array([seconds, each.seconds[rows].mean()]) / FULL_SECONDS, MIN_SHARE, 1.0)
            moved = math.log(ends[0]) - math.log(ends[1])
            products += rows.sum() * moved * math.log(max(sizes[0], 1e-6) / max(sizes[1], 1e-6))
            squares += rows.sum() * moved**2
    return float(np.clip(products / squares, -2.0, 0.0)) if squares else 0.0


# --- what it is worth ---


def report(config: Any, tracks: Mapping[str, HeldOut], answers: Answers) -> list[str]:
    """A line per data set and dimension: R2 of the outputs and of calibrated values.

    "same scale" means with labels that were moved as the neutral point was: moving alone changes no R2.
    """
    lines = []
    for name, each in tracks.items():
        for axis, dimension in enumerate(DIMENSIONS):
            outputs, labels = _labelled([each], axis)
            if len(labels) < 2:
                continue
            stacked = np.stack([outputs, outputs], axis=1)
            calibrated = answers.calibrated(stacked)[:, axis]
            neutral = np.array([[config.neutral_valence, config.neutral_arousal]])
            moved = answers.calibrated(neutral)[0, axis] - neutral[0, axis]
            deviations = f"deviation {outputs.std():.2f} -> {calibrated.std():.2f}, of the labels {labels.std():.2f}"
            lines.append(
                f"{name}, {dimension}: R2 {_r2(labels, outputs):.3f} -> {_r2(labels, calibrated):.3f} "
                f"({_r2(labels + moved, calibrated):.3f} on the same scale); {deviations}"
            )
    return lines


def _r2(labels: np.ndarray, predictions: np.ndarray) -> float:
    return 1 - float(((labels - predictions) ** 2).mean() / labels.var())


# --- command ---


def reference_of(file: str, name: str | None) -> Percentiles:
    """The percentiles of the records in a JSON Lines file of `m2e predict`. Raises M2EError."""
    from m2e.evaluation.data import read_records

    records = [record for record in read_records(file) if record.error is None]
    if len(records) < QUANTILES:
        raise TrainingError(f"{file} has {len(records)} records: a reference needs at least {QUANTILES}.")
    valence, arousal = (quantiles(np.array([getattr(each, name) for each in records])) for name in DIMENSIONS)
    return Percentiles(name or f"{len(records)} tracks of {Path(file).stem}", valence, arousal)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a model that train.py has written")
    parser.add_argument("--center", action="store_true", help="move the neutral point to 5 on both axes")
    parser.add_argument("--stretch", type=float, default=0.0, metavar="SHARE", help="give back lost deviation, 0 to 1")
    parser.add_argument("--level", type=float, default=LEVEL, help="share of labels in the intervals (default: 0.8)")
    parser.add_argument(
        "--reference", metavar="FILE", help="records of m2e predict (jsonl) whose percentiles are given"
    )
    parser.add_argument("--name", help="what the reference is called")
    args = parser.parse_args(arguments)
    from modeling_m2e import M2EConfig

    try:
        config = M2EConfig.from_pretrained(args.model)
        tracks = held_out.load(args.model)
        found = fit(config, tracks, args.center, args.stretch, args.level, args.name)
        if args.reference:
            found = Answers(**{**vars(found), "percentiles": reference_of(args.reference, args.name)})
        Answers.read(found.to_dict(), config.num_labels)  # what could not be loaded is not written
        path = args.model / "config.json"
        content = json.loads(path.read_text(encoding="utf-8")) | {"answers": found.to_dict()}
        write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")
    except M2EError as error:
        sys.exit(f"answers: {error}")
    print("\n".join(report(config, tracks, found)))


if __name__ == "__main__":
    main()
