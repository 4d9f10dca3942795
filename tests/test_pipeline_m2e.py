"""The pipeline from Python: sources that fail, and its parameters. Audio of every form: see test_loading."""

import numpy as np
import pytest
import tiny

from m2e.errors import AudioError, M2EError
from modeling_m2e import FailedTrack, MusicEmotion

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
