"""Panda 4Q: 900 clips of 30 s with a quadrant and AllMusic mood words.

Panda, Malheiro, Paiva: "Novel audio features for music emotion recognition", IEEE TAFFC 2018.  Licence: research; the
audio is commercial and must not be published.  Size: 0.3 GB of MP3.  From: http://mir.dei.uc.pt/downloads.html ("4Q
audio emotion dataset"). Two layouts are read:

    the archive                                 a table
    Q1/SONG.mp3 ... Q4/                         metadata.csv          song_id, quadrant, tags; see TABLE for the rest
    panda_dataset_taffc_annotations.csv         audio/SONG_ID.opus
    panda_dataset_taffc_metadata.csv            soft_labels.npz       optional: teachers' outputs, used in training only

The archive has no split, valence or arousal. Without a split, the clips are split 70/15/15 by artist. In the table,
valence and arousal come from the same words as the moods: a model of them must not take the words as input.
"""

from pathlib import Path

from datasets import Dataset

from m2e.datasets.archive import find, need, read_table, verify
from m2e.datasets.schema import Track, listed, split_words, to_dataset
from m2e.datasets.splits import with_splits
from m2e.errors import DataError

NAME = "Panda 4Q"
CLIPS = 900  # of the archive
TABLE = {  # columns of metadata.csv: whether the table must have them; others are ignored
    "song_id": True,
    "artist": False,
    "quadrant": True,  # Q1 to Q4
    "valence": False,  # 1 to 9
    "arousal": False,
    "tags": True,  # AllMusic moods, separated by ";"
    "split": False,  # train, validation or test
}
# AllMusic mood -> MTG-Jamendo mood/theme tags of the same meaning; moods without such a tag are not listed.
ALLMUSIC_TO_JAMENDO = {
    "Atmospheric": "soundscape", "Bittersweet": "melancholic", "Bleak": "dark", "Bright": "positive",
    "Brooding": "dark", "Calm/Peaceful": "calm relaxing", "Celebratory": "party happy", "Cheerful": "happy upbeat",
    "Delicate": "soft", "Dramatic": "dramatic", "Dreamy": "dream", "Eerie": "dark", "Energetic": "energetic",
    "Epic": "epic", "Ethereal": "dream space", "Euphoric": "uplifting", "Exciting": "energetic",
    "Explosive": "energetic powerful", "Exuberant": "energetic happy", "Fierce": "heavy powerful",
    "Fiery": "energetic", "Fun": "fun", "Gentle": "soft calm", "Gleeful": "happy", "Gloomy": "dark sad",
    "Happy": "happy", "Harsh": "heavy", "Humorous": "funny", "Jovial": "happy", "Joyous": "happy",
    "Laid-Back/Mellow": "relaxing", "Lively": "energetic upbeat", "Lonely": "sad", "Majestic": "epic",
    "Malevolent": "dark", "Meditative": "meditative", "Melancholy": "melancholic sad", "Menacing": "dark",
    "Mystical": "meditative", "Ominous": "dark", "Optimistic": "positive hopeful", "Pastoral": "nature",
    "Passionate": "emotional", "Playful": "fun", "Poignant": "emotional", "Positive": "positive",
    "Powerful": "powerful", "Relaxed": "relaxing", "Reverent": "meditative", "Rollicking": "fun",
    "Romantic": "romantic love", "Rousing": "uplifting energetic", "Rowdy": "party", "Sad": "sad",
    "Sensual": "sexy", "Sentimental": "emotional romantic", "Sexual": "sexy", "Sexy": "sexy", "Silly": "funny",
    "Soft/Quiet": "soft calm", "Somber": "sad melancholic", "Soothing": "relaxing calm", "Spacey": "space",
    "Spiritual": "meditative", "Spooky": "dark", "Summery": "summer", "Tender": "soft romantic",
    "Theatrical": "dramatic", "Trippy": "space", "Uplifting": "uplifting", "Wistful": "melancholic",
    "Witty": "funny",
}  # fmt: skip


def read(folder: str | Path, audio: str | Path | None = None, check: str = "strict") -> Dataset:
    """All clips in the common schema, from either layout; moods are AllMusic's words.

    audio: the folder of Q1 to Q4, or of the clips, if it is not inside ``folder``.  check: see archive.verify.
    Raises DataError.
    """
    folder = Path(folder)
    tables = "panda_dataset_taffc_metadata.csv", "metadata.csv"
    if (folder / "metadata.csv").is_file():  # a folder with both: the table says more
        tables = tables[::-1]
    table = find(folder, *tables)
    if table is None:
        raise DataError(f"{folder} holds neither {tables[0]} nor {tables[1]}: give the 4Q folder.")
    if table.name == "metadata.csv":
        return to_dataset(NAME, verify(NAME, folder, _of_table(table, audio), None, check))
    return to_dataset(NAME, verify(NAME, folder, _of_archive(folder, table, audio), CLIPS, check))


def _of_archive(folder: Path, metadata: Path, audio: str | Path | None) -> list[Track]:
    rows = {row["Song"]: row for row in read_table(metadata, columns=("Song", "Artist", "Quadrant", "MoodsStr"))}
    annotations = need(folder, "panda_dataset_taffc_annotations.csv")
    annotated = {row["Song"]: row["Quadrant"] for row in read_table(annotations, columns=("Song", "Quadrant"))}
    if wrong := [song for song in rows.keys() | annotated if annotated.get(song) != rows.get(song, {}).get("Quadrant")]:
        raise DataError(
            f"The two tables in {metadata.parent} differ about the quadrants of {listed(sorted(wrong))}: unpack the"
            " archive again."
        )
    root = Path(audio or metadata.parent)
    tracks = [
        Track(
            id=song,
            audio=root / row["Quadrant"] / f"{song}.mp3",
            split="",
            moods=split_words(row["MoodsStr"]),
            quadrant=row["Quadrant"],
            artist=row["Artist"] or None,
        )
        for song, row in rows.items()
    ]
    return with_splits(tracks)


def _of_table(table: Path, audio: str | Path | None) -> list[Track]:
    rows = read_table(table, columns=[name for name, needed in TABLE.items() if needed])
    root = Path(audio or table.parent / "audio")
    cells = [{name: row.get(name, "") for name in TABLE} for row in rows]
    faults = [f"row {number}: {fault}" for number, row in enumerate(cells, 1) if (fault := _fault(row))]
    if faults:
        raise DataError(f"{table} has {len(faults)} rows that cannot be read ({listed(faults)}): correct them.")
    tracks = [
        Track(
            id=row["song_id"],
            audio=root / f"{row['song_id']}.opus",
            split=row["split"],
            moods=split_words(row["tags"]),
            valence=_number(row["valence"]),
            arousal=_number(row["arousal"]),
            quadrant=row["quadrant"] or None,
            artist=row["artist"] or None,
        )
        for row in cells
    ]
    if not any(track.split for track in tracks):
        return with_splits(tracks)
    return tracks


def _fault(row: dict[str, str]) -> str | None:
    """What is wrong with a row of the table, apart from what `to_dataset` checks."""
    if not row["song_id"]:
        return "no song_id"
    for name in ("valence", "arousal"):
        try:
            _number(row[name])
        except ValueError:
            return f"{name} is {row[name]!r}, not a number"
    return None


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
