"""MERGE, audio: 3,232 (balanced) or 3,554 (complete) clips of 30 s with a quadrant, valence, arousal and mood words.

Louro, Redinho, Santos, Malheiro, Panda, Paiva: "MERGE - A Bimodal Audio-Lyrics Dataset for Static Music Emotion
Recognition", arXiv 2407.06060.  Licence: CC BY-NC 4.0 for the data set; the audio is commercial and must not be
published.  Size: 1.1 GB of MP3.  From: https://zenodo.org/records/13939205 (1.1.0): MERGE_Audio_Balanced.zip or
MERGE_Audio_Complete.zip. Layout, unpacked, KIND being balanced or complete:

    Q1/SONG.mp3 ... Q4/                   also audio/Q1/...
    merge_audio_KIND_metadata.csv         Song, Quadrant, Artist, MoodsAll (AllMusic's words, with commas between)
    merge_audio_KIND_av_values.csv        Song, Arousal, Valence, from 0 to 1
    tvt_dataframes/tvt_70_15_15/tvt_70_15_15_{train,validate,test}_audio_KIND.csv    Song, Quadrant; also 40_30_30

Written from the page of the archive and from programs that read it, without a copy. Not checked: that the range of
valence and arousal is 0 to 1 (`va_range` gives another), that they come from the words and not from listeners, and the
separator of the words. The official splits do not keep artists apart; the protocol "clean" does. Songs whose names
begin with MT are AllMusic's, as those of Panda 4Q: the protocols know them as the same songs.
"""

from pathlib import Path

from datasets import Dataset

from m2e.datasets.archive import find, need, number, read_table, verify
from m2e.datasets.schema import Track, listed, rescale, split_words, to_dataset
from m2e.errors import DataError

NAME = "MERGE"
CLIPS = {"balanced": 3232, "complete": 3554}
OFFICIAL = ("70_15_15", "40_30_30")
PARTS = {"train": "train", "validate": "validation", "test": "test"}


def read(
    folder: str | Path,
    audio: str | Path | None = None,
    check: str = "strict",
    split: str = OFFICIAL[0],
    va_range: tuple[float, float] = (0.0, 1.0),
) -> Dataset:
    """All clips in the common schema; moods are AllMusic's words, null for songs without any.

    audio: the folder of Q1 to Q4, if it is not inside ``folder``.  check: see archive.verify.  split: one of OFFICIAL.
    va_range: lowest and highest value of valence and arousal.  Raises DataError.
    """
    folder = Path(folder)
    if split not in OFFICIAL:
        raise DataError(f"{NAME} has no split {split!r}: choose {' or '.join(OFFICIAL)}.")
    kind = _kind(folder)
    metadata = need(folder, f"merge_audio_{kind}_metadata.csv")
    values = need(folder, f"merge_audio_{kind}_av_values.csv")
    rows = {row["Song"]: row for row in read_table(metadata, columns=("Song", "Quadrant", "Artist", "MoodsAll"))}
    rated = {row["Song"]: row for row in read_table(values, columns=("Song", "Arousal", "Valence"))}
    parts = _official(folder, kind, split)
    for absent, place in ((rows.keys() - rated, values.name), (rows.keys() - parts, f"the lists of {split}")):
        if absent:
            raise DataError(f"{metadata} has songs that are not in {place}: {listed(sorted(absent))}; unpack it again.")
    root = Path(audio) if audio else (find(metadata.parent, "Q1") or metadata.parent / "Q1").parent
    tracks = [
        Track(
            id=song,
            audio=root / row["Quadrant"] / f"{song}.mp3",
            split=parts[song],
            moods=split_words(row["MoodsAll"], ",") or None,
            valence=rescale(number(rated[song], "Valence", values), *va_range),
            arousal=rescale(number(rated[song], "Arousal", values), *va_range),
            quadrant=row["Quadrant"],
            artist=row["Artist"] or None,
        )
        for song, row in rows.items()
    ]
    return to_dataset(NAME, verify(NAME, folder, tracks, CLIPS[kind], check))


def _kind(folder: Path) -> str:
    """Which archive the folder holds. Raises DataError for none and for both."""
    kinds = [kind for kind in CLIPS if find(folder, f"merge_audio_{kind}_metadata.csv")]
    if len(kinds) != 1:
        found = "both archives" if kinds else f"no {' or '.join(f'merge_audio_{kind}_metadata.csv' for kind in CLIPS)}"
        raise DataError(f"{folder} holds {found}: give the folder of MERGE_Audio_Balanced or MERGE_Audio_Complete.")
    return kinds[0]


def _official(folder: Path, kind: str, split: str) -> dict[str, str]:
    """{song: split} by the lists of the archive."""
    return {
        row["Song"]: part
        for name, part in PARTS.items()
        for row in read_table(need(folder, f"tvt_{split}_{name}_audio_{kind}.csv"), columns=("Song",))
    }
