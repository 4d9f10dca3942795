import numpy as np
import pytest

from modeling_m2e.key_m2e import Key
from modeling_m2e.words_m2e import select_by_lift, select_by_threshold, summary

RATES = np.array([0.3, 0.1, 0.01, 0.05])


def test_moods_are_selected_by_what_their_lift_tells():
    # the first is likely in any track; the rare third has the largest lift, but the second tells more
    assert select_by_lift(np.array([0.4, 0.5, 0.06, 0.05]), RATES) == [1]
    assert select_by_lift(np.array([0.4, 0.5, 0.2, 0.05]), RATES) == [1, 2]


def test_a_track_like_all_others_has_its_best_mood():
    assert select_by_lift(RATES * [1.0, 1.1, 1.0, 0.9], RATES) == [1]
    assert len(select_by_lift(RATES * 0.5, RATES)) == 1


def test_no_track_has_more_than_six_moods():
    assert select_by_lift(np.linspace(0.9, 0.6, 10), np.full(10, 0.1)) == [0, 1, 2, 3, 4, 5]


def test_what_is_no_music_has_no_mood():
    found = np.array([0.4, 0.5, 0.06, 0.05])
    assert select_by_lift(found, RATES, music=0.2) == [] and select_by_lift(found, RATES, music=0.9) == [1]
    assert select_by_lift(np.zeros(0), np.zeros(0)) == []


def test_probabilities_of_zero_and_one_are_numbers_too():
    with np.errstate(all="raise"):
        assert select_by_lift(np.array([0.0, 1.0]), np.array([0.5, 1e-6])) == [1]


def test_thresholds_select_none_or_many():
    assert select_by_threshold(np.array([0.2, 0.9, 0.5]), np.array([0.1, 0.8, 0.5])) == [1, 0]
    assert select_by_threshold(np.array([0.2]), np.array([0.2])) == []


@pytest.mark.parametrize(
    ("moods", "quadrant", "between", "rest", "said"),
    [
        (["dark"], "Q2", None, {"key": Key("F", "major", 0.8), "tempo": 70.0}, "Dark and tense, F major, slow"),
        (["melancholic", "sad"], "Q3", None, {"tempo": 100.0}, "Melancholic and sad, medium tempo"),
        (["film", "dream", "calm", "soft"], "Q4", None, {"key": Key("A", "minor", 0.3)}, "Dreamy and calm"),
        (["happy", "energetic"], "Q1", None, {"tempo": 150.0}, "Happy and energetic, fast"),
        (["fast", "heavy"], "Q2", None, {"tempo": 150.0}, "Fast and heavy"),  # a mood says it already
        ([], "Q1", None, {}, "Happy"),
        (["energetic", "happy"], "Q3", None, {}, "Sad"),  # what contradicts the quadrant is not said
        (["soft"], "Q3", ["Q3", "Q4"], {"key": Key("C", "minor", 0.9)}, "Soft, between sad and calm, C minor"),
        (["energetic"], "Q3", ["Q3", "Q4"], {}, "Between sad and calm"),
        (["a word of one's own"], "Q4", None, {}, "Calm"),
        (["sad", "melancholic"], "Q1", ["Q1", "Q2"], {"central": True}, "Sad and melancholic"),  # quadrants tell little
        ([], "Q1", ["Q1", "Q2"], {"central": True}, "Between happy and tense"),
    ],
)
def test_a_track_in_a_sentence(moods, quadrant, between, rest, said):
    assert summary(moods, quadrant, between, **rest) == said
