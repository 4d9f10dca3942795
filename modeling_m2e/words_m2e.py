"""A track in words: the moods that are selected, and a sentence. Pure functions on names and numbers."""

from collections.abc import Iterable, Sequence

import numpy as np

from .descriptors_m2e import is_music
from .key_m2e import Key

MOST_MOODS = 6  # that are selected
TELLING_SHARE = 0.5  # of what the most telling mood tells; on Panda 4Q then 3 moods are selected, as by thresholds
SPOKEN_MOODS = 2  # in a sentence
KEY_THRESHOLD = 0.5  # of the confidence from which a sentence names the key
SLOW, FAST = 80.0, 130.0  # beats per minute: below is slow, above is fast; adagio ends at 76, allegro begins at 120
_OF_TEMPO = ("slow", "fast")

# What a sentence calls the moods that are adjectives, or become one, and the signs of valence and arousal that they
# imply (0: either). The other tags are uses and themes ("film", "summer"), which do not describe the emotion.
ADJECTIVES = {
    "calm": ("calm", 0, -1), "cool": ("cool", 0, 0), "dark": ("dark", -1, 0), "deep": ("deep", 0, 0),
    "dramatic": ("dramatic", 0, 0), "dream": ("dreamy", 0, -1), "emotional": ("emotional", 0, 0),
    "energetic": ("energetic", 0, 1), "epic": ("epic", 0, 0), "fast": ("fast", 0, 1), "fun": ("fun", 1, 1),
    "funny": ("funny", 1, 1), "groovy": ("groovy", 0, 0), "happy": ("happy", 1, 1), "heavy": ("heavy", 0, 1),
    "hopeful": ("hopeful", 1, 0), "inspiring": ("inspiring", 1, 0), "meditative": ("meditative", 0, -1),
    "melancholic": ("melancholic", -1, -1), "melodic": ("melodic", 0, 0), "motivational": ("motivating", 1, 0),
    "positive": ("positive", 1, 0), "powerful": ("powerful", 0, 1), "relaxing": ("relaxing", 0, -1),
    "romantic": ("romantic", 0, 0), "sad": ("sad", -1, -1), "sexy": ("sexy", 0, 0), "slow": ("slow", 0, -1),
    "soft": ("soft", 0, -1), "upbeat": ("upbeat", 1, 1), "uplifting": ("uplifting", 1, 0),
}  # fmt: skip
OF_QUADRANTS = {"Q1": ("happy", 1, 1), "Q2": ("tense", -1, 1), "Q3": ("sad", -1, -1), "Q4": ("calm", 1, -1)}


def select_by_lift(probabilities: np.ndarray, base_rates: np.ndarray, music: float | None = None) -> list[int]:
    """The indices of one to six moods that are more probable than in other tracks, the most telling first.

    probabilities, base_rates: (M,).  music: probability that the track is music, if it is known; below 0.5 no mood is
    selected.
    A mood tells p log(p / base rate) nats, its lift weighted by its probability: of rare moods the lift alone is noise.
    Those that tell at least half as much as the best are selected.
    """
    if not is_music(music) or not len(probabilities):
        return []
    told = probabilities * np.log(np.maximum(probabilities / base_rates, 1e-9))
    best, *others = np.argsort(-told, kind="stable")[:MOST_MOODS].tolist()
    return [best, *(index for index in others if told[index] >= TELLING_SHARE * told[best] > 0)]


def select_by_threshold(probabilities: np.ndarray, thresholds: np.ndarray) -> list[int]:
    """The indices of the moods above their thresholds, the most probable first; none, or many."""
    return [
        int(index) for index in np.argsort(-probabilities, kind="stable") if probabilities[index] > thresholds[index]
    ]


def summary(
    moods: Iterable[str],
    quadrant: str,
    between: Sequence[str] | None = None,
    key: Key | None = None,
    tempo: float | None = None,
    central: bool = False,
) -> str:
    """A sentence about a track, such as "Dark and tense, F major, slow".

    moods: the selected ones, best first; those that contradict the quadrant are left out.  between: two quadrants where
    one alone would not be true.  key: left out where it is doubtful.  tempo: beats per minute; left out
    where a mood says it.  central: the track lies near the middle of the plane, where quadrants tell little; then the
    moods alone are told, if there are any.
    """
    places = [OF_QUADRANTS[name] for name in between or [quadrant]]
    words: list[str] = []
    for mood in moods:
        word, *signs = ADJECTIVES.get(mood, ("", 0, 0))
        fits = central or all(any(sign in (0, place[axis + 1]) for place in places) for axis, sign in enumerate(signs))
        if word and fits:
            words.append(word)
    words = words[:SPOKEN_MOODS]
    own = [place[0] for place in places]
    if central and words:
        parts = [" and ".join(words)]
    elif between:
        parts = [*([" and ".join(words)] if words else []), f"between {' and '.join(own)}"]
    else:
        parts = [" and ".join(list(dict.fromkeys([*words, *own]))[:SPOKEN_MOODS])]
    if key is not None and key.confidence >= KEY_THRESHOLD:
        parts.append(str(key))
    if tempo is not None and not set(words) & set(_OF_TEMPO):  # a mood may say it already
        parts.append("slow" if tempo < SLOW else "fast" if tempo > FAST else "medium tempo")
    sentence = ", ".join(parts)
    return sentence[0].upper() + sentence[1:]
