"""The fitted numbers of a configuration: read back, and refused where they are absurd."""

import numpy as np
import pytest

from m2e.errors import ModelError
from modeling_m2e.answers_m2e import Answers
from modeling_m2e.configuration_m2e import M2EConfig

LINE = {"source": [1.0, 5.1, 9.0], "target": [1.0, 5.0, 9.0]}
WIDTH = {"constant": 0.0, "spread": 0.5, "seconds": -0.5, "below": 1.0, "above": 2.0}
FULL = {
    "mood_base_rates": [0.1, 0.2],
    "quadrant_temperature": 1.5,
    "calibration": {"valence": LINE, "arousal": {"source": [1, 4, 9], "target": [1, 5, 9]}},
    "intervals": {"level": 0.8, "valence": WIDTH, "arousal": WIDTH},
    "percentiles": {"reference": "made tracks", "valence": [2, 4, 9], "arousal": [1, 5, 5]},
}


def test_answers_read_back():
    answers = Answers.read(FULL, 2)
    assert Answers.read(answers.to_dict(), 2) == answers and answers.mood_base_rates == (0.1, 0.2)
    assert Answers.read(None, 2) == Answers() == Answers.read(Answers().to_dict(), 7)


def test_a_config_keeps_its_answers(tmp_path):
    M2EConfig.default(["calm", "dark"], answers=FULL).save_pretrained(tmp_path)
    assert Answers.read(M2EConfig.from_pretrained(tmp_path).answers, 2) == Answers.read(FULL, 2)


def test_the_calibration_maps_each_dimension():
    found = Answers.read(FULL, 2).calibrated(np.array([[5.1, 4.0], [1.0, 9.0], [0.0, 6.5]]))
    np.testing.assert_allclose(found, [[5.0, 5.0], [1.0, 9.0], [1.0, 7.0]])
    same = np.array([[5.1, 4.0]])
    assert Answers().calibrated(same) is same


def test_intervals_are_wide_where_little_is_certain():
    width = Answers.read(FULL, 2).intervals.valence
    assert width.around(5.0, 0.95, 30.0) == pytest.approx((4.0, 7.0)) == width.around(5.0, 0.95, 999.0)
    assert width.around(5.0, 0.95, 7.5) == pytest.approx((3.0, 9.0))  # a quarter: twice as wide
    assert width.around(5.0, 3.95, 30.0) == pytest.approx((3.0, 9.0))
    intervals = Answers.read(FULL, 2).intervals
    assert intervals.certainty(7.5) == pytest.approx(0.5) and intervals.certainty(0.0) == pytest.approx(0.1)


def test_percentiles_count_the_tracks_below():
    percentiles = Answers.read(FULL, 2).percentiles
    assert [percentiles.of("valence", value) for value in (1.0, 3.0, 4.0, 9.5)] == [0.0, 25.0, 50.0, 100.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ([], "is no object"),
        ({"moods": 1}, "unknown part 'moods'"),
        ({"mood_base_rates": [0.1]}, "1 numbers for 2 moods"),
        ({"mood_base_rates": [0.1, 0.0]}, "give a number from 1e-06 to 1"),
        ({"mood_base_rates": [0.1, float("nan")]}, "give a number"),
        ({"mood_base_rates": "ab"}, "not a list"),
        ({"quadrant_temperature": 0}, "give a number from 0.01 to 100"),
        ({"quadrant_temperature": True}, "give a number"),
        ({"calibration": {"valence": LINE}}, "lacks arousal"),
        ({"calibration": {"valence": LINE, "arousal": {"source": [1, 2, 3], "target": [1, 2]}}}, "is no map"),
        ({"calibration": {"valence": LINE, "arousal": {"source": [2, 2], "target": [1, 2]}}}, "is no map"),
        ({"calibration": {"valence": LINE, "arousal": {"source": [1, 2], "target": [2, 1]}}}, "do not decrease"),
        ({"calibration": {"valence": LINE, "arousal": {"source": list(range(2000)), "target": [1]}}}, "give a number"),
        ({"calibration": {"valence": LINE, "arousal": {"source": [0] * 1002, "target": [1]}}}, "needs 2 to 1001"),
        ({"calibration": {"valence": LINE, "arousal": {"source": [1, 2]}}}, "lacks target"),
        ({"intervals": {"level": 0.8, "valence": WIDTH}}, "lacks arousal"),
        ({"intervals": {"level": 1.0, "valence": WIDTH, "arousal": WIDTH}}, "level is 1.0"),
        ({"intervals": {"level": 0.8, "valence": WIDTH, "arousal": WIDTH | {"seconds": 0.1}}}, "seconds is 0.1"),
        ({"intervals": {"level": 0.8, "valence": WIDTH, "arousal": WIDTH | {"constant": 1e9}}}, "constant is 1"),
        ({"percentiles": {"reference": "a\nb", "valence": [1, 2], "arousal": [1, 2]}}, "is no name"),
        ({"percentiles": {"reference": 7, "valence": [1, 2], "arousal": [1, 2]}}, "is no name"),
        ({"percentiles": {"reference": "a", "valence": [2, 1], "arousal": [1, 2]}}, "do not decrease"),
    ],
)
def test_absurd_answers_are_refused(change, said):
    with pytest.raises(ModelError, match=said):
        M2EConfig.default(["calm", "dark"], answers={**FULL, **change} if isinstance(change, dict) else change)
