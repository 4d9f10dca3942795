"""Emotify: 400 excerpts in four genres, and which of nine felt emotions listeners named.

Aljanaki, Wiering, Veltkamp: "Studying emotion induced by music through a crowdsourcing game", IPM 2016.  Licence: audio
CC BY-NC-SA (Magnatune); annotations for research.  From: http://www2.projects.science.uu.nl/memotion/emotifydata/
The emotions are those of the Geneva Emotional Music Scales (GEMS). Two layouts are read:

    the archive                                   a table of shares
    emotifymusic/GENRE/1.mp3 ... 100.mp3          labels.csv      track_id, genre, artist, duration, an emotion each
    data.csv     track id, genre, an emotion      audio/001.opus ...
                 each (0 or 1), a row per answer

A label is the share of answers that name an emotion. Moods are the emotions whose share reaches `share`. Valence and
arousal are proxies: weighted sums of the shares, moved to 1 to 9; what is felt is not what the music expresses. Recipes
and commands can give other weights. Tracks are split 70/15/15 by artist where artists are known, else by track.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from datasets import Dataset

from m2e.datasets.archive import find, number, read_table, verify
from m2e.datasets.schema import SCALE, Track, to_dataset
from m2e.datasets.splits import with_splits
from m2e.errors import DataError
from modeling_m2e.scale_m2e import QUADRANTS

NAME = "Emotify"
TRACKS = 400
EMOTIONS = (
    "amazement", "solemnity", "tenderness", "nostalgia", "calmness", "power", "joyful_activation", "tension", "sadness",
)  # fmt: skip
VALENCE = {"joyful_activation": 1.0, "calmness": 1.0, "tenderness": 1.0, "tension": -1.0, "sadness": -1.0}
AROUSAL = {
    "power": 1.0, "joyful_activation": 1.0, "tension": 1.0, "calmness": -1.0, "tenderness": -1.0, "sadness": -1.0,
}  # fmt: skip
SHARE = 0.25  # of answers


def read(
    folder: str | Path,
    audio: str | Path | None = None,
    check: str = "strict",
    valence: Mapping[str, float] = VALENCE,
    arousal: Mapping[str, float] = AROUSAL,
    moods: Mapping[str, str] | None = None,
    share: float = SHARE,
    quadrants: bool = False,
) -> Dataset:
    """All tracks in the common schema, from either layout.

    audio: the folder of the genres, or of the table's files, if it is not inside ``folder``.  check: see
    archive.verify.  valence, arousal: weights by emotion.  moods: emotion -> label; emotions without one are left out;
    None: the emotions themselves.  share: of answers from which an emotion is a mood.
    quadrants: of the proxies' signs. Raises DataError.
    """
    folder = Path(folder)
    for weights in (valence, arousal, moods or {}):
        if unknown := sorted(set(weights) - set(EMOTIONS)):
            raise DataError(f"{NAME} has no emotion {unknown[0]}: there are {', '.join(EMOTIONS)}.")
    table = find(folder, "labels.csv", "data.csv")
    if table is None:
        raise DataError(f"{folder} holds neither data.csv nor labels.csv: give the folder of Emotify.")
    of_archive = table.name == "data.csv"
    rows = _answers(table) if of_archive else {row["track_id"]: row for row in _shares(table)}
    root = Path(audio) if audio else (find(folder, "emotifymusic") if of_archive else None) or table.parent / "audio"
    labels = {emotion: emotion for emotion in EMOTIONS} if moods is None else moods
    tracks = []
    for song, row in rows.items():
        shares = {emotion: number(row, emotion, table) for emotion in EMOTIONS}
        v, a = (_on_scale(shares, weights) for weights in (valence, arousal))
        tracks.append(
            Track(
                id=song,
                audio=_file(root, song, row["genre"], of_archive),
                split="",
                moods=list(dict.fromkeys(label for emotion, label in labels.items() if shares[emotion] >= share)),
                valence=v,
                arousal=a,
                quadrant=_quadrant(v, a) if quadrants else None,
                artist=row.get("artist") or None,
                duration=number(row, "duration", table) if row.get("duration") else None,
            )
        )
    return to_dataset(NAME, verify(NAME, folder, with_splits(tracks), TRACKS if of_archive else None, check))


def _shares(table: Path) -> list[dict[str, str]]:
    return read_table(table, columns=("track_id", "genre", *EMOTIONS))


def _answers(table: Path) -> dict[str, dict[str, str]]:
    """{track: genre and shares} of the archive's table, which has a row per answer."""
    rows: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read_table(table, columns=("track id", "genre", *EMOTIONS)):
        rows[row["track id"]].append(row)
    shares = {}
    for song, answers in rows.items():
        means = {each: str(np.mean([number(row, each, table) for row in answers])) for each in EMOTIONS}
        shares[song] = {"genre": answers[0]["genre"], **means}
    return shares


def _file(root: Path, song: str, genre: str, of_archive: bool) -> Path:
    if not of_archive:
        return root / f"{int(song):03d}.opus"
    return root / genre / f"{(int(song) - 1) % 100 + 1}.mp3"


def _on_scale(shares: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The weighted sum of shares, -1 to 1 (beyond is cut off) on the scale from 1 to 9."""
    low, high = SCALE
    total = float(np.clip(sum(weight * shares[emotion] for emotion, weight in weights.items()), -1, 1))
    return low + (high - low) * (total + 1) / 2


def _quadrant(valence: float, arousal: float) -> str:
    """Of the sides of the middle; the middle itself is positive and active."""
    middle = sum(SCALE) / 2
    if arousal >= middle:
        return QUADRANTS[0 if valence >= middle else 1]
    return QUADRANTS[3 if valence >= middle else 2]
