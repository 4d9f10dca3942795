"""The scale of valence and arousal, and Russell's quadrants on it."""

from collections.abc import Mapping, Sequence

QUADRANTS = ("Q1", "Q2", "Q3", "Q4")
QUADRANT_WORDS = {"Q1": "happy, energetic", "Q2": "tense, angry", "Q3": "sad", "Q4": "calm"}  # Russell's
SCALE = (1, 9)  # of valence and arousal
POLES = {"valence": ("unpleasant", "pleasant"), "arousal": ("calm", "energetic")}  # what its ends mean
CLOSE = 0.1  # the difference of two probabilities of quadrants that are almost the same


def quadrant(valence: float, arousal: float, neutral_valence: float = 5.0, neutral_arousal: float = 5.0) -> str:
    """Russell's quadrant: Q1 happy, energetic; Q2 tense, angry; Q3 sad; Q4 calm. Neutral counts as positive."""
    if arousal >= neutral_arousal:
        return "Q1" if valence >= neutral_valence else "Q2"
    return "Q4" if valence >= neutral_valence else "Q3"


def between(scores: Mapping[str, float], place: str) -> list[str] | None:
    """The two quadrants that a track lies between, or None where one is right.

    scores: probability of each quadrant.  place: the quadrant of valence and arousal.
    It is between two where the likeliest is not that of the place, or where two are almost as likely.
    """
    best, second = sorted(scores, key=lambda name: -scores[name])[:2]
    if best == place and scores[best] - scores[second] >= CLOSE:
        return None
    return sorted([best, place if best != place else second])


def quadrant_words(quadrant: str, between: Sequence[str] | None = None, short: bool = False) -> str:
    """Such as "Q2 tense, angry" and "between Q3 sad and Q4 calm"; `short`: one word each, "Q2 tense" and "Q3-Q4"."""
    if between:
        named = [f"{name} {QUADRANT_WORDS[name].split(',')[0]}" for name in between]
        return "-".join(between) if short else f"between {' and '.join(named)}"
    words = QUADRANT_WORDS[quadrant]
    return f"{quadrant} {words.split(',')[0] if short else words}"
