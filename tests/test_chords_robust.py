"""Sounds without harmony, and hardly any sound: the embedded chord recogniser and the key have a defined answer."""

import numpy as np
import pytest

import m2e
from m2e.errors import AudioError
from modeling_m2e import ChordSegment, Key
from modeling_m2e.chord_labels_m2e import VOCABULARY, parse_chord
from modeling_m2e.chord_logits_m2e import frame_logits
from modeling_m2e.chords_m2e import SAMPLING_RATE, cqt_features
from modeling_m2e.key_m2e import estimate_key, key_segments

DECODINGS = ("smooth", "paper")
FRAME = 2048 / SAMPLING_RATE  # seconds
TIMES = {seconds: np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE for seconds in (0.6, 4.0, 12.0)}


def drums(times: np.ndarray) -> np.ndarray:
    """A kick on every beat, a snare on every second, eighths of a hi-hat; 120 beats per minute."""
    noise = np.random.default_rng(0).uniform(-1, 1, len(times))
    beat, half, eighth = times % 0.5, (times + 0.5) % 1.0, times % 0.25
    kick = np.sin(2 * np.pi * (50 * beat + 6 * (1 - np.exp(-30 * beat)))) * np.exp(-12 * beat)
    snare = (0.5 * noise + 0.3 * np.sin(2 * np.pi * 190 * half)) * np.exp(-20 * half)
    hat = 0.3 * np.diff(noise, prepend=0.0) * np.exp(-60 * eighth)
    return 0.5 * (kick + snare + hat)


SIGNALS = {
    "silence": np.zeros(len(TIMES[12.0])),
    "white noise": np.random.default_rng(1).normal(0, 0.2, len(TIMES[12.0])),
    "pure tone": 0.5 * np.sin(2 * np.pi * 440 * TIMES[12.0]),
    "drum loop": drums(TIMES[12.0]),
    "short clip": 0.3 * np.sin(2 * np.pi * 262 * TIMES[0.6]),
    "one sample": np.array([0.7]),
    "constant": np.full(len(TIMES[4.0]), 0.9),
    "clipping square": 4.0 * np.sign(np.sin(2 * np.pi * 110 * TIMES[4.0])),
    "denormal": np.full(len(TIMES[4.0]), 1e-40),
    "impulse": np.eye(1, len(TIMES[4.0]), 5000)[0],
    "no sample": np.zeros(0),
}


NO_TRACKS = ("silence", "one sample", "constant", "denormal", "no sample")  # that reading audio refuses


@pytest.fixture(scope="module")
def pipes():
    return {decoding: m2e.load_chords(decoding=decoding) for decoding in DECODINGS}


def check(chords: list[ChordSegment], duration: float, decoding: str) -> None:
    """No gap from 0 to the end, labels of the vocabulary, a key or None."""
    known = {parse_chord(label).label for label in VOCABULARY}
    assert [chord.start for chord in chords] == [0.0, *(chord.end for chord in chords[:-1])][: len(chords)]
    assert all(chord.start < chord.end and chord.label in known for chord in chords)
    assert all(a.label != b.label for a, b in zip(chords, chords[1:], strict=False))
    if duration > 0:
        beyond = 0.0 if decoding == "smooth" else FRAME  # the published last frame is whole
        assert duration - FRAME < chords[-1].end <= duration + beyond + 1e-9
    key = estimate_key(chords)
    assert key is None or (isinstance(key, Key) and 0.0 < key.confidence <= 1.0)
    if all(chord.label == "N" for chord in chords):
        assert key is None
    keys = key_segments(chords)
    assert keys or key is None
    if keys:
        assert (keys[0].start, keys[-1].end) == (chords[0].start, chords[-1].end)
        assert all(a.end == b.start for a, b in zip(keys, keys[1:], strict=False))
        assert all(0.0 < one.confidence <= 1.0 for one in keys)


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("name", SIGNALS)
def test_every_signal_has_an_answer(pipes, name, decoding):
    signal, recognizer = SIGNALS[name].astype(np.float32), pipes[decoding].recognizer
    features = cqt_features(signal)
    assert np.isfinite(features).all() and np.isfinite(frame_logits(features, recognizer.model)).all()
    check(recognizer(signal), len(signal) / SAMPLING_RATE, decoding)


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("name", sorted(SIGNALS.keys() - set(NO_TRACKS)))
def test_eight_channels_are_mixed_to_one(pipes, name, decoding):
    """As a file gives them, at another rate."""
    signal = np.repeat(SIGNALS[name].astype(np.float32)[:, None], 8, axis=1)
    record = pipes[decoding]((signal, 24000))
    assert record.duration == pytest.approx(len(signal) / 24000, abs=1e-3)
    check(record.chords, record.duration, decoding)


@pytest.mark.parametrize("name", NO_TRACKS)
def test_what_is_no_track_is_refused_by_name(pipes, name):
    with pytest.raises(AudioError, match="^<array>: .*[.)]$"):
        pipes["smooth"]((SIGNALS[name], SAMPLING_RATE))


def test_silence_has_no_chord_and_no_key(pipes):
    for pipe in pipes.values():
        chords = pipe.recognizer(SIGNALS["silence"])
        assert {chord.label for chord in chords} == {"N"} and estimate_key(chords) is None


def test_a_rest_between_chords_does_not_poison_them(pipes):
    """Digital silence has the lowest features of all: the chords before and after it do not change."""
    angles = [2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * TIMES[4.0] for pitch in (48, 60, 64, 67)]
    triad = sum(np.sin(partial * angle) / partial for angle in angles for partial in (1, 2, 3)) / 12
    chords = pipes["smooth"].recognizer(np.concatenate([triad, np.zeros(len(triad)), triad]))
    found = {int(time): next(c.label for c in chords if c.start <= time < c.end) for time in (2, 6, 10)}
    assert found[2] == found[10] == "C:maj" and found[6] == "N"
