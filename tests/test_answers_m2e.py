"""The fitted numbers of a configuration: read back, and refused where they are absurd."""

import numpy as np
import pytest

from m2e.errors import ModelError
from modeling_m2e.answers_m2e import Answers
from modeling_m2e.configuration_m2e import M2EConfig

LINE = {"source": [1.0, 5.1, 9.0], "target": [1.0, 5.0, 9.0]}
FULL = {
    "mood_base_rates": [0.1, 0.2],
    "quadrant_temperature": 1.5,
    "calibration": {"valence": LINE, "arousal": {"source": [1, 4, 9], "target": [1, 5, 9]}},
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
        ({"calibration": {"valence": LINE, "arousal": {"source": [1, 2], "target": [1]}}}, "as many targets"),
        ({"calibration": {"valence": LINE, "arousal": {"source": [2, 1], "target": [1, 2]}}}, "does not increase"),
        ({"calibration": {"valence": LINE, "arousal": {"source": [1, 2], "target": [2, 1]}}}, "does not increase"),
        ({"calibration": {"valence": LINE, "arousal": {"source": list(range(2000)), "target": [1]}}}, "give a number"),
    ],
)
def test_absurd_answers_are_refused(change, said):
    with pytest.raises(ModelError, match=said):
        M2EConfig.default(["calm", "dark"], answers={**FULL, **change} if isinstance(change, dict) else change)
