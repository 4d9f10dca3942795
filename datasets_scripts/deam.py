"""DEAM: 1,802 songs and excerpts rated for valence and arousal, as a whole and twice a second.

Licence: annotations for research, audio Creative Commons (Aljanaki, Yang, Soleymani, PLoS ONE 2017).  Size: 1.3 GB.
From: https://cvml.unige.ch/databases/DEAM/ (DEAM_audio.zip, DEAM_Annotations.zip, metadata.zip). Layout, unpacked:

    MEMD_audio/ID.mp3
    annotations/annotations averaged per song/song_level/static_annotations_averaged_songs_{1_2000,2000_2058}.csv
    annotations/annotations averaged per song/dynamic (per second annotations)/{valence,arousal}.csv    optional
    metadata/metadata_{2013,2014,2015}.csv                                                  optional: the artists

**The static annotations swap valence and arousal for ids up to 1000**, the 744 songs of EmoMusic, whose older file has
arousal first: its values were put under the new header. ``labels="corrected"`` swaps them back and verifies the swap by
the dynamic annotations; ``docs/datasets.md`` has the evidence.
"""

import logging
from pathlib import Path

import numpy as np
from datasets import Dataset

from m2e.datasets.archive import audio_folder, find, need, read_table, verify
from m2e.datasets.schema import Track, to_dataset
from m2e.datasets.splits import paper_split
from m2e.errors import DataError

NAME = "DEAM"
SONGS = 1802
SWAPPED_UP_TO = 1000  # the last id of EmoMusic
FEWEST = 10  # songs to compare static and dynamic annotations by
LABELS = ("corrected", "published")
log = logging.getLogger(__name__)
Ratings = dict[str, tuple[float, float]]  # {id: (valence, arousal)}


def read(
    folder: str | Path,
    labels: str = "corrected",
    audio: str | Path | None = None,
    check: str = "strict",
    verify_labels: bool = True,
) -> Dataset:
    """All songs in the common schema, with the paper's split.

    labels: "corrected" or "published", see above; the log says which.  audio: its folder, if it is not inside
    ``folder``.  check: see archive.verify.  verify_labels: False swaps even labels that the dynamic annotations
    contradict.  Raises DataError.
    """
    if labels not in LABELS:
        raise DataError(f"DEAM has no labels {labels!r}: choose {' or '.join(LABELS)}.")
    folder = Path(folder)
    published = static_ratings(folder)
    ratings = swap(published) if labels == "corrected" else published
    _report(folder, published, labels, verify_labels)
    splits, artists = paper_split("deam", ratings), read_artists(folder)
    root = audio_folder(folder, audio, check, "MEMD_audio")
    tracks = [
        Track(song, root / f"{song}.mp3", splits[song], valence=v, arousal=a, artist=artists.get(song))
        for song, (v, a) in ratings.items()
    ]
    return to_dataset(NAME, verify(NAME, folder, tracks, SONGS, check))


def static_ratings(folder: Path) -> Ratings:
    """The static annotations as published."""
    first = need(folder, "static_annotations_averaged_songs_1_2000.csv", "static_annotations.csv")
    second = find(folder, "static_annotations_averaged_songs_2000_2058.csv")
    rows = read_table(first) + (read_table(second) if second else [])
    return {row["song_id"]: (float(row["valence_mean"]), float(row["arousal_mean"])) for row in rows}


def swap(ratings: Ratings) -> Ratings:
    """The ratings with valence and arousal swapped for the ids of EmoMusic."""
    return {song: (a, v) if int(song) <= SWAPPED_UP_TO else (v, a) for song, (v, a) in ratings.items()}


def dynamic_ratings(folder: Path) -> Ratings:
    """The means of each song's annotations over time (-1 to 1); empty without such files."""
    means = []
    for dimension in ("valence", "arousal"):
        path = find(folder, f"dynamic (per second annotations)/{dimension}.csv")
        rows = read_table(path) if path else []
        series = {row.pop("song_id"): [float(cell) for cell in row.values() if cell] for row in rows}
        means.append({song: float(np.mean(values)) for song, values in series.items() if values})
    valence, arousal = means
    return {song: (valence[song], arousal[song]) for song in valence if song in arousal}


def agreement(ratings: Ratings, others: Ratings) -> float | None:
    """The mean correlation of both dimensions with those of other ratings, over ids up to 1000.

    None if fewer than ten songs are in both.
    """
    songs = [song for song in ratings if song in others and int(song) <= SWAPPED_UP_TO]
    if len(songs) < FEWEST:
        return None
    ours, theirs = (np.array([rating[song] for song in songs]) for rating in (ratings, others))
    return float(np.mean([np.corrcoef(ours[:, d], theirs[:, d])[0, 1] for d in (0, 1)]))


def _report(folder: Path, published: Ratings, labels: str, verify_labels: bool) -> None:
    """Logs which labels are used, with the evidence. Raises DataError if the evidence contradicts the swap."""
    songs = sum(int(song) <= SWAPPED_UP_TO for song in published)
    dynamic = dynamic_ratings(folder)
    as_is, swapped = agreement(published, dynamic), agreement(swap(published), dynamic)
    evidence = "no dynamic annotations to verify it by"
    if as_is is not None and swapped is not None:
        evidence = f"agreement with the dynamic annotations r = {swapped:.3f} swapped, {as_is:.3f} as published"
        if labels == "corrected" and as_is > swapped and verify_labels:
            raise DataError(
                f"DEAM in {folder} seems to be corrected already ({evidence}): give labels='published' to take its"
                " columns as they are, or verify_labels=False to swap them anyway."
            )
    if labels == "corrected":
        log.info("DEAM: valence and arousal of %d songs (ids up to 1000) swapped back; %s.", songs, evidence)
    else:
        log.warning("DEAM: labels as published, valence and arousal of %d songs swapped; %s.", songs, evidence)


def read_artists(folder: Path) -> dict[str, str]:
    """{id: artist} from the metadata files, if there are any."""
    artists: dict[str, str] = {}
    for year in (2013, 2014, 2015):
        path = find(folder, f"metadata_{year}.csv")
        for row in read_table(path) if path else []:
            cells = {key.lower(): cell for key, cell in row.items()}
            if artist := cells.get("artist"):
                artists[cells.get("song_id") or cells.get("id", "")] = artist
    return artists
