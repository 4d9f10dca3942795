"""PMEmo: choruses of popular songs rated for valence and arousal.

Licence: research (Zhang et al., ICMR 2018); commercial recordings, never to be published.  Size: 1.3 GB, 794 choruses
of which 767 are rated as a whole.  From: https://github.com/HuiZhangDB/PMEmo (PMEmo2019.zip). Layout, unpacked:

    chorus/ID.mp3
    annotations/static_annotations.csv      musicId, Arousal(mean), Valence(mean), both from 0 to 1
    metadata.csv                            musicId, fileName, title, artist, album, duration, ...
"""

from pathlib import Path

from datasets import Dataset

from m2e.datasets.archive import audio_folder, need, read_table, verify
from m2e.datasets.schema import Track, listed, rescale, to_dataset
from m2e.datasets.splits import paper_split
from m2e.errors import DataError

NAME = "PMEmo"
SONGS = 767


def read(folder: str | Path, audio: str | Path | None = None, check: str = "strict") -> Dataset:
    """All rated choruses in the common schema, with the paper's split.

    audio: its folder, if it is not inside ``folder``.  check: see archive.verify.
    Raises DataError.
    """
    folder = Path(folder)
    metadata = {row["musicId"]: row for row in read_table(need(folder, "metadata.csv"))}
    ratings = static_ratings(folder)
    splits = paper_split("pmemo", ratings)
    if unknown := [song for song in ratings if song not in metadata]:
        raise DataError(
            f"{folder} has ratings of songs that are not in its metadata.csv: {listed(unknown)}; unpack it again."
        )
    root = audio_folder(folder, audio, check, "chorus")
    tracks = [
        Track(
            id=song,
            audio=root / f"{song}.mp3",
            split=splits[song],
            valence=valence,
            arousal=arousal,
            artist=metadata[song]["artist"] or None,
            duration=float(metadata[song]["duration"]) if metadata[song]["duration"] else None,
        )
        for song, (valence, arousal) in ratings.items()
    ]
    return to_dataset(NAME, verify(NAME, folder, tracks, SONGS, check))


def static_ratings(folder: Path) -> dict[str, tuple[float, float]]:
    """{id: (valence, arousal)} from 1 to 9, the scale of the label files published with the paper."""
    rows = read_table(need(folder, "static_annotations.csv"))
    if rows and "Valence(mean)" in rows[0]:
        return {
            row["musicId"]: (rescale(float(row["Valence(mean)"]), 0, 1), rescale(float(row["Arousal(mean)"]), 0, 1))
            for row in rows
        }
    return {row["song_id"]: (float(row["valence_mean"]), float(row["arousal_mean"])) for row in rows}
