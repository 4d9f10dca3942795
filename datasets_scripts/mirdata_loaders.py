"""The data sets of mirdata, whose loaders find the files and read the annotations (Bittner et al., ISMIR 2019).

Licence and source: those of the data set, see its page on https://mirdata.readthedocs.io. The layout is mirdata's, and
``folder`` is its data_home. Fetch what mirdata needs once; nothing is downloaded here:

    mirdata.initialize("mtg_jamendo_autotagging_moodtheme", data_home=FOLDER).download()

Of mirdata 1.0's data sets this one alone has emotion labels: the tags of MTG-Jamendo mood/theme, 59 of them, as the
subset has them; the reader "mtg-jamendo" gives the 56 of split 0. Other loaders, such as your own, are read by the
names of the attributes of their tracks. Tracks that the splits of the data set leave out are left out.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasets import Dataset

from m2e.datasets.archive import verify
from m2e.datasets.schema import SCALE, Track, rescale, split_words, to_dataset
from m2e.datasets.splits import with_splits
from m2e.errors import DataError, reason

MOODTHEME = "mtg_jamendo_autotagging_moodtheme"
log = logging.getLogger(__name__)


def read(
    folder: str | Path,
    dataset: str = MOODTHEME,
    version: str = "default",
    split: int | None = None,
    check: str = "strict",
    moods: str | None = "tags",
    valence: str | None = None,
    arousal: str | None = None,
    quadrant: str | None = None,
    artist: str | None = "artist_id",
    va_range: tuple[float, float] = SCALE,
) -> Dataset:
    """All tracks of a mirdata data set in the common schema.

    dataset, version: as mirdata names them.  split: number of the official split, where the data set has several; data
    sets without official splits are split 70/15/15 by artist.  check: see archive.verify.
    moods, valence, arousal, quadrant, artist: attributes of mirdata's tracks; None: not there.
    va_range: lowest and highest value of valence and arousal.  Raises DataError.
    """
    names = {"moods": moods, "valence": valence, "arousal": arousal, "quadrant": quadrant, "artist": artist}
    try:
        loader = _loader(dataset, folder, version)
        loaded = loader.load_tracks()
        parts = _official(loader, split)
        tracks = [_track(song, track, names, va_range) for song, track in loaded.items()]
    except AttributeError as error:
        raise DataError(f"The tracks of mirdata's {dataset} lack a label ({reason(error)}): name another.") from None
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"mirdata cannot read {dataset} in {folder} ({reason(error)}): check its name and version, and fetch its"
            " index and annotations by download()."
        ) from error
    if parts is None:
        tracks = with_splits(tracks)
    else:
        known = [Track(**vars(track) | {"split": parts[track.id]}) for track in tracks if track.id in parts]
        if rest := len(tracks) - len(known):
            log.info("%s: %d of %d tracks are in no split, and left out.", dataset, rest, len(tracks))
        tracks = known
    return to_dataset(dataset, verify(dataset, Path(folder), tracks, None, check))


def _loader(dataset: str, folder: str | Path, version: str) -> Any:
    """mirdata's data set. Raises DataError without mirdata."""
    try:
        import mirdata
    except ImportError:
        raise DataError('The reader mirdata needs mirdata: install it with pip install "m2e[mirdata]".') from None
    return mirdata.initialize(dataset, data_home=str(folder), version=version)


def _official(loader: Any, split: int | None) -> dict[str, str] | None:
    """{song: split} of the data set, None where it has none."""
    try:
        parts = loader.get_track_splits() if split is None else loader.get_track_splits(split)
    except NotImplementedError:
        return None
    return {str(song): part for part, songs in parts.items() for song in songs}


def _track(song: str, track: Any, names: dict[str, str | None], va_range: tuple[float, float]) -> Track:
    values = {kind: None if name is None else getattr(track, name) for kind, name in names.items()}
    words: str | Iterable[object] | None = values["moods"]
    return Track(
        id=str(song),
        audio=track.audio_path,
        split="",
        moods=None if words is None else split_words(words),
        valence=_rating(values["valence"], va_range),
        arousal=_rating(values["arousal"], va_range),
        quadrant=values["quadrant"],
        artist=values["artist"] or None,
    )


def _rating(value: float | None, va_range: tuple[float, float]) -> float | None:
    return None if value is None else rescale(float(value), *va_range)
