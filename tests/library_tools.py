"""Libraries for tests: records of chosen values, and databases of them."""

import os
from pathlib import Path

import numpy as np

from m2e.library.database import FileState, Library
from m2e.library.track import Tags
from modeling_m2e.chord_labels_m2e import ChordSegment
from modeling_m2e.key_m2e import Key
from modeling_m2e.record_m2e import Mood, MusicEmotion
from modeling_m2e.scale_m2e import quadrant

SETTINGS = {"model": "fake", "window": None, "harmony": True}
WIDTH = 8


def record(valence=5.0, arousal=5.0, key="C major", duration=200.0, embedding=None, **moods):
    """A record; moods are given by name, those above 0.5 are selected."""
    best = sorted(moods.items(), key=lambda item: -item[1])
    tonic, _, mode = (key or "").partition(" ")
    return MusicEmotion(
        path=None,
        duration=duration,
        valence=valence,
        arousal=arousal,
        quadrant=quadrant(valence, arousal, 5.0, 5.0),
        moods=[Mood(label, score) for label, score in best],
        selected_moods=[label for label, score in best if score > 0.5],
        key=Key(tonic, mode, 0.8) if key else None,
        chords=[ChordSegment(0.0, duration, "C:maj")],
        curve=None,
        model="fake",
        embedding=None if embedding is None else np.asarray(embedding, np.float32),
    )


def add(library, path, made=None, content=None, settings=SETTINGS, **tags):
    """Adds a file (which need not exist) with its track; the id of the track. The content follows from the path."""
    track_id = library.content_id(content or f"content of {os.fsencode(path)!r}")
    name = os.path.realpath(path)
    library.put_file(name, FileState(1, 2, 3, 4), track_id, Tags(**tags))
    if made is not None:
        library.put_record(track_id, made, library.settings_id(settings))
    return track_id


def small(folder: Path) -> Library:
    """A library of five tracks with known values: a to e.mp3 in the folder `music`."""
    library = Library.open(folder / "library.db", create=True)
    unit = np.eye(WIDTH)
    rows = [
        ("a.mp3", record(7.0, 3.0, "A minor", calm=0.9, happy=0.6, embedding=unit[0]), "Ann", "Dawn", 1989),
        (
            "b.mp3",
            record(6.5, 3.5, "C major", calm=0.8, happy=0.7, embedding=unit[0] + 0.1 * unit[1]),
            "Ann",
            "Lake",
            1990,
        ),
        ("c.mp3", record(3.0, 7.0, "E minor", calm=0.1, happy=0.2, dark=0.9, embedding=unit[1]), "Bob", "Storm", 2001),
        ("d.mp3", record(7.5, 7.5, "F# major", calm=0.2, happy=0.9, embedding=unit[2]), "Cleo", "Party", 2010),
        ("e.mp3", record(4.0, 4.0, None, calm=0.6, happy=0.1, dark=0.6, embedding=unit[3]), None, None, None),
    ]
    for name, made, artist, title, year in rows:
        labels = {mood.label for mood in made.moods}
        made.moods += [Mood("dark", 0.05)] if "dark" not in labels else []
        add(library, folder / "music" / name, made, artist=artist, title=title, year=year)
    return library
