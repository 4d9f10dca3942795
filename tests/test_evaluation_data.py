"""Labels and records become columns."""

import json

import numpy as np
import pytest

from m2e.errors import DataError
from m2e.evaluation.data import labels_of, match, predictions_of, read_records
from modeling_m2e.record_m2e import FailedTrack, Mood, MusicEmotion

TAGS = ["dark", "happy", "sad", "upbeat"]


def dataset(moods, valence=None, quadrant=None):
    nothing = [None] * len(moods)
    return {
        "moods": moods,
        "valence": valence or nothing,
        "arousal": valence or nothing,
        "quadrant": quadrant or nothing,
    }


def record(path, **changes):
    known = {
        "valence": 6.0,
        "arousal": 4.0,
        "quadrant": "Q4",
        "moods": [Mood(tag, index / 10) for index, tag in enumerate(TAGS)],
        "selected_moods": [],
        "duration": None,
        "model": "m2e-small",
    }
    return MusicEmotion(path=path, **known | changes)


def test_moods_are_tags_or_words_that_mean_them():
    labels, ignored = labels_of(
        dataset([["happy"], ["Cheerful", "Sloppy"], [], None, ["Sloppy", "sad"]]), TAGS
    )  # Cheerful: happy and upbeat
    expected = [[np.nan, 1, 0, 0], [np.nan, 1, 0, 1], [np.nan, 0, 0, 0], [np.nan] * 4, [np.nan, 0, 1, 0]]
    np.testing.assert_array_equal(labels.moods, expected)
    assert ignored == {"Sloppy": 2}


def test_missing_labels_stay_missing():
    labels, _ = labels_of(dataset([None, None], valence=[3.5, None], quadrant=["Q3", None]), TAGS)
    assert np.isnan(labels.moods).all()
    np.testing.assert_array_equal(labels.va, [[3.5, 3.5], [np.nan, np.nan]])
    assert labels.quadrants.tolist() == [2, -100] and len(labels[[1]]) == 1


def test_4q_has_labels_of_every_tag_that_a_word_means(shared):
    from m2e.datasets import read_dataset
    from m2e.datasets.panda4q import ALLMUSIC_TO_JAMENDO
    from modeling_m2e.configuration_m2e import JAMENDO_MOODS

    clips = read_dataset("4q", shared / "data" / "4q", check="off")
    labels, ignored = labels_of(clips, JAMENDO_MOODS)
    tags = {tag for meant in ALLMUSIC_TO_JAMENDO.values() for tag in meant.split()}
    assert {
        tag for tag, column in zip(JAMENDO_MOODS, labels.moods.T, strict=True) if not np.isnan(column).any()
    } == tags
    for row, words in zip(labels.moods, clips["moods"][:], strict=True):
        meant = {tag for word in words for tag in ALLMUSIC_TO_JAMENDO.get(word, "").split()}
        assert {JAMENDO_MOODS[index] for index in np.flatnonzero(row == 1)} == meant
    assert ignored and not np.isnan(labels.va).any() and (labels.quadrants >= 0).all()


def test_records_become_columns():
    found = predictions_of([record("a.wav"), record("b.wav", quadrant="Q1", valence=2.0)], TAGS[::-1])
    np.testing.assert_allclose(found.moods, [[0.3, 0.2, 0.1, 0.0]] * 2)
    assert found.va.tolist() == [[6, 4], [2, 4]] and found.quadrants.tolist() == [3, 0]
    with pytest.raises(DataError, match="a.wav has no score of epic"):
        predictions_of([record("a.wav")], ["epic"])


def test_a_file_of_records_is_read_back(tmp_path):
    file = tmp_path / "records.jsonl"
    good, bad = record("a.wav", valence_interval=(5.0, 7.0)), FailedTrack("b.wav", "b.wav is no audio.")
    file.write_text(good.to_json() + "\n" + bad.to_json() + "\n")
    read = read_records(file)
    assert [each.path for each in read] == ["a.wav", "b.wav"] and read[1].error == bad.error
    assert read[0].moods == good.moods and read[0].quadrant == "Q4" and read[0].model == "m2e-small"
    assert read[0].valence_interval == (5.0, 7.0) and read[0].arousal_interval is None
    ends = predictions_of(read[:1], TAGS).intervals
    assert ends[0, 0].tolist() == [5.0, 7.0] and np.isnan(ends[0, 1]).all()


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "3",
        '{"path": "a.wav"}',
        json.dumps({**record("a"), "moods": 3}),
        json.dumps({**record("a"), "valence_interval": ["a", 1]}),
    ],
)
def test_other_files_are_refused(tmp_path, line):
    file = tmp_path / "records.jsonl"
    file.write_text(record("a.wav").to_json() + "\n" + line + "\n")
    with pytest.raises(DataError, match="line 2, is no record"):
        read_records(file)


def test_records_find_their_tracks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    here, elsewhere, twice, failed = (
        record("x/a.wav"),
        record("/other/b.wav"),
        [record("/other/1/c.wav"), record("/other/2/c.wav")],
        FailedTrack("x/d.wav", "x/d.wav is no audio."),
    )
    paths = [str(tmp_path / "x" / name) for name in ("a.wav", "b.wav", "c.wav", "d.wav", "e.wav")]
    assert match([here, elsewhere, *twice, failed], paths) == [here, elsewhere, None, None, None]
    # two tracks of one name: the name says nothing
    assert match([elsewhere], [paths[1], str(tmp_path / "b.wav")]) == [None, None]
