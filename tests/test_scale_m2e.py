import pytest

from modeling_m2e.scale_m2e import between, quadrant_words


def scores(*numbers: float) -> dict[str, float]:
    return dict(zip(("Q1", "Q2", "Q3", "Q4"), numbers, strict=True))


@pytest.mark.parametrize(
    ("found", "place", "expected"),
    [
        (scores(0.1, 0.1, 0.6, 0.2), "Q3", None),
        (scores(0.1, 0.1, 0.6, 0.2), "Q4", ["Q3", "Q4"]),  # head and place disagree
        (scores(0.6, 0.1, 0.1, 0.2), "Q3", ["Q1", "Q3"]),
        (scores(0.1, 0.44, 0.06, 0.4), "Q2", ["Q2", "Q4"]),  # almost as likely
        (scores(0.25, 0.25, 0.25, 0.25), "Q1", ["Q1", "Q2"]),
    ],
)
def test_a_track_lies_between_quadrants_where_one_alone_would_not_be_true(found, place, expected):
    assert between(found, place) == expected


def test_quadrants_in_words():
    assert quadrant_words("Q2") == "Q2 tense, angry"
    assert quadrant_words("Q2", short=True) == "Q2 tense"
    assert quadrant_words("Q3", ["Q3", "Q4"]) == "between Q3 sad and Q4 calm"
    assert quadrant_words("Q3", ["Q3", "Q4"], short=True) == "Q3-Q4"
