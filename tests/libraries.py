"""A small library in a database, without audio."""

import numpy as np

from m2e.library.database import FileState, Library
from m2e.library.track import Tags
from modeling_m2e.key_m2e import Key
from modeling_m2e.record_m2e import CurvePoint, Mood, MusicEmotion

MOODS = ("calm", "happy", "sad")
HOSTILE = "<b>\u202e\x07&'\"</b>"


def record(number: int, path: str = "x") -> MusicEmotion:
    """Valence rises and arousal falls with the number; neighbours have similar numbers."""
    scores = [Mood(mood, 0.9 - 0.2 * ((number + place) % 3)) for place, mood in enumerate(MOODS)]
    scores.sort(key=lambda mood: -mood.score)
    angle = number / 10
    return MusicEmotion(
        path=path,
        duration=100.0 + number,
        valence=2.0 + number / 4,
        arousal=8.0 - number / 4,
        quadrant="Q1",
        moods=scores,
        selected_moods=[scores[0].label],
        key=Key(("A", "C", "E")[number % 3], "minor" if number % 2 else "major", 0.8),
        chords=[],
        curve=[CurvePoint(0.0, 10.0, 5.0, 5.0)],
        model="m2e-small",
        embedding=np.array([np.cos(angle), np.sin(angle), 0.1], np.float32),
    )


def make(db, count: int = 12):
    """The path of a library with `count` tracks with ids from 1, one file that failed and one that is away."""
    with Library.open(db, create=True) as library:
        settings = library.settings_id({"model": "m2e-small"})
        for number in range(count):
            path = f"/music/artist {number % 4}/{number:02d}.flac" if number != 1 else "/music/caf\udce9.mp3"
            track = library.content_id(f"content {number}")
            title = HOSTILE if number == 0 else f"Title {number}"
            tags = Tags(artist=f"Artist {number % 4}", title=title, album="Album", year=1990 + number)
            library.put_file(path, FileState(1, 2, 3, number), track, tags)
            library.put_record(track, record(number), settings)
        library.put_file("/music/bad.mp3", FileState(1, 2, 3, 99), None, Tags(), "/music/bad.mp3: is no audio.")
        library.mark_missing([f"/music/artist {(count - 1) % 4}/{count - 1:02d}.flac"])
    return db
