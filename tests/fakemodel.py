"""`m2e predict` with a fake model: what to call, and what comes back."""

import json
import os
from pathlib import Path

import numpy as np
import soundfile
from typer.testing import CliRunner

from m2e import cli
from modeling_m2e import audio_m2e
from modeling_m2e.chord_labels_m2e import ChordSegment
from modeling_m2e.key_m2e import Key, KeySegment
from modeling_m2e.record_m2e import CurvePoint, Mood, MusicEmotion

ROOT = Path(__file__).resolve().parent.parent
RATE = 8000


class FakeModel:
    """Reads the audio for real, and answers with numbers that follow from its length."""

    name = "fake"

    def __init__(self, **settings):
        self.settings, self.seen = settings, []

    def __call__(self, source: str) -> MusicEmotion:
        self.seen.append(source)
        waveform, rate = audio_m2e.load(source)
        seconds = len(waveform) / rate
        harmony = self.settings["harmony"]
        return MusicEmotion(
            path=source,
            duration=seconds,
            valence=5 + seconds,
            arousal=6.5,
            quadrant="Q1",
            moods=[Mood(label, 0.9 - i / 10) for i, label in enumerate(("happy", "upbeat", "epic", "calm"))],
            selected_moods=["happy"],
            key=Key("C", "major", 0.8) if harmony else None,
            chords=[ChordSegment(0.0, seconds, "C:maj")] if harmony else None,
            key_segments=[KeySegment(0.0, seconds, "C major", 0.8)] if self.settings["key_segments"] else None,
            curve=[CurvePoint(0.0, seconds, 5 + seconds, 6.5)],
            model=self.name,
            tempo=100 * seconds if self.settings.get("tempo") and seconds > 1 else None,
        )


def tone(name, seconds=1.0, channels=1):
    samples = 0.5 * np.sin(np.arange(int(seconds * RATE)) / 5)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(os.fsencode(name), np.repeat(samples[:, None], channels, 1), RATE, format=suffix(name))


def suffix(name):
    return os.path.splitext(name)[1][1:].upper()


def run(*arguments, status=0, stdin=None, **options):
    result = CliRunner().invoke(cli.app, ["predict", *map(str, arguments)], input=stdin, **options)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result


def records(*arguments, **options):
    return json.loads(run("--format", "json", *arguments, **options).stdout)


def paths(*arguments, **options):
    return [one["path"] for one in records(*arguments, **options)]


def lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n")[:-1]]
