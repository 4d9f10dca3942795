"""The tempo: of clicks, of what has no beat, in blocks, and without librosa."""

import subprocess
import sys

import numpy as np
import pytest
import tiny

from modeling_m2e.errors_m2e import ModelError
from modeling_m2e.tempo_m2e import MAX_TEMPO, MIN_SECONDS, MIN_TEMPO, SAMPLING_RATE, TempoStream, estimate_tempo

MISSING = 'The tempo needs librosa: install it with pip install "m2e[tempo]".'
needs_librosa = pytest.mark.usefixtures("librosa")


@pytest.fixture(scope="module")
def librosa():
    return pytest.importorskip("librosa")


def clicks(tempo: float, seconds: float = 20.0) -> np.ndarray:
    """(samples,) float32 at SAMPLING_RATE: a short tone on every beat."""
    waveform = np.zeros(round(seconds * SAMPLING_RATE), np.float32)
    time = np.arange(400) / SAMPLING_RATE
    click = 0.5 * np.sin(2 * np.pi * 1000 * time) * np.exp(-250 * time)
    for start in (np.arange(0, seconds - 0.1, 60 / tempo) * SAMPLING_RATE).astype(int):
        waveform[start : start + len(click)] += click
    return waveform


@needs_librosa
@pytest.mark.parametrize("tempo", [45.0, 70.0, 100.0, 140.0])
def test_clicks(tempo):
    assert estimate_tempo(clicks(tempo)) == pytest.approx(tempo, rel=0.01)


@needs_librosa
@pytest.mark.parametrize(("tempo", "octave"), [(30.0, 2.0), (180.0, 0.5), (200.0, 0.5)])
def test_octaves_of_slow_and_fast_clicks(tempo, octave):
    found = estimate_tempo(clicks(tempo, 40.0))
    assert found == pytest.approx(octave * tempo, rel=0.04) and MIN_TEMPO <= found <= MAX_TEMPO


@needs_librosa
def test_the_level_and_silence_around_do_not_matter():
    silence = np.zeros(30 * SAMPLING_RATE, np.float32)
    track = np.concatenate([silence, 0.01 * clicks(110.0), silence])
    assert estimate_tempo(track) == pytest.approx(110.0, rel=0.01)


@needs_librosa
def test_what_has_no_beat_has_no_tempo():
    time = np.arange(30 * SAMPLING_RATE) / SAMPLING_RATE
    noise = 0.1 * np.random.default_rng(0).standard_normal(len(time)).astype(np.float32)
    for waveform in (np.zeros_like(noise), (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32), noise):
        assert estimate_tempo(waveform) is None


@needs_librosa
def test_a_short_track_has_no_tempo():
    assert estimate_tempo(np.zeros(0, np.float32)) is None
    assert estimate_tempo(clicks(140.0, MIN_SECONDS - 0.1)) is None
    assert estimate_tempo(clicks(140.0, MIN_SECONDS)) == pytest.approx(140.0, rel=0.04)


@needs_librosa
@pytest.mark.parametrize("samples", [100, 2048, SAMPLING_RATE, 10**6])
def test_blocks_give_the_onsets_of_the_whole(librosa, samples):
    waveform = tiny.waveform(8.0) + clicks(100.0, 8.0)
    stream = TempoStream()
    for start in range(0, len(waveform), samples):
        stream.push(waveform[start : start + samples])
    assert stream.finish() == estimate_tempo(waveform)
    whole = librosa.onset.onset_strength(y=waveform, sr=SAMPLING_RATE, aggregate=np.median)
    found = np.concatenate(stream._strength)
    shift = 3  # librosa's are late by half a window, as are the first and the difference
    np.testing.assert_allclose(found[: len(whole) - shift], whole[shift:], atol=1e-3)


@needs_librosa
def test_long_tracks_need_little_memory():
    import tracemalloc

    block = clicks(120.0, 30.0)
    estimate_tempo(block)  # imports and compiles
    peaks = []
    for count in (2, 20):
        stream = TempoStream()
        tracemalloc.start()
        for _ in range(count):
            stream.push(block)
        assert stream.finish() == pytest.approx(120.0, rel=0.01)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 0.1 * peaks[0]


def test_without_librosa(monkeypatch):
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(ModelError) as error:
        estimate_tempo(clicks(100.0))
    assert str(error.value) == MISSING


# --- in a record ---


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@needs_librosa
@pytest.mark.parametrize("harmony", [True, False])
def test_a_record_has_the_tempo_only_if_asked_for(pipe, harmony):
    track = (clicks(100.0, 10.0) + tiny.waveform(10.0), SAMPLING_RATE)
    plain, asked = pipe(track, harmony=harmony), pipe(track, harmony=harmony, tempo=True)
    assert plain.tempo is None and "tempo" not in plain
    assert asked["tempo"] == round(asked.tempo, 1) == pytest.approx(100.0, rel=0.01)
    without = {name: value for name, value in asked.items() if name not in ("tempo", "summary")}
    assert without == {name: value for name, value in plain.items() if name != "summary"}
    assert asked.summary == f"{plain.summary}, medium tempo"
    features = pipe.processor.analyze(track, harmony, tempo=True)
    assert pipe.predict_features(features).tempo == asked.tempo


@needs_librosa
def test_a_track_without_a_beat_has_no_such_field(pipe):
    assert "tempo" not in pipe((tiny.waveform(3.0), SAMPLING_RATE), tempo=True)


def test_a_missing_librosa_is_told_once_not_for_every_track(pipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "librosa", None)
    track = (tiny.waveform(3.0), SAMPLING_RATE)
    with pytest.raises(ModelError) as error:
        pipe([track, track], tempo=True, errors="record")
    assert str(error.value) == MISSING
    assert pipe(track, errors="record").error is None


WITHOUT = """
import sys
sys.modules["librosa"] = None  # an import of it would fail
import numpy as np
import m2e
record = m2e.load()((np.random.default_rng(0).normal(0, 0.1, 44100).astype(np.float32), 22050))
assert record.error is None and "tempo" not in record
try:
    m2e.load(tempo=True)
except ValueError as error:
    print(error)
"""


def test_predicting_without_a_tempo_needs_no_librosa():
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=tiny.ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == f"{MISSING}\n", done.stderr
