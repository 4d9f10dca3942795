"""What the page shows of the tracks of a library, as plain values for JSON."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from m2e.library.keys import parse_key, short_key
from m2e.report.outliers import outliers
from modeling_m2e.scale_m2e import POLES, QUADRANT_WORDS, SCALE

FIFTHS = tuple(7 * place % 12 for place in range(12))  # the circle of fifths, as semitones above C
TEXTS = ("title", "artist", "album")
EXTREMES = {  # name of a list: the value, and whether its highest come first
    "Most pleasant": ("valence", True),
    "Least pleasant": ("valence", False),
    "Most energetic": ("arousal", True),
    "Calmest": ("arousal", False),
}
IN_A_LIST = 8  # tracks
MAX_FAILURES = 1000  # that the page lists


class Number(NamedTuple):
    """A numeric value of tracks: its label, the decimals shown, and the factor from the value to what is shown."""

    label: str
    decimals: int = 0
    factor: float = 1.0


# Other attributes of a track follow with their own names, as percentages.
NUMBERS = {
    "energy": Number("Energy %", factor=100),
    "danceability": Number("Danceability %", factor=100),
    "acousticness": Number("Acousticness %", factor=100),
    "instrumentalness": Number("Instrumentalness %", factor=100),
    "liveness": Number("Liveness %", factor=100),
    "speechiness": Number("Speechiness %", factor=100),
    "tempo": Number("Tempo BPM"),
    "year": Number("Year"),
    "duration": Number("Minutes", 1, 1 / 60),
}


def content(rows: Iterable[Mapping[str, Any]], title: str, made: str, missing: int = 0) -> dict[str, Any]:
    """All that the page shows.

    rows: one mapping per track, with `path` and what is known of: title, artist, album, year, duration (s), valence,
    arousal (1-9), moods (names of the selected ones), key (such as "A minor"), tempo, attributes ({name: 0-1}), model,
    error, warnings.
    made: the day, as text.  missing: the number of files that are away.
    """
    rows = list(rows)
    tracks = [row for row in rows if row.get("error") is None and row.get("valence") is not None]
    paths = [str(row["path"]) for row in tracks]
    root = os.path.commonpath(paths) + os.sep if len(paths) > 1 and _comparable(paths) else ""
    moods = _most_common(mood for row in tracks for mood in row.get("moods") or ())
    number = {mood: index for index, mood in enumerate(moods)}
    numbers = _numbers(tracks)
    return {
        "title": title,
        "made": made,
        "models": _most_common(row["model"] for row in tracks if row.get("model")),
        "scale": list(SCALE),
        "poles": {name: list(words) for name, words in POLES.items()},
        "quadrants": list(QUADRANT_WORDS.values()),
        "moods": moods,
        "tonics": [short_key(pitch) for pitch in FIFTHS],
        "numbers": [
            {"name": name, "label": shown.label, "decimals": shown.decimals, "values": values}
            for name, (shown, values) in numbers.items()
        ],
        "root": root,
        "tracks": {
            "path": [path.removeprefix(root) for path in paths],
            **{name: [str(row.get(name) or "") for row in tracks] for name in TEXTS},
            "duration": [round(float(row.get("duration") or 0)) for row in tracks],
            "valence": [round(float(row["valence"]), 2) for row in tracks],
            "arousal": [round(float(row["arousal"]), 2) for row in tracks],
            "key": [key_index(row.get("key")) for row in tracks],
            "moods": [[number[mood] for mood in dict.fromkeys(row.get("moods") or ())] for row in tracks],
        },
        "lists": [*_extremes(tracks), *_unusual(tracks, numbers)],
        "warned": [[index, " ".join(row["warnings"])] for index, row in enumerate(tracks) if row.get("warnings")],
        "failed": [[str(row["path"]), str(row["error"])] for row in rows if row.get("error")][:MAX_FAILURES],
        "failures": sum(bool(row.get("error")) for row in rows),
        "missing": missing,
    }


def key_index(key: str | Mapping[str, Any] | None) -> int:
    """Place of a key in the circle of fifths, plus 12 for minor; -1 for none.

    key: "A minor", "A:min", "Am" or {"tonic": "A", "mode": "minor"}.
    """
    if isinstance(key, Mapping):
        key = f"{key.get('tonic')} {key.get('mode')}"
    number = parse_key(key or "")
    return -1 if number is None else FIFTHS.index(number % 12) + 12 * (number >= 12)


def _comparable(paths: Sequence[str]) -> bool:
    """Whether all paths are absolute, so that they have a common folder; Windows' drives have none."""
    return all(map(os.path.isabs, paths)) and len({os.path.splitdrive(path)[0] for path in paths}) == 1


def _most_common(names: Iterable[str]) -> list[str]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))


def _numbers(tracks: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Number, list[float | None]]]:
    """{name: (Number, values as shown)} of everything that at least one track has."""
    known = [{**row, **(row.get("attributes") or {})} for row in tracks]
    others = sorted({name for row in tracks for name in row.get("attributes") or {}} - set(NUMBERS))
    shown = NUMBERS | {name: Number(f"{name.capitalize()} %", factor=100) for name in others}
    numbers = {}
    for name, number in shown.items():
        values = [_shown(row.get(name), number) for row in known]
        if any(value is not None for value in values):
            numbers[name] = number, values
    return numbers


def _shown(value: Any, number: Number) -> float | None:
    if not isinstance(value, (int, float)) or not np.isfinite(value):
        return None
    return round(float(value) * number.factor, number.decimals) if number.decimals else round(value * number.factor)


def _extremes(tracks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    lists = []
    for name, (value, highest) in EXTREMES.items():
        order = sorted(range(len(tracks)), key=lambda i: tracks[i][value], reverse=highest)[:IN_A_LIST]
        items = [[index, f"{tracks[index][value]:.1f}"] for index in order]
        lists.append({"name": name, "hint": f"{'highest' if highest else 'lowest'} {value}", "items": items})
    return lists if tracks else []


def _unusual(
    tracks: Sequence[Mapping[str, Any]], numbers: Mapping[str, tuple[Number, list[float | None]]]
) -> list[dict[str, Any]]:
    """The list of the tracks that differ from the rest in one value, with the value."""
    columns: dict[str, list[Any]] = {name: [row[name] for row in tracks] for name in POLES}
    columns |= {shown.label: values for name, (shown, values) in numbers.items() if name != "year"}
    values = np.array(list(columns.values()), dtype=float).T
    labels = list(columns)
    items = []
    for track, feature, deviations in outliers(values, 2 * IN_A_LIST):
        name, _, unit = labels[feature].partition(" ")
        value = f"{name.lower()} {values[track, feature]:.3g} {unit}".rstrip()
        items.append([track, value, f"{deviations:+.1f} deviations".replace("-", "\u2212")])
    return (
        [
            {
                "name": "Unlike the rest",
                "hint": "one value far from the median, in robust standard deviations",
                "items": items,
            }
        ]
        if items
        else []
    )
