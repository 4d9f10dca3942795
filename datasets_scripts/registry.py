"""All data sets by name."""

import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

READERS = {
    "mtg-jamendo": ("jamendo", "read"),
    "deam": ("deam", "read"),
    "emomusic": ("emomusic", "read"),
    "pmemo": ("pmemo", "read"),
    "4q": ("panda4q", "read"),
    "emopia": ("emopia", "read"),
    "folder": ("generic", "read_folder"),
    "hub": ("generic", "read_hub"),
}


def read_dataset(name: str, folder: str | Path, **options: object) -> "Dataset":
    """The user's copy of a data set in the common schema (see datasets_scripts.schema).

    name: one of READERS.  folder: where the copy lies; for "hub" the id of the data set.  options: those of the module.
    Raises ValueError, or what the module raises; each is one sentence.
    """
    if name not in READERS:
        raise ValueError(f"There is no data set {name!r}: {', '.join(READERS)}.")
    module, function = READERS[name]
    reader = getattr(importlib.import_module(f"m2e.datasets.{module}"), function)
    try:
        inspect.signature(reader).bind(folder, **options)
    except TypeError as error:
        options_there = ", ".join(list(inspect.signature(reader).parameters)[1:])
        raise ValueError(f"{name} cannot be read so ({error}): its options are {options_there}.") from None
    return reader(folder, **options)
