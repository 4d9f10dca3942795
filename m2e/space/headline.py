"""The one sentence about a track, which the page says first."""

from modeling_m2e import MusicEmotion
from modeling_m2e.scale_m2e import QUADRANT_WORDS

# The mood tags that describe music. The others name its use (film, travel) or its kind (ballad).
ADJECTIVES = frozenset(
    "calm cool dark deep dramatic emotional energetic epic fast funny groovy happy heavy hopeful inspiring meditative"
    " melancholic melodic motivational positive powerful relaxing retro romantic sad sexy slow soft upbeat uplifting"
    .split()
)  # fmt: skip
MOST = 2  # moods in a sentence


def headline(record: MusicEmotion) -> str:
    """The summary of the record, or else its selected moods and its key: Dark and sad, C# minor.

    Where no mood is above its threshold, the words of its quadrant stand for them.
    """
    if summary := record.get("summary"):
        return str(summary).removesuffix(".")
    moods = [label for label in record.selected_moods if label in ADJECTIVES][:MOST]
    feeling = " and ".join(moods or QUADRANT_WORDS[record.quadrant].split(", ")).capitalize()
    return feeling if record.key is None else f"{feeling}, {record.key.tonic} {record.key.mode}"
