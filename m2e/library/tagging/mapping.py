"""Which tags a record becomes: a mapping in TOML, `default.toml` unless the user gives another.

Light to import: a record is taken as a mapping of plain values (`MusicEmotion.to_dict()`, or a line of JSON).
"""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from m2e.errors import AudioError, UsageError, reason
from m2e.library.tagging.key_notation import Notation, written_key

Existing = Literal["replace", "keep", "add"]

OTHERS = "*"  # the table for all attributes without one of their own
ATTRIBUTES = "attributes."
VALUES = ("moods", "key", "valence", "arousal", "quadrant", "tempo")
_NAME = re.compile(r"[ -<>-}]+\Z")  # of a tag, in Vorbis comments


@dataclass(frozen=True)
class Rule:
    """One table of a mapping; see default.toml.

    names: the name of the tag by kind of tag ("id3", "vorbis", "mp4", "ape", "asf"), where it is not the usual one.
    """

    tag: str
    value: str
    existing: Existing = "replace"
    digits: int = 2
    limit: int | None = None
    separator: str | None = None
    notation: Notation = "standard"
    confidence: float = 0.0
    id3: str | None = None
    vorbis: str | None = None
    mp4: str | None = None
    ape: str | None = None
    asf: str | None = None


class Change(NamedTuple):
    """One tag of a file, before and after; equal where the rule keeps it, or where nothing changes.

    wanted: what the record says.
    """

    rule: Rule
    before: list[str]
    after: list[str]
    wanted: list[str]


def default_text() -> str:
    """The built-in mapping, with its comments."""
    return resources.files(__package__).joinpath("default.toml").read_text(encoding="utf-8")


def read_mapping(path: str | None = None) -> list[Rule]:
    """The rules in a file, or the built-in ones. Raises UsageError, which names the file and the table."""
    if path is None:
        return parse_mapping(default_text(), "the built-in mapping")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as a mapping: {reason(error)}.") from error
    return parse_mapping(text, path)


def parse_mapping(text: str, source: str) -> list[Rule]:
    """The rules in a text. source: what an error names. Raises UsageError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is no valid TOML: {reason(error)}.") from error
    if not tables:
        raise UsageError(f"{source} names no tag: begin with the output of m2e tag --print-mapping.")
    rules = [_rule(tag, table, f"{source}, [{tag}]") for tag, table in tables.items()]
    tags = [rule.tag.upper() for rule in rules]
    if twice := next((tag for tag in tags if tags.count(tag) > 1), None):
        raise UsageError(f"{source} has two tables for the tag {twice}: small and capital letters are the same.")
    return rules


def _rule(tag: str, table: Any, where: str) -> Rule:
    if not isinstance(table, dict):
        raise UsageError(f"{where} is no table: write [{tag}], then its keys.")
    numbers: dict[str, tuple[type, ...]] = {"digits": (int,), "limit": (int,), "confidence": (int, float)}
    known = [each.name for each in fields(Rule)][1:]
    for name, value in table.items():
        if name not in known:
            raise UsageError(f"{where}: {name!r} is not known; possible are {', '.join(known)}.")
        if name not in numbers and not isinstance(value, str):
            raise UsageError(f"{where}: {name} = {value!r} is not a text.")
        if name in numbers and (type(value) not in numbers[name] or not 0 <= value <= 100):
            raise UsageError(f"{where}: {name} = {value!r} is not a number from 0 to 100.")
    rule = Rule(tag, **{"value": "", **table})
    for name, choices in (("existing", Existing), ("notation", Notation)):
        if getattr(rule, name) not in get_args(choices):
            raise UsageError(f"{where}: {name} = {getattr(rule, name)!r} is none of {', '.join(get_args(choices))}.")
    if rule.value not in VALUES and not rule.value.startswith(ATTRIBUTES):
        raise UsageError(f"{where}: value = {rule.value!r} is none of {', '.join(VALUES)}, attributes.NAME.")
    if (tag == OTHERS) != (rule.value == ATTRIBUTES + OTHERS):
        raise UsageError(
            f'{where}: value = "{ATTRIBUTES}{OTHERS}" belongs into the table ["{OTHERS}"], and only there.'
        )
    if tag != OTHERS and not _NAME.match(tag):
        raise UsageError(f"{where}: a tag's name has the printable letters of ASCII except = and ~.")
    return rule


def tags_of(record: Mapping[str, Any], rules: Sequence[Rule]) -> list[tuple[Rule, list[str]]]:
    """The tags that a record becomes, each with its rule and at least one value; what it does not know is left out.

    Raises AudioError for a record whose values are of another kind than a record has.
    """
    try:
        return [(rule, values) for rule in _expanded(record, rules) if (values := _values(record, rule))]
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise AudioError(
            f"{record.get('path')}: its record cannot be used ({reason(error)}): predict it again."
        ) from error


def _expanded(record: Mapping[str, Any], rules: Sequence[Rule]) -> list[Rule]:
    """The rules with one of its own for each attribute that "*" stands for."""
    named = {rule.value.removeprefix(ATTRIBUTES) for rule in rules}
    taken = {rule.tag.upper() for rule in rules}
    expanded = []
    for rule in rules:
        if rule.tag != OTHERS:
            expanded.append(rule)
            continue
        for name in record.get("attributes") or {}:
            tag = re.sub(r"[^A-Z0-9]+", "_", name.upper())
            if name not in named and tag not in taken:
                expanded.append(Rule(tag, ATTRIBUTES + name, rule.existing, rule.digits, separator=rule.separator))
    return expanded


def _values(record: Mapping[str, Any], rule: Rule) -> list[str]:
    if rule.value == "moods":
        values = list(record["selected_moods"] or [])[: rule.limit]
    elif rule.value == "key":
        key = record.get("key")
        if key is None or key["confidence"] < rule.confidence:
            return []
        values = [written_key(key["tonic"], key["mode"], rule.notation)]
    else:
        name = rule.value.removeprefix(ATTRIBUTES)
        known = record if name == rule.value and name in record else record.get("attributes") or {}
        values = [known.get(name)]
    texts = [text for value in values if (text := _text(value, rule.digits))]
    return [rule.separator.join(texts)] if rule.separator and texts else texts


def _text(value: Any, digits: int) -> str | None:
    if value is None or isinstance(value, dict):
        return None
    if isinstance(value, str):
        return value.replace("\0", " ").strip() or None
    if not math.isfinite(value):
        return None
    return f"{value:.{digits}f}"
