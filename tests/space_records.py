"""A record and a track for tests of the page, plain or with all that a record may add."""

import html
import re
from typing import Any

from m2e.space.tracks import Track
from modeling_m2e import ChordSegment, Key, MusicEmotion
from modeling_m2e.record_m2e import CurvePoint, Mood


def record(**changes: Any) -> MusicEmotion:
    fields = {
        "path": "song.mp3",
        "duration": 71.0,
        "valence": 6.0,
        "arousal": 3.0,
        "quadrant": "Q4",
        "moods": [Mood(f"mood{index}", 0.9 - index / 20) for index in range(12)],
        "selected_moods": ["mood0"],
        "key": Key("C#", "minor", 0.81),
        "chords": [ChordSegment(0, 2, "N"), ChordSegment(2, 35.5, "C#:min"), ChordSegment(35.5, 71, "A:maj7")],
        "curve": [CurvePoint(0, 30, 5.0, 3.0), CurvePoint(30, 60, 7.0, 4.0), CurvePoint(60, 71, 9.0, 1.0)],
        "model": "m2e-small",
        "summary": "Calm, C# minor",
    }
    return MusicEmotion(**fields | changes)


class FullRecord(MusicEmotion):
    """A record with more fields, as a later version may have them."""

    more: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.more[name] if name in self.more else super().__getitem__(name)


def full_record(more: dict[str, Any], **changes: Any) -> FullRecord:
    plain = record(**changes)
    made = FullRecord(**{name: getattr(plain, name) for name in plain.__dataclass_fields__})
    made.more = more
    return made


def track(of: MusicEmotion, **changes: Any) -> Track:
    return Track(of, "folder/a b.mp3", [0.5, 1.0, 0.25], **changes)


def words(markup: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", markup))).strip()
