"""Tables of soft labels: read by id, by file name or by order, aligned with labels and mixed into them."""

import numpy as np
import pytest

from m2e.errors import TrainingError
from m2e.evaluation.data import Emotions
from m2e.training.recipe import Objective
from m2e.training.soft_labels import SoftLabels, aligned, mixed, prevalence_shift, read_soft_labels
from modeling_m2e.output_m2e import sigmoid

nan = np.nan


def test_a_table_is_matched_by_file_names(tmp_path):
    (tmp_path / "soft.csv").write_text("path,mood_a,valence,arousal\nelsewhere/2.mp3,0.8,6.5,\n1.mp3,0,4,3\n")
    audio = ["x/1.mp3", "x/2.mp3", {"bytes": b"", "path": "3.mp3"}]
    soft = read_soft_labels(tmp_path / "soft.csv", ["one", "two", "three"], audio, ["b", "a"])
    np.testing.assert_equal(soft.moods, [[nan, 0.0], [nan, 0.8], [nan, nan]])
    np.testing.assert_equal(soft.va, [[4, 3], [6.5, nan], [nan, nan]])


def test_a_table_is_matched_by_ids(tmp_path):
    (tmp_path / "soft.csv").write_text("id,valence,arousal\n007,1,2\n8,3,4\n")
    soft = read_soft_labels(tmp_path / "soft.csv", ["8", "007"], ["a", "a"], ["a"])
    assert soft.va.tolist() == [[3, 4], [1, 2]] and np.isnan(soft.moods).all()


def test_arrays_are_matched_by_the_order_of_reading(tmp_path):
    logits = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], np.float32)
    va = np.array([[1.0, 2], [3, 4], [5, 6]])
    pickled = np.array(["x", "y", "z"], object)  # is never read
    np.savez(tmp_path / "soft.npz", moods=["a", "b"], moods_logits=logits, va_emomusic=va, song_ids=pickled)
    soft = read_soft_labels(tmp_path / "soft.npz", ["z", "x"], ["", ""], ["b", "new"], ["x", "y", "z"])
    assert soft.moods[:, 0] == pytest.approx(sigmoid(np.array([5.0, 1.0]))) and np.isnan(soft.moods[:, 1]).all()
    assert soft.va.tolist() == [[5, 6], [1, 2]]
    with pytest.raises(TrainingError, match=r"shape \(3, 2\), but the data set has 2 tracks"):
        read_soft_labels(tmp_path / "soft.npz", ["x"], [""], ["b"], ["x", "y"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b\n1,2\n", "neither a column id nor a column path"),
        ("id,valence,arousal\n1,2,3\n1,2,3\n", "several rows for 1"),
        ("id,valence,arousal\n9,2,3\n", "no soft labels of these tracks"),
        ("id,valence,arousal\n1,high,3\n", "soft.csv holds soft labels that are no numbers"),
        ("id,mood_a\n1,55\n", "no probabilities"),
        ("", "cannot be read"),
    ],
)
def test_bad_tables(tmp_path, content, expected):
    (tmp_path / "soft.csv").write_text(content)
    with pytest.raises(TrainingError, match=expected):
        read_soft_labels(tmp_path / "soft.csv", ["1"], ["a"], ["a"])


def test_bad_arrays(tmp_path):
    (tmp_path / "soft.npz").write_bytes(b"no archive")
    with pytest.raises(TrainingError, match="soft.npz cannot be read"):
        read_soft_labels(tmp_path / "soft.npz", ["1"], ["a"], ["a"])


def test_a_shift_meets_the_prevalence():
    log_odds = np.random.default_rng(0).normal(-5, 1, 500)
    for prevalence in (0.02, 0.3, 0.9):
        shift = prevalence_shift(log_odds, prevalence)
        assert sigmoid(log_odds + shift).mean() == pytest.approx(prevalence, abs=1e-6)


def test_soft_labels_get_the_scale_of_the_labels_that_are_learnt():
    rng = np.random.default_rng(0)
    labels = Emotions(np.full((300, 2), nan), rng.normal(6, 0.5, (300, 2)), np.zeros(300, int))
    labels.moods[:, 0] = rng.random(300) < 0.4
    labels.va[200:] += 2  # is held out
    soft = SoftLabels(sigmoid(rng.normal(-3, 1, (300, 2))), rng.normal(2, 3, (300, 2)))
    rows = np.arange(200)
    found = aligned(soft, labels, rows)
    assert found.moods[rows, 0].mean() == pytest.approx(labels.moods[rows, 0].mean(), abs=1e-6)
    assert np.array_equal(found.moods[:, 1], soft.moods[:, 1])  # nothing to align with
    assert found.va[rows].mean(0) == pytest.approx(labels.va[rows].mean(0))
    assert found.va[rows].std(0) == pytest.approx(labels.va[rows].std(0))
    assert np.corrcoef(found.va[:, 0], soft.va[:, 0])[0, 1] == pytest.approx(1)


def test_targets_mix_labels_and_teacher():
    labels = Emotions(np.array([[1.0, nan], [0.0, nan]]), np.array([[2.0, 2.0], [nan, 4.0]]), np.zeros(2, int))
    soft = SoftLabels(np.array([[0.5, 0.9], [0.5, nan]]), np.array([[8.0, 8.0], [6.0, nan]]))
    weights = {"mood": 0.25, "arousal": 0.5}
    found = mixed(labels, soft, Objective(distillation="targets", teacher_weight=weights))
    np.testing.assert_allclose(found.moods, [[0.875, 0.9], [0.125, nan]])
    np.testing.assert_allclose(found.va, [[2.0, 5.0], [6.0, 4.0]])
    assert np.array_equal(found.quadrants, labels.quadrants)
