"""The processor: harmony with and without the encoder, and saving while other threads use it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tiny
from transformers import ProcessorMixin

from m2e.errors import ModelError
from modeling_m2e import M2EFeatureExtractor, M2EProcessor


@pytest.fixture(scope="module")
def processor():
    return tiny.pipeline().processor


def test_harmony_alone_is_that_of_the_whole_analysis(processor):
    track = (tiny.waveform(8.0), tiny.SAMPLING_RATE)
    whole, alone = processor.analyze(track), processor.analyze_harmony(track)
    assert (whole.chords, whole.key) == (alone.chords, alone.key) and len(alone.chords) > 3
    np.testing.assert_array_equal(whole.statistics, alone.statistics)
    assert alone.duration == pytest.approx(8.0) and alone.chords[-1].end == alone.duration


@pytest.mark.parametrize("decoding", ["paper", "smooth"])
def test_chords_end_with_the_track(processor, monkeypatch, decoding):
    monkeypatch.setattr(processor.chord_recognizer, "decoding", decoding)
    assert processor.analyze((tiny.waveform(4.2), tiny.SAMPLING_RATE)).chords[-1].end == pytest.approx(4.2, abs=1e-6)


def test_without_a_recogniser_there_is_no_harmony():
    processor = tiny.pipeline(chords=False).processor
    track = processor.analyze((tiny.waveform(2.0), tiny.SAMPLING_RATE))
    assert (track.chords, track.key, track.statistics) == (None, None, None)
    with pytest.raises(ModelError, match="has no chord recogniser"):
        processor.analyze_harmony("song.wav")


def test_parts_that_are_missing_are_named(tmp_path):
    with pytest.raises(ModelError, match="has no encoder"):
        _ = M2EProcessor(M2EFeatureExtractor()).encoder
    processor = M2EProcessor(M2EFeatureExtractor())
    (tmp_path / "processor_config.json").write_text(processor.to_json_string())
    with pytest.raises(ModelError, match="names no encoder"):
        M2EProcessor.from_pretrained(tmp_path)


def test_another_thread_may_use_the_networks_meanwhile(processor, monkeypatch):
    """While the base class makes the dictionary, the networks stay where they are."""
    make, seen = ProcessorMixin.to_dict, []

    def to_dict(self):
        seen.append(pool.submit(lambda: (processor.encoder, processor.chord_recognizer)).result())
        return make(self)

    monkeypatch.setattr(ProcessorMixin, "to_dict", to_dict)
    with ThreadPoolExecutor(1) as pool:
        content = processor.to_dict()
    assert seen == [(processor.encoder, processor.chord_recognizer)] and None not in seen[0]
    assert {"_encoder", "_chord_recognizer"}.isdisjoint(content) and content["chord_vocabulary"] == "m2e"
