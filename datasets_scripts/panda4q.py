"""Panda 4Q: 900 clips of 30 s with a quadrant and AllMusic mood words.

Panda, Malheiro, Paiva: "Novel audio features for music emotion recognition", IEEE TAFFC 2018.  Licence: research; the
audio is commercial and stays where it is.  Size: 0.3 GB of MP3.  From: http://mir.dei.uc.pt/downloads.html ("4Q audio
emotion dataset"). Two layouts are read, the archive's and a table with a split and with valence and arousal:

    Q1/SONG.mp3 ... Q4/             metadata.csv        song_id, artist, quadrant, valence, arousal, tags, split
    panda_dataset_taffc_annotations.csv     audio/SONG_ID.opus
    panda_dataset_taffc_metadata.csv        soft_labels.npz     optional: outputs of teachers, see Clips

The archive has neither split nor valence and arousal; it is split 70/15/15 with no artist in two parts. In the table
valence and arousal come from the same words as the moods: no word may be an input of a model of them.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset

from m2e.datasets.archive import find, need, read_table, verify
from m2e.datasets.schema import Track, listed, to_dataset
from m2e.datasets.splits import grouped_split
from m2e.errors import DataError
from modeling_m2e.configuration_m2e import JAMENDO_MOODS
from modeling_m2e.scale_m2e import QUADRANTS

NAME = "Panda 4Q"
CLIPS = 900  # of the archive
# AllMusic mood -> MTG-Jamendo mood/theme tags that mean the same; words without a counterpart are left out.
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
    """All clips in the common schema, of either layout; moods are AllMusic's words (see jamendo_labels).

    audio: what holds Q1 to Q4, or the clips, where it is not in ``folder``.  check: see archive.verify.
    Raises DataError, DataError, DataError.
    """
    folder = Path(folder)
    if (folder / "metadata.csv").is_file():
        return to_dataset(NAME, verify(NAME, folder, _of_table(folder, audio), None, check))
    if not find(folder, "panda_dataset_taffc_metadata.csv"):
        raise DataError(
            f"{folder} holds neither panda_dataset_taffc_metadata.csv nor metadata.csv: give the 4Q folder."
        )
    return to_dataset(NAME, verify(NAME, folder, _of_archive(folder, audio), CLIPS, check))


def _of_archive(folder: Path, audio: str | Path | None) -> list[Track]:
    metadata = need(folder, "panda_dataset_taffc_metadata.csv")
    rows = {row["Song"]: row for row in read_table(metadata)}
    annotated = {
        row["Song"]: row["Quadrant"] for row in read_table(need(folder, "panda_dataset_taffc_annotations.csv"))
    }
    if wrong := [song for song in rows.keys() | annotated if annotated.get(song) != rows.get(song, {}).get("Quadrant")]:
        raise DataError(f"The two tables in {metadata.parent} differ about the quadrants of {listed(sorted(wrong))}.")
    root = Path(audio or metadata.parent)
    splits = grouped_split([row["Artist"] or song for song, row in rows.items()])
    return [
        Track(
            id=song,
            audio=root / row["Quadrant"] / f"{song}.mp3",
            split=split,
            moods=_words(row["MoodsStr"]),
            quadrant=row["Quadrant"],
            artist=row["Artist"] or None,
        )
        for (song, row), split in zip(rows.items(), splits, strict=True)
    ]


def _of_table(folder: Path, audio: str | Path | None) -> list[Track]:
    return [
        Track(
            id=row["song_id"],
            audio=Path(audio or folder / "audio") / f"{row['song_id']}.opus",
            split=row["split"],
            moods=_words(row["tags"]),
            valence=float(row["valence"]),
            arousal=float(row["arousal"]),
            quadrant=row["quadrant"],
            artist=row["artist"] or None,
        )
        for row in read_table(folder / "metadata.csv")
    ]


def _words(cell: str) -> list[str]:
    return [word.strip() for word in cell.split(";") if word.strip()]


@dataclass(frozen=True)
class Clips:
    """The data set in columns; row i is one clip.

    ids, artists, splits: strings.  paths: audio files.  quadrants: 0..3 for Q1..Q4.  va: (n, 2) valence, arousal, 1-9.
    moods: (n, 56) 1 where an AllMusic word means the tag; NaN in the columns of tags that no word means.
    teacher_mood_logits: (n, 56), teacher_va: (n, 2); None without soft labels.
    """

    ids: np.ndarray
    artists: np.ndarray
    splits: np.ndarray
    paths: list[Path]
    quadrants: np.ndarray
    va: np.ndarray
    moods: np.ndarray
    teacher_mood_logits: np.ndarray | None
    teacher_va: np.ndarray | None


def jamendo_labels(words: list[list[str]]) -> np.ndarray:
    """(n, 56) of each clip's AllMusic words: 1, 0, or NaN throughout for tags that no word means."""
    meant = {tag for tags in ALLMUSIC_TO_JAMENDO.values() for tag in tags.split()}
    labels = np.full((len(words), len(JAMENDO_MOODS)), np.nan)
    labels[:, [index for index, tag in enumerate(JAMENDO_MOODS) if tag in meant]] = 0.0
    for row, clip in zip(labels, words, strict=True):
        for word in clip:
            for tag in ALLMUSIC_TO_JAMENDO.get(word, "").split():
                row[JAMENDO_MOODS.index(tag)] = 1.0
    return labels


def read_clips(folder: str | Path) -> Clips:
    """All clips of a folder in the layout above. Raises FileNotFoundError naming what is missing, all at once."""
    folder = Path(folder)
    if not (folder / "metadata.csv").is_file():
        raise FileNotFoundError(f"{folder} holds no metadata.csv: give the 4Q folder.")
    with open(folder / "metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [folder / "audio" / f"{row['song_id']}.opus" for row in rows]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise FileNotFoundError(f"{folder / 'audio'} lacks {len(missing)} clips: {', '.join(missing[:20])}")
    logits = teacher_va = None
    if (folder / "soft_labels.npz").is_file():
        with np.load(folder / "soft_labels.npz") as soft:  # numeric arrays only: song_ids is a pickled array
            if soft["moods"].tolist() != list(JAMENDO_MOODS) or len(soft["moods_logits"]) != len(rows):
                raise ValueError(f"{folder / 'soft_labels.npz'} does not belong to this metadata.csv.")
            logits, teacher_va = soft["moods_logits"], soft["va_emomusic"]
    return Clips(
        ids=np.array([row["song_id"] for row in rows]),
        artists=np.array([row["artist"] for row in rows]),
        splits=np.array([row["split"] for row in rows]),
        paths=paths,
        quadrants=np.array([QUADRANTS.index(row["quadrant"]) for row in rows]),
        va=np.array([[float(row["valence"]), float(row["arousal"])] for row in rows]),
        moods=jamendo_labels([row["tags"].split("; ") for row in rows]),
        teacher_mood_logits=logits,
        teacher_va=teacher_va,
    )
