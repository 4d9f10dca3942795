"""What a linear map reads from the embedding of a track: how much it is music, and attributes, all from 0 to 1."""

from collections.abc import Sequence

import numpy as np

MUSIC = "music"
ATTRIBUTES = ("energy", "danceability", "acousticness", "instrumentalness", "liveness", "speechiness")
MUSIC_THRESHOLD = 0.5  # below it a track has no moods
NOT_MUSIC = "This does not look like music: its emotion means little."


def is_music(probability: float | None) -> bool:
    """Whether a track has moods; one whose probability of music is unknown has."""
    return probability is None or probability >= MUSIC_THRESHOLD


def describe_track(names: Sequence[str], log_odds: np.ndarray) -> tuple[float | None, dict[str, float] | None]:
    """(music, attributes) from log-odds (D,); None for what the names lack."""
    values = dict(zip(names, (0.5 * (1 + np.tanh(0.5 * log_odds))).tolist(), strict=True))
    attributes = {name: values[name] for name in ATTRIBUTES if name in values}
    return values.get(MUSIC), attributes or None
