"""The feature cache: nothing lost, nothing stale, nothing computed twice."""

import numpy as np
import pytest
import soundfile as sf
import tiny
import torch

from m2e.features import cached_features, encoder_fingerprint, harmony_fingerprint


@pytest.fixture(scope="module")
def processor():
    return tiny.pipeline().processor


@pytest.fixture
def tracks(tmp_path):
    for name in "ab":
        sf.write(tmp_path / f"{name}.wav", tiny.waveform(7.0, seed=ord(name)), tiny.SAMPLING_RATE)
    (tmp_path / "c.wav").write_bytes(b"")
    return ["a", "b", "c"], [tmp_path / f"{name}.wav" for name in "abc"]


def test_the_cache_holds_what_analysis_gives(processor, tracks, tmp_path):
    said = []
    first, second, bad = cached_features(*tracks, processor, tmp_path / "cache", said.append)
    assert bad is None and any("c.wav" in line for line in said)
    direct = processor.analyze(tracks[1][0])
    assert torch.allclose(first.embeddings, direct.embeddings, rtol=2e-3, atol=1e-3)  # float16
    assert (first.windows, first.duration) == (direct.windows, direct.duration)
    assert [chord.label for chord in first.chords] == [chord.label for chord in direct.chords]
    assert [chord.start for chord in first.chords] == pytest.approx([chord.start for chord in direct.chords])
    assert first.key == direct.key
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_a_second_run_computes_only_what_failed(processor, tracks, tmp_path, monkeypatch):
    first = cached_features(*tracks, processor, tmp_path / "cache", lambda line: None)
    encoded, heard = [], []
    analyze, hear = processor.analyze, processor.hear_harmony
    monkeypatch.setattr(processor, "analyze", lambda path, **kw: encoded.append(path.name) or analyze(path, **kw))
    monkeypatch.setattr(processor, "hear_harmony", lambda path: heard.append(path.name) or hear(path))
    second = cached_features(*tracks, processor, tmp_path / "cache", lambda line: None)
    assert encoded == ["c.wav"] and heard == []
    np.testing.assert_array_equal(first[1].embeddings, second[1].embeddings)

    next((tmp_path / "cache").glob("harmony-*")).rename(tmp_path / "cache" / "harmony-other")
    cached_features(*tracks, processor, tmp_path / "cache", lambda line: None)
    assert encoded == ["c.wav", "c.wav"] and heard == ["a.wav", "b.wav"]


def test_other_weights_or_windows_are_other_features(processor):
    encoder, harmony = encoder_fingerprint(processor), harmony_fingerprint(processor)
    assert (encoder, harmony) == (encoder_fingerprint(processor), harmony_fingerprint(processor))
    processor.feature_extractor.window_seconds = 5.0
    assert encoder_fingerprint(processor) != encoder and harmony_fingerprint(processor) == harmony
    processor.feature_extractor.window_seconds = 3.0
    with torch.no_grad():
        weight = next(processor.chord_recognizer.model.parameters())
        before = weight.clone()
        weight[0, 0] += 1
        changed = harmony_fingerprint(processor)
        weight.copy_(before)
    assert changed != harmony == harmony_fingerprint(processor) and encoder_fingerprint(processor) == encoder
