"""Reads recipes: YAML files, their ablations and `--set`, as dataclasses whose fields are checked."""

import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar

import yaml

from m2e.datasets.options import name_and_value
from m2e.errors import TrainingError, reason

T = TypeVar("T")


def read_settings(
    path: str | Path, ablations: Iterable[str] = (), settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content of a YAML file, changed by its ablations of these names, then by settings. Raises TrainingError."""
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{path} cannot be read ({error.strerror}): give a recipe, see configuration/.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} is not YAML ({reason(error)}).") from error
    except RecursionError as error:
        raise TrainingError(f"{path} is nested too deeply: give a recipe, see configuration/.") from error
    if not isinstance(content, dict):
        raise TrainingError(f"{path} is no recipe: it holds no settings.")
    known = content.pop("ablations", None) or {}
    for name in ablations:
        if name not in known:
            raise TrainingError(f"{path} has no ablation {name!r}: {', '.join(known) or 'it has none'}.")
        for key, value in known[name].items():
            _set(content, key, value)
        content["name"] = f"{content.get('name')}-{name}"
    for key, value in (settings or {}).items():
        _set(content, key, value)
    return content


def parse_setting(text: str) -> tuple[str, Any]:
    """("training.epochs", 3) of "training.epochs=3"; a value that is JSON is read as such. Raises TrainingError."""
    try:
        return name_and_value(text)
    except ValueError as error:
        raise TrainingError(f"{text} is no setting: give NAME=VALUE, as training.epochs=3.") from error


def _set(content: dict, key: str, value: Any) -> None:
    """Sets a dotted name; a list of data sets selects among those of the recipe."""
    if key == "datasets" and isinstance(value, list):
        known = content.get("datasets") or {}
        if absent := [name for name in value if name not in known]:
            raise TrainingError(f"The recipe has no data set {', '.join(map(str, absent))}: {', '.join(known)}.")
        value = {name: known[name] for name in value}
    *parents, last = key.split(".")
    for name in parents:
        if content.get(name) is None:
            content[name] = {}
        content = content[name]
        if not isinstance(content, dict):
            raise TrainingError(f"The setting {key} cannot be made: {name} is a value.")
    content[last] = value


# --- from YAML values to dataclasses ---


def section(cls: type[T], content: Any, where: str) -> T:
    """An instance of a dataclass from settings by name. where: names the section in errors. Raises TrainingError."""
    if not isinstance(content, dict):
        raise TrainingError(f"{where} holds {content!r}, not settings.")
    hints = typing.get_type_hints(cls)
    if unknown := content.keys() - hints.keys():
        raise TrainingError(f"{where} has unknown settings {', '.join(sorted(unknown))}: there are {', '.join(hints)}.")
    required = {f.name for f in fields(typing.cast(Any, cls)) if f.default is MISSING and f.default_factory is MISSING}
    if missing := required - content.keys():
        raise TrainingError(f"{where} lacks {', '.join(sorted(missing))}.")
    return cls(**{name: _typed(hints[name], value, f"{where}, {name}") for name, value in content.items()})


def _typed(hint: Any, value: Any, where: str) -> Any:
    """The value as the hint wants it: YAML has no tuples and no dataclasses, and reads 1e-4 as text."""
    if is_dataclass(hint):
        return value if isinstance(value, typing.cast(type, hint)) else section(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is tuple:
        kind, values = typing.get_args(hint)[0], value if isinstance(value, list | tuple) else (value,)
        return tuple(_typed(kind, each, where) for each in values)
    hints = typing.get_args(hint) if typing.get_origin(hint) is UnionType else (hint,)
    kinds = [typing.get_origin(each) or each for each in hints]
    if list in kinds:
        if not isinstance(value, list | tuple):
            raise TrainingError(f"{where} is {value!r}: give a list.")
        return list(value)
    if isinstance(value, list):
        return tuple(value)
    if value is None and NoneType in kinds:
        return None
    if isinstance(value, dict) and dict in kinds:
        return value
    if float in kinds or int in kinds:
        return _number(float if float in kinds else int, value, where)
    for kind, wanted in ((bool, "true or false"), (str, "a word"), (dict, "settings")):
        if kind in kinds and not isinstance(value, kind):
            raise TrainingError(f"{where} is {value!r}: give {wanted}.")
    return value


def _number(kind: type[float] | type[int], value: Any, where: str) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if number != number or isinstance(value, bool) or (kind is int and not number.is_integer()):
        raise TrainingError(f"{where} is {value!r}: give {'a number' if kind is float else 'a whole number'}.")
    return kind(number)


# --- checks ---


def one_of(name: str, value: Any, known: tuple) -> None:
    if value not in known:
        raise TrainingError(f"{name} is {value!r}: choose {', '.join(str(k) for k in known)}.")


def above_zero(name: str, value: float) -> None:
    if not value > 0:
        raise TrainingError(f"{name} is {value}: give a number above 0.")


def within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise TrainingError(f"{name} is {value}: give a number from {low} to {high}.")
