"""Parts of a track with the harmony around them."""

import numpy as np
import pytest
import tiny
import torch

from modeling_m2e.chord_labels_m2e import ChordSegment
from modeling_m2e.harmony_statistics_m2e import CELL_NUMBERS
from modeling_m2e.key_m2e import FITTED, Key
from modeling_m2e.local_harmony_m2e import clipped, parts
from modeling_m2e.processing_m2e import TrackFeatures
from modeling_m2e.windows_m2e import Window

SECONDS = 120.0
MAJOR, MINOR = ("C:maj", "F:maj", "G:maj", "C:maj"), ("C:min", "F:min", "G:min", "C:min")


def track(seconds: float = SECONDS, chords: bool = True) -> TrackFeatures:
    """Windows of 5 s from second to second; C minor in the first half, C major in the second."""
    windows = [Window(float(start), float(start + 5), 1.0) for start in range(int(seconds) - 4)]
    half = seconds / 2
    segments = [
        ChordSegment(start, min(start + 2.5, seconds), (MINOR if start < half else MAJOR)[int(start / 2.5) % 4])
        for start in np.arange(0.0, seconds, 2.5)
    ]
    cells = np.ones((int(np.ceil(seconds / 10)), CELL_NUMBERS), np.float32)
    cells[:, 0] = np.arange(len(cells)) * 10
    embeddings = torch.arange(len(windows), dtype=torch.float32)[:, None]
    harmony = (segments, Key("C", "minor"), cells) if chords else (None, None, None)
    return TrackFeatures("song", seconds, windows, embeddings, *harmony)


def test_parts_are_the_track_with_what_sounds_around_them():
    whole = track()
    found = list(parts(whole, 30.0, FITTED))
    assert [window for part in found for window in part.windows] == whole.windows
    assert torch.equal(torch.cat([part.embeddings for part in found]), whole.embeddings)
    assert all(len(part.windows) <= 11 for part in found) and len(found) == 12
    for part in found:
        middle = np.clip((part.windows[0].start + part.windows[-1].end) / 2, 15, SECONDS - 15)
        assert (part.chords[0].start, part.chords[-1].end) == (pytest.approx(middle - 15), pytest.approx(middle + 15))
        starts = part.statistics[:, 0]
        assert len(starts) == 3 and (starts + 5 >= middle - 15).all() and (starts + 5 < middle + 15).all()
    assert (found[0].key.mode, found[-1].key.mode) == ("minor", "major")


def test_a_short_track_is_one_part_and_one_without_chords_has_none():
    short = track(30.0)
    assert list(parts(short, 30.0, FITTED)) == [short]
    silent = list(parts(track(chords=False), 30.0, FITTED))
    assert len(silent) == 12 and {(part.chords, part.key, part.statistics) for part in silent} == {(None, None, None)}


def test_chords_are_clipped():
    chords = [ChordSegment(0, 4, "C"), ChordSegment(4, 6, "G"), ChordSegment(6, 9, "C")]
    assert clipped(chords, 3, 6) == [ChordSegment(3, 4, "C"), ChordSegment(4, 6, "G")]
    assert clipped(chords, 9, 12) == []


@pytest.mark.parametrize("at_once", [1, 5, 100])
def test_the_curve_is_predicted_part_by_part(monkeypatch, at_once):
    """However many parts the network takes at once, each window has the output of its own part."""
    monkeypatch.setattr("modeling_m2e.pipeline_m2e.PARTS_AT_ONCE", at_once)
    pipe = tiny.pipeline()
    whole = track()
    width = pipe.processor.encoder.hidden_size
    embeddings = torch.randn(len(whole.windows), width, generator=torch.Generator().manual_seed(0))
    whole = TrackFeatures("song", SECONDS, whole.windows, embeddings, whole.chords, whole.key)
    alike = pipe.predict_features(whole)
    pipe.processor.feature_extractor.harmony_seconds = 30.0
    record = pipe.predict_features(whole)
    assert (record.valence, record.arousal) == (alike.valence, alike.arousal)
    expected = []
    for part in parts(whole, 30.0, pipe.processor.key_profile):
        with torch.inference_mode():
            expected.append(pipe.model(**pipe.processor.collate([part])).window_va[0])
    assert len(record.curve) == len(whole.windows)
    found = [[point.valence, point.arousal] for point in record.curve]
    np.testing.assert_allclose(found, torch.cat(expected).clip(1, 9), atol=1e-4)
    assert not np.allclose(found, [[point.valence, point.arousal] for point in alike.curve], atol=1e-3)


def test_a_short_track_goes_through_the_network_once(monkeypatch):
    pipe, calls = tiny.pipeline(), []
    pipe.processor.feature_extractor.harmony_seconds = 5.0
    forward = pipe.model.forward
    monkeypatch.setattr(pipe.model, "forward", lambda *args, **inputs: calls.append(1) or forward(*args, **inputs))
    assert pipe((tiny.waveform(4.5), tiny.SAMPLING_RATE)).curve and len(calls) == 1
    assert pipe((tiny.waveform(12.0), tiny.SAMPLING_RATE)).curve and len(calls) > 2


def test_tracks_of_one_batch_have_curves_of_their_own_length():
    pipe = tiny.pipeline()
    pipe.processor.feature_extractor.harmony_seconds = 5.0
    long, short = (tiny.waveform(seconds) for seconds in (13.0, 7.0))
    sources = [(long, tiny.SAMPLING_RATE), (short, tiny.SAMPLING_RATE), "missing.wav"]
    together = pipe(sources, batch_size=3, errors="record")
    for record, source in zip(together[:2], sources[:2], strict=True):
        alone = pipe(source)
        assert len(record.curve) == len(alone.curve)
        assert [point.valence for point in record.curve] == pytest.approx(
            [point.valence for point in alone.curve], abs=1e-4
        )
    assert together[2].error
