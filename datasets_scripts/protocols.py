"""Split protocols over several data sets: the paper's splits, or splits without leaks.

    python -m datasets_scripts.protocols deam=FOLDER emomusic=FOLDER pmemo=FOLDER mtg-jamendo=FOLDER

prints the sizes of the splits by protocol, and the leaks of the paper's. Give all data sets of an experiment at once,
those of the teachers too: one may train on tracks that another holds out.

paper   the splits as they are read: the published lists, for comparison. DEAM and EmoMusic share 744 songs under the
        same ids, but are split independently.
clean   a song of both has its split of EmoMusic, whose test set is official. Then every song and every artist of any
        validation or test set is removed from all training sets, and those of any test set from all validation sets.
        Test sets stay as they are.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from datasets import Dataset

from m2e.datasets.deam import SWAPPED_UP_TO
from m2e.datasets.schema import SPLITS
from m2e.errors import DataError, M2EError

PROTOCOLS = ("paper", "clean")
ANYBODY = {"", "unknown", "unknown artist", "various", "various artists", "n/a"}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """The identity of a track: a key that two data sets may share, and the artists in a comparable spelling."""

    song: tuple[str, str]
    artists: frozenset[str]
    split: str


@dataclass(frozen=True)
class Leak:
    """The number of tracks of a held-out part that share the song, or an artist, with a part used for training."""

    part: tuple[str, str]
    known_from: tuple[str, str]
    songs: int
    artists: int


def apply_protocol(datasets: Mapping[str, Dataset], protocol: str) -> dict[str, Dataset]:
    """The data sets split by the protocol, without the tracks that it removes.

    datasets: by the names of the registry.  protocol: "paper" or "clean".  Raises DataError for another.
    """
    if protocol not in PROTOCOLS:
        raise DataError(f"There is no protocol {protocol!r}: choose {' or '.join(PROTOCOLS)}.")
    if protocol == "paper":
        return dict(datasets)
    rows = _rows(datasets)
    home = {row.song: row.split for row in rows.get("emomusic", ())}
    rows = {name: [replace(row, split=home.get(row.song, row.split)) for row in part] for name, part in rows.items()}
    kept = {name: list(range(len(part))) for name, part in rows.items()}
    for split, sources in (("validation", {"test"}), ("train", {"validation", "test"})):
        held = [rows[name][i] for name in rows for i in kept[name] if rows[name][i].split in sources]
        songs, artists = _known(held)
        for name, part in rows.items():
            kept[name] = [
                i
                for i in kept[name]
                if part[i].split != split or not (part[i].song in songs or part[i].artists & artists)
            ]
    for name, part in rows.items():
        log.info("clean protocol: %s keeps %d of %d tracks.", name, len(kept[name]), len(part))
    return {name: _resplit(dataset, rows[name], kept[name]) for name, dataset in datasets.items()}


def leaks(datasets: Mapping[str, Dataset]) -> list[Leak]:
    """Every leak from training into validation or test, and from validation into test; empty for disjoint splits."""
    parts: dict[tuple[str, str], list[Row]] = {}
    for name, rows in _rows(datasets).items():
        for row in rows:
            parts.setdefault((name, row.split), []).append(row)
    found = []
    for part, rows in parts.items():
        for source, others in parts.items():
            if SPLITS.index(source[1]) < SPLITS.index(part[1]):
                songs, artists = _known(others)
                same = sum(row.song in songs for row in rows), sum(bool(row.artists & artists) for row in rows)
                if any(same):
                    found.append(Leak(part, source, *same))
    return found


def shared_with(held_out: str, datasets: Mapping[str, Dataset]) -> dict[str, list[int]]:
    """The rows of each other data set with a song or an artist of the held-out one, whatever their splits."""
    rows = _rows(datasets)
    songs, artists = _known(rows[held_out])
    return {
        name: [i for i, row in enumerate(part) if row.song in songs or row.artists & artists]
        for name, part in rows.items()
        if name != held_out
    }


def song_key(name: str, track: str) -> tuple[str, str]:
    """The same for the same recording: DEAM's ids up to 1000 are EmoMusic's; 4Q and MERGE have AllMusic's MT ids."""
    if name == "deam" and track.isdigit() and int(track) <= SWAPPED_UP_TO:
        return "emomusic", track
    return "allmusic" if name in ("4q", "merge") and track.startswith("MT") else name, track


def artist_names(credit: str | None) -> frozenset[str]:
    """Comparable names of the artists in a credit; none for collections and unknowns."""
    names = re.split(r"\s+(?:feat|ft|featuring)\b\.?\s*", " ".join((credit or "").casefold().split()))
    return frozenset(names) - ANYBODY


def _rows(datasets: Mapping[str, Dataset]) -> dict[str, list[Row]]:
    """The rows of every data set; a song has the artists that any data set names."""
    artists: dict[tuple[str, str], frozenset[str]] = {}
    keys = {name: [song_key(name, track) for track in dataset["id"][:]] for name, dataset in datasets.items()}
    for name, dataset in datasets.items():
        for key, credit in zip(keys[name], dataset["artist"][:], strict=True):
            artists[key] = artists.get(key, frozenset()) | artist_names(credit)
    return {
        name: [Row(key, artists[key], split) for key, split in zip(keys[name], dataset["split"][:], strict=True)]
        for name, dataset in datasets.items()
    }


def _known(rows: Iterable[Row]) -> tuple[set[tuple[str, str]], set[str]]:
    """Songs and artists of the rows."""
    rows = list(rows)
    return {row.song for row in rows}, {artist for row in rows for artist in row.artists}


def _resplit(dataset: Dataset, rows: list[Row], kept: list[int]) -> Dataset:
    columns, feature = dataset.column_names, dataset.features["split"]
    moved = dataset.remove_columns("split").add_column("split", [row.split for row in rows], feature=feature)
    return moved.select_columns(columns).select(kept)


def main() -> None:
    import argparse
    import sys
    from pathlib import Path

    from m2e.datasets.options import name_and_value
    from m2e.datasets.registry import read_dataset

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", metavar="NAME=FOLDER")
    args = parser.parse_args()
    try:
        folders = dict(name_and_value(item) for item in args.datasets)
        datasets = {name: read_dataset(name, Path(str(folder)), check="off") for name, folder in folders.items()}
    except M2EError as error:
        sys.exit(str(error))
    print("| data set | paper | clean |\n|---|---|---|")
    sizes = {
        protocol: {name: Counter(part["split"]) for name, part in apply_protocol(datasets, protocol).items()}
        for protocol in PROTOCOLS
    }
    for name in datasets:
        cells = [" / ".join(f"{sizes[protocol][name][split]:,}" for split in SPLITS) for protocol in PROTOCOLS]
        print(f"| {name} | {' | '.join(cells)} |")
    print("\n| held out | trained or chosen on | same songs | same artists |\n|---|---|---|---|")
    for leak in leaks(datasets):
        print(f"| {' '.join(leak.part)} | {' '.join(leak.known_from)} | {leak.songs} | {leak.artists} |")


if __name__ == "__main__":
    main()
