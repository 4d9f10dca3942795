"""MTG-Jamendo, mood and theme subset: full tracks with 56 mood and theme tags, the official split 0.

Licence: audio under the Creative Commons licence of each track, metadata CC BY-NC-SA 4.0 (Bogdanov et al., ML4MD at
ICML 2019).  Size: 17,982 tracks (9,949 / 3,802 / 4,231), 152 GB of MP3 for the whole subset.  From:
https://github.com/MTG/mtg-jamendo-dataset, whose ``scripts/download/download.py --dataset autotagging_moodtheme --type
audio`` (or ``audio-low``: smaller files) fetches the audio. Layout: its ``data/`` in one folder with the audio folders:

    data/splits/split-0/autotagging_moodtheme-{train,validation,test}.tsv
    data/raw.meta.tsv           optional: names of the artists, as other data sets have them
    00/1000.mp3 ... 99/...      or 00/1000.low.mp3; also in audio/, raw_30s/audio/, autotagging_moodtheme/audio/, ...
"""

from pathlib import Path
from typing import Any

from datasets import Dataset

from m2e.datasets.archive import find, need, read_table, verify
from m2e.datasets.schema import SPLITS, Track, to_dataset
from m2e.errors import DataError
from modeling_m2e.configuration_m2e import JAMENDO_MOODS

NAME = "MTG-Jamendo mood/theme"
TRACKS = 17_982
CATEGORY = "mood/theme---"
TABLES = (
    "split-0/autotagging_moodtheme-{}.tsv",
    "autotagging_moodtheme-{}.tsv",
    "split-0_autotagging_moodtheme-{}.tsv",
)


def read(folder: str | Path, audio: str | Path | None = None, check: str = "strict") -> Dataset:
    """All tracks in the common schema.

    audio: the folder of 00 to 99, if it is not inside ``folder``.  check: see archive.verify.
    Raises DataError.
    """
    folder = Path(folder)
    names = artist_names(folder)
    rows = {split: read_split(folder, split) for split in SPLITS}
    root, suffix = locate(Path(audio or folder), check)
    tracks = [
        Track(
            id=row["id"],
            audio=f"{root}/{row['path'].removesuffix('.mp3')}{suffix}",
            split=split,
            moods=row["moods"],
            artist=names.get(row["id"], row["artist"]),
            duration=row["duration"],
        )
        for split in SPLITS
        for row in rows[split]
    ]
    if check == "strict" and mood_labels(tracks) != list(JAMENDO_MOODS):
        raise DataError(
            f"{NAME} in {folder} has {len(mood_labels(tracks))} tags, not the {len(JAMENDO_MOODS)} of split 0: get its"
            " data/ again."
        )
    return to_dataset(NAME, verify(NAME, folder, tracks, TRACKS, check))


def read_split(folder: Path, split: str) -> list[dict[str, Any]]:
    """id, artist, path, duration (seconds) and moods of every track of one TSV, whose last column is a list of tags."""
    path = need(folder, *(name.format(split) for name in TABLES))
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], 2):
        try:
            track, artist, _, audio, duration, *tags = line.split("\t")
            seconds = float(duration)
        except ValueError:
            raise DataError(f"{path}, line {number}, is not a row of MTG-Jamendo: get the file again.") from None
        moods = [tag.removeprefix(CATEGORY) for tag in tags if tag.startswith(CATEGORY)]
        rows.append({"id": track, "artist": artist, "path": audio, "duration": seconds, "moods": moods})
    return rows


def mood_labels(tracks: list[Track]) -> list[str]:
    """All labels, sorted: 56 in the complete split; the subset has 59, but only these occur in all its parts."""
    return sorted({mood for track in tracks for mood in track.moods or ()})


def artist_names(folder: Path) -> dict[str, str]:
    """{track id: name of the artist}, empty without ``raw.meta.tsv``."""
    path = find(folder, "raw.meta.tsv")
    return {row["TRACK_ID"]: row["ARTIST_NAME"] for row in read_table(path, "\t")} if path else {}


def locate(folder: Path, check: str) -> tuple[Path, str]:
    """The folder that holds 00 to 99, and the suffix of the tracks."""
    anywhere = "[0-9][0-9]/*.mp3"
    track = find(folder, anywhere) if check == "off" else need(folder, anywhere)
    if track is None:
        return folder, ".mp3"
    return track.parent.parent, ".low.mp3" if track.name.endswith(".low.mp3") else ".mp3"
