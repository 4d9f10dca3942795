"""The pipeline from Python: sources that fail, and its parameters. Audio of every form: see test_loading."""

import numpy as np
import pytest
import soundfile
import tiny

from m2e.errors import AudioError, M2EError, ModelError
from modeling_m2e import FailedTrack, MusicEmotion
from modeling_m2e.audio_m2e import load
from modeling_m2e.windows_m2e import Window

GOOD = (tiny.waveform(4.0), tiny.SAMPLING_RATE)
SILENT = (np.zeros(4 * tiny.SAMPLING_RATE, np.float32), tiny.SAMPLING_RATE)


@pytest.fixture(scope="module")
def pipe():
    return tiny.pipeline()


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("harmony", [True, False])
def test_a_bad_source_in_a_list_gives_a_record(pipe, batch_size, harmony):
    sources = ["gone.wav", GOOD, SILENT, {"array": None}, GOOD]
    records = pipe(sources, errors="record", batch_size=batch_size, harmony=harmony)
    assert [type(each) for each in records] == [FailedTrack, MusicEmotion, FailedTrack, FailedTrack, MusicEmotion]
    assert records[0].path == "gone.wav" and records[0].error == "gone.wav: no such file."
    assert all(each.error.startswith("<array>: ") for each in records[2:4])
    expected = pipe(GOOD, harmony=harmony)
    assert records[1].valence == pytest.approx(expected.valence, abs=1e-4) and records[1].chords == expected.chords


def test_generators_go_on_after_a_bad_source(pipe):
    records = pipe((source for source in ["gone.wav", GOOD]), errors="record")
    assert [record.error is None for record in records] == [False, True]


def test_one_bad_source_is_a_record_or_an_error(pipe):
    assert pipe("gone.wav", errors="record").error == "gone.wav: no such file."
    for parameters in ({}, {"errors": "raise"}):
        with pytest.raises(AudioError, match="no such file"):
            pipe(["gone.wav", GOOD], **parameters)


def test_outputs_that_are_not_finite_are_the_error_of_their_track(pipe, monkeypatch):
    real = pipe.processor.encoder.__class__.__call__
    monkeypatch.setattr(pipe.processor.encoder.__class__, "__call__", lambda *args: real(*args) * float("nan"))
    (record,) = pipe([GOOD], errors="record")
    assert "not finite" in record.error
    with pytest.raises(M2EError, match="not finite"):
        pipe(GOOD)


def test_a_bug_is_not_made_a_record(pipe, monkeypatch):
    def analyze(*_):
        raise KeyError("a bug")

    monkeypatch.setattr(pipe.processor, "analyze", analyze)
    with pytest.raises(KeyError):
        pipe([GOOD], errors="record")


@pytest.mark.parametrize("top_k", [-1, 0, 2.5, "3", True, float("nan"), 10**9])
def test_numbers_of_moods_that_cannot_be(pipe, top_k):
    with pytest.raises(M2EError, match=r"^music-emotion: top_k is .*; give a whole number from 1 to 10000\.$"):
        pipe(GOOD, top_k=top_k)


def test_number_of_moods(pipe):
    assert len(pipe(GOOD, top_k=3).moods) == 3
    assert len(pipe(GOOD, top_k=99).moods) == len(pipe(GOOD, top_k=None).moods) == 56


def test_parameters_that_do_not_exist(pipe):
    with pytest.raises(M2EError, match="errors is 'ignore'; use 'raise' or 'record'"):
        pipe(GOOD, errors="ignore")
    with pytest.raises(TypeError, match="no parameter error; it takes top_k, harmony, .* and errors"):
        pipe(GOOD, error="record")


# --- the ladder: waveform, windows, embeddings, record ---


def test_the_rungs_lead_to_the_record(pipe):
    whole = pipe(GOOD)
    waveform, rate = load(GOOD, pipe.processor.feature_extractor.sampling_rate)
    cut = pipe.processor.feature_extractor(waveform, rate, return_tensors="pt")
    embeddings = pipe.processor.encoder(cut["input_values"])
    windows, same = pipe.processor.embed(GOOD)
    np.testing.assert_allclose(embeddings, same, atol=1e-5)
    assert [window.weight for window in windows] == pytest.approx(cut["window_weights"].tolist())
    record = pipe.predict_embeddings(embeddings, windows, pipe.processor.analyze_harmony(GOOD), "<array>")
    assert record.chords == whole.chords and record.key == whole.key and record.path == whole.path
    assert (record.valence, record.arousal) == pytest.approx((whole.valence, whole.arousal), abs=1e-4)
    assert [point.end for point in record.curve] == [point.end for point in whole.curve]


def test_embeddings_alone(pipe):
    _, embeddings = pipe.processor.embed(GOOD)
    record = pipe.predict_embeddings(embeddings.numpy())
    assert [(point.start, point.end) for point in record.curve] == [(0.0, 3.0), (3.0, 6.0)] and record.duration == 6.0
    assert record.chords is None and record.key is None
    for wrong in (embeddings[0], embeddings * float("nan"), embeddings[:0], embeddings[:, :5]):
        with pytest.raises(ModelError):
            pipe.predict_embeddings(wrong)
    with pytest.raises(ModelError, match="2 embeddings do not fit 1 windows"):
        pipe.predict_embeddings(embeddings, [Window(0.0, 3.0, 1.0)])


def test_the_embeddings_of_the_windows(pipe):
    record = pipe(GOOD, include_embeddings=True, include_embedding=True)
    assert record.embeddings.shape == (len(record.curve), pipe.processor.encoder.hidden_size)
    assert record.embeddings.dtype == np.float32 and pipe(GOOD).embeddings is None
    np.testing.assert_allclose(record.embedding, np.average(record.embeddings, 0, [1.0, 1 / 3]), rtol=1e-5, atol=1e-6)
    assert "embeddings" not in record and record == pipe(GOOD)


# --- progress ---


def test_progress_of_a_track(pipe, tmp_path):
    long = (tiny.waveform(70.0), tiny.SAMPLING_RATE)
    soundfile.write(tmp_path / "long.wav", *long)
    calls = []
    pipe([str(tmp_path / "long.wav"), long], harmony=False, progress=lambda *call: calls.append(call))
    assert [call[0] for call in calls[::4]] == [str(tmp_path / "long.wav"), "<array>"]
    for track in (calls[:4], calls[4:]):
        seconds = [call[1] for call in track]
        assert seconds == sorted(seconds) and seconds[-1] == pytest.approx(70.0, abs=0.01)
        assert [call[2] for call in track] == pytest.approx([70.0] * 4, abs=0.01)
    count = len(calls)
    pipe(GOOD)
    assert len(calls) == count
