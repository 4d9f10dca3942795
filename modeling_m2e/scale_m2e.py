"""The scale of valence and arousal, and Russell's quadrants on it."""

QUADRANTS = ("Q1", "Q2", "Q3", "Q4")
QUADRANT_WORDS = {"Q1": "happy, energetic", "Q2": "tense, angry", "Q3": "sad", "Q4": "calm"}  # Russell's
SCALE = (1, 9)  # of valence and arousal
POLES = {"valence": ("unpleasant", "pleasant"), "arousal": ("calm", "energetic")}  # what its ends mean


def quadrant(valence: float, arousal: float, neutral_valence: float = 5.0, neutral_arousal: float = 5.0) -> str:
    """Russell's quadrant: Q1 happy, energetic; Q2 tense, angry; Q3 sad; Q4 calm. Neutral counts as positive."""
    if arousal >= neutral_arousal:
        return "Q1" if valence >= neutral_valence else "Q2"
    return "Q4" if valence >= neutral_valence else "Q3"
