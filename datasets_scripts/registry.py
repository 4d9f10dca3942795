"""All data sets by name."""

import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from m2e.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

READERS = {
    "mtg-jamendo": ("jamendo", "read"),
    "deam": ("deam", "read"),
    "emomusic": ("emomusic", "read"),
    "pmemo": ("pmemo", "read"),
    "4q": ("panda4q", "read"),
    "emopia": ("emopia", "read"),
    "emotify": ("emotify", "read"),
    "merge": ("merge", "read"),
    "mirdata": ("mirdata_loaders", "read"),
    "folder": ("generic", "read_folder"),
    "hub": ("generic", "read_hub"),
}

SLUGS = {"4q": "panda-4q"}  # reader -> key of DATASETS, where they differ
DATASETS = {  # id on model cards -> name and the paper that describes it
    "panda-4q": "Panda 4Q (Panda, Malheiro, Paiva: Novel Audio Features for Music Emotion Recognition, TAFFC 2018)",
    "mtg-jamendo": "MTG-Jamendo mood/theme (Bogdanov et al.: The MTG-Jamendo Dataset, ICML workshop ML4MD 2019)",
    "deam": "DEAM (Aljanaki, Yang, Soleymani: Developing a Benchmark for Emotional Analysis of Music, PLoS ONE 2017)",
    "emomusic": "EmoMusic (Soleymani et al.: 1000 Songs for Emotional Analysis of Music, CrowdMM 2013)",
    "pmemo": "PMEmo (Zhang et al.: The PMEmo Dataset for Music Emotion Recognition, ICMR 2018)",
    "emopia": "EMOPIA (Hung et al.: EMOPIA: A Multi-Modal Pop Piano Dataset, ISMIR 2021)",
    "emotify": "Emotify (Aljanaki, Wiering, Veltkamp: Studying Emotion Induced by Music, IPM 2016)",
    "merge": "MERGE (Louro et al.: MERGE - A Bimodal Audio-Lyrics Dataset for Static Music Emotion Recognition, 2024)",
    "pop909": "POP909 (Wang et al.: POP909: A Pop-Song Dataset for Music Arrangement Generation, ISMIR 2020)",
}
HUB_IDS = {  # id on model cards -> a copy on the hub; the others have none
    "mtg-jamendo": "rkstgr/mtg-jamendo",
    "emomusic": "m-a-p/EMO",
    "emopia": "Annorita/EMOPIA",
}


def read_dataset(name: str, folder: str | Path, **options: object) -> "Dataset":
    """The user's copy of a data set in the common schema (see datasets_scripts.schema).

    name: one of READERS.  folder: where the copy lies; for "hub" the id of the data set.  options: those of the module.
    Raises DataError, or what the module raises; each is one sentence.
    """
    if name not in READERS:
        raise DataError(f"There is no data set {name!r}: {', '.join(READERS)}.")
    module, function = READERS[name]
    reader = getattr(importlib.import_module(f"m2e.datasets.{module}"), function)
    try:
        inspect.signature(reader).bind(folder, **options)
    except TypeError as error:
        options_there = ", ".join(list(inspect.signature(reader).parameters)[1:])
        raise DataError(f"{name} cannot be read so ({error}): its options are {options_there}.") from None
    return reader(folder, **options)
