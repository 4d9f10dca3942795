"""What a query finds: the tree of `query_language`, applied to the columns of a library.

A comparison with a value that a track does not have is neither true nor false (Kleene's logic): such a track is found
neither by it nor by its negation.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property, lru_cache
from itertools import repeat
from typing import Any

import numpy as np

from m2e.library.columns import Columns
from m2e.library.database import Library
from m2e.library.keys import neighbours, parse_key
from m2e.library.query_language import All, Any_, Comparison, Mood, Node, Not, QueryError, parse
from m2e.library.track import TAGS

ATTRIBUTES = ("energy", "danceability", "acousticness", "instrumentalness", "liveness", "speechiness", "tempo")
NUMBERS = ("valence", "arousal", "duration", "key_confidence", *ATTRIBUTES)
TEXTS = ("artist", "title", "album", "genre", "path")
FIELDS = (*NUMBERS, "year", "id", "key", "quadrant", *TEXTS)
TRUE, UNKNOWN, FALSE = 1, 0, -1  # np.int8; and = minimum, or = maximum, not = minus
_ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


@dataclass
class Tracks:
    """The columns of a library by the names that queries use.

    notes: sentences about fields that no track has.
    """

    library: Library
    notes: list[str] = field(default_factory=list)

    @cached_property
    def columns(self) -> Columns:
        return self.library.columns()

    @property
    def ids(self) -> np.ndarray:
        return self.columns.ids

    def number(self, name: str) -> np.ndarray:
        """(n,) float; NaN where unknown. Moods give their probabilities."""
        if name == "id":
            return self.ids.astype(np.float64)
        if name == "year":
            years = self.library.texts("year")
            return np.fromiter(map(years.get, self.ids.tolist(), repeat(np.nan)), np.float64, len(self.ids))
        if name in self.columns.moods:
            return self.columns.mood(name)
        values = self.columns.number(name)
        if len(values) and np.isnan(values).all():
            self.notes.append(f"no track has {name}: another model may predict it.")
        return values

    def texts(self, name: str) -> list[str | None]:
        """n texts; None where unknown."""
        return list(map(self.library.texts(name).get, self.ids.tolist()))


def search(tracks: Tracks, text: str) -> np.ndarray:
    """The indices of the tracks that a query finds, in the order of `tracks.ids`; an empty query finds all.

    Raises: QueryError, LibraryError.
    """
    if not text.strip():
        return np.arange(len(tracks.ids))
    try:
        return np.flatnonzero(_evaluate(parse(text), tracks, text) == TRUE)
    except RecursionError:
        raise QueryError(text, 0, "the query is nested too deeply") from None


def order(tracks: Tracks, found: np.ndarray, sort: str) -> np.ndarray:
    """`found` in the order of one or several fields or moods ("arousal", "-calm,title"); unknown values come last.

    A minus sorts downwards. Raises: QueryError.
    """
    at = 0
    keys: list[tuple[int, str, bool]] = []
    for part in sort.split(","):
        name = part.strip()
        down = name.startswith("-")
        keys.append((at + len(part) - len(part.lstrip()), name.lstrip("+-").lower(), down))
        at += len(part) + 1
    for position, name, down in reversed(keys):  # a stable sort, the last field first
        ranks = _ranks(tracks, name, position, sort)[found]
        values = np.where(np.isnan(ranks), np.inf, -ranks if down else ranks)
        found = found[np.argsort(values, kind="stable")]
    return found


def _ranks(tracks: Tracks, name: str, at: int, sort: str) -> np.ndarray:
    if name in TEXTS:
        texts = [None if text is None else text.casefold() for text in tracks.texts(name)]
        place = {text: float(rank) for rank, text in enumerate(sorted({text for text in texts if text is not None}))}
        return np.array([np.nan if text is None else place[text] for text in texts])
    if name in FIELDS or name in tracks.columns.moods:
        return tracks.number(name)
    raise _unknown_name(tracks, name, at, sort)


def check_mood(tracks: Tracks, name: str) -> str:
    """The name of a mood that the library has. Raises: QueryError."""
    mood = name.strip().lower()
    if mood not in tracks.columns.moods:
        raise _unknown_name(tracks, mood, 0, name)
    return mood


def _unknown_name(tracks: Tracks, name: str, at: int, text: str) -> QueryError:
    known = [*tracks.columns.moods, *FIELDS]
    close = get_close_matches(name, known, 3)
    hint = f"did you mean {' or '.join(close)}" if close else f"it has {', '.join(known)}"
    return QueryError(text, at, f'this library has no mood or field "{name}": {hint}')


# --- the tree ---


def _evaluate(node: Node, tracks: Tracks, text: str) -> np.ndarray:
    """(n,) int8 of TRUE, UNKNOWN and FALSE."""
    if isinstance(node, All | Any_):
        join = np.minimum if isinstance(node, All) else np.maximum
        return join.reduce([_evaluate(part, tracks, text) for part in node.parts])
    if isinstance(node, Not):
        return -_evaluate(node.part, tracks, text)
    if isinstance(node, Mood):
        return _mood(node, tracks, text)
    name = node.name.lower()
    if name in TEXTS:
        return _text(node, tracks, text)
    if name == "key":
        return _key(node, tracks, text)
    if name == "quadrant":
        return _quadrant(node, tracks, text)
    if name in FIELDS or name in tracks.columns.moods:
        return _number(node, tracks.number(name), text)
    raise _unknown_name(tracks, node.name, node.at, text)


def _truth(values: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    truth = np.where(values, TRUE, FALSE).astype(np.int8)
    return truth if known is None else np.where(known, truth, UNKNOWN).astype(np.int8)


def _mood(node: Mood, tracks: Tracks, text: str) -> np.ndarray:
    name = node.name.lower()
    if name in tracks.columns.moods:
        return _truth(tracks.columns.selected(name), ~np.isnan(tracks.columns.mood(name)))
    if name in FIELDS:
        raise QueryError(text, node.at + len(node.name), f'after the field "{node.name}" a comparison is expected')
    raise _unknown_name(tracks, node.name, node.at, text)


def _number(node: Comparison, values: np.ndarray, text: str) -> np.ndarray:
    known = ~np.isnan(values)
    limits, sign = _limits(node, values[known], text), node.operator
    low, high = min(limits), max(limits)
    if sign in _ORDERED:
        if len(limits) > 1:
            raise QueryError(text, node.value_at, f"a range needs = or !=, not {sign}")
        return _truth(_ORDERED[sign](values, low), known)
    if sign == "~":
        raise QueryError(text, node.value_at, f'"~" compares texts and keys, and {node.name} is a number')
    if len(limits) == 1:  # values are rounded to 4 decimals, and stored with 7 digits
        inside = np.abs(values - low) <= 1e-6 * max(1.0, abs(low))
    else:
        inside = (values >= low) & (values <= high)
    return _truth(inside if sign == "=" else ~inside, known)


def _limits(node: Comparison, values: np.ndarray, text: str) -> list[float]:
    """The one or two numbers of a value, of which a percentage means the percentile of `values`."""
    parts = node.value.split("..")
    if len(parts) > 2:
        raise QueryError(text, node.value_at, "a range has two ends")
    limits = [limit for part in parts if (limit := _amount(part, values)) is not None]
    if len(limits) < len(parts):
        raise QueryError(text, node.value_at, f'"{node.value}" is no number; 6.5, 80%, 3:05 and 5..6 are')
    return limits


def _amount(text: str, values: np.ndarray) -> float | None:
    if match := re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*%\s*", text):
        share = float(match[1])
        if share > 100:
            return None
        return float(np.percentile(values, share)) if len(values) else np.nan
    if match := re.fullmatch(r"\s*(?:(\d+):)?(\d+):(\d{1,2}(?:\.\d*)?)\s*", text):
        return int(match[1] or 0) * 3600 + int(match[2]) * 60 + float(match[3])
    if re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*", text):
        return float(text)
    return None


def _key(node: Comparison, tracks: Tracks, text: str) -> np.ndarray:
    if node.operator not in ("=", "!=", "~"):
        raise QueryError(text, node.value_at, f'a key is compared by "=", "!=" or "~", not by {node.operator}')
    keys = tracks.number("key")
    mode = node.value.lower()
    if mode in ("major", "minor"):
        wanted = list(range(12) if mode == "major" else range(12, 24))
    else:
        key = parse_key(node.value)
        if key is None:
            raise QueryError(text, node.value_at, f'"{node.value}" is no key; Am, "F# minor", Bb, 8A and minor are')
        wanted = neighbours(key) if node.operator == "~" else [key]
    inside = np.isin(keys, wanted)
    return _truth(~inside if node.operator == "!=" else inside, ~np.isnan(keys))


def _quadrant(node: Comparison, tracks: Tracks, text: str) -> np.ndarray:
    match = re.fullmatch(r"q?([1-4])", node.value, re.IGNORECASE)
    if match is None or node.operator not in ("=", "!="):
        raise QueryError(text, node.value_at, "a quadrant is compared by = or != with Q1, Q2, Q3 or Q4")
    inside = tracks.number("quadrant") == int(match[1])
    return _truth(inside if node.operator == "=" else ~inside)


def _text(node: Comparison, tracks: Tracks, text: str) -> np.ndarray:
    if node.operator not in ("=", "!=", "~"):
        raise QueryError(text, node.value_at, f'a text is compared by "=", "!=" or "~", not by {node.operator}')
    matches = _matcher(node.value, whole=node.operator != "~")
    texts = tracks.texts(node.name.lower())
    found = np.array([text is not None and matches(text) for text in texts], bool)
    known = np.array([text is not None for text in texts], bool)
    return _truth(~found if node.operator == "!=" else found, known)


def _matcher(value: str, whole: bool) -> Callable[[str], bool]:
    """Compares without regard to case; "*" stands for any letters. Texts of several values match by any of them."""
    pattern = ".*".join(map(re.escape, value.casefold().split("*")))
    match = re.compile(pattern, re.DOTALL).fullmatch if whole else re.compile(pattern, re.DOTALL).search

    @lru_cache(1 << 16)  # artists and genres repeat
    def matches(text: str) -> bool:
        folded = text.casefold()
        return match(folded) is not None or whole and any(match(part) for part in folded.split("; "))

    return matches


assert set(TEXTS) - {"path"} == set(TAGS) - {"year"}
