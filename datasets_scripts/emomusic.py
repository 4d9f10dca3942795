"""EmoMusic (1000 songs, MediaEval 2013): 744 excerpts of 45 s rated for valence and arousal.

Licence: annotations for research, audio Creative Commons (Soleymani et al., CrowdMM 2013).  Size: 0.6 GB of excerpts.
From: https://cvml.unige.ch/databases/emoMusic/ (annotations.tar.gz, clips_45seconds.tar.gz). Layout, unpacked:

    clips_45seconds/ID.mp3
    annotations/static_annotations.csv      song_id, mean_arousal, std_arousal, mean_valence, std_valence
    annotations/songs_info.csv              artist, and which songs are MediaEval's evaluation set: the test split
"""

from pathlib import Path

from datasets import Dataset

from m2e.datasets.archive import audio_folder, need, read_table, verify
from m2e.datasets.schema import Track, listed, to_dataset
from m2e.datasets.splits import paper_split
from m2e.errors import DataError

NAME = "EmoMusic"
SONGS = 744


def read(folder: str | Path, audio: str | Path | None = None, check: str = "strict") -> Dataset:
    """All excerpts in the common schema; test is the official evaluation set, validation the paper's.

    audio: its folder, if it is not inside ``folder``.  check: see archive.verify.
    Raises DataError.
    """
    folder = Path(folder)
    info = {row["song_id"]: row for row in read_table(need(folder, "songs_info.csv"))}
    rows = {row["song_id"]: row for row in read_table(need(folder, "static_annotations.csv"))}
    splits = paper_split("emomusic", rows)
    evaluation = {song for song, row in info.items() if row["Mediaeval 2013 set"] == "evaluation"}
    if wrong := [song for song in rows if song not in info or (song in evaluation) != (splits[song] == "test")]:
        raise DataError(
            f"{folder} has other songs in MediaEval 2013's evaluation set: {listed(wrong)}; unpack it again."
        )
    root = audio_folder(folder, audio, check, "clips_45seconds")
    tracks = [
        Track(
            id=song,
            audio=root / f"{song}.mp3",
            split=splits[song],
            valence=_mean(row, "valence"),
            arousal=_mean(row, "arousal"),
            artist=info[song]["Artist"] or None,
        )
        for song, row in rows.items()
    ]
    return to_dataset(NAME, verify(NAME, folder, tracks, SONGS, check))


def _mean(row: dict[str, str], dimension: str) -> float:
    """The mean rating; the archive and the label files published with the paper name its column differently."""
    return float(row.get(f"mean_{dimension}") or row[f"{dimension}_mean"])
