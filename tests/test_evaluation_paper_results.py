"""Published numbers are copied right, and can be compared."""

import re

import pytest

from m2e.evaluation.paper_results import PUBLISHED
from m2e.evaluation.score import SCORE_NAMES


@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_are_comparable(name):
    published = PUBLISHED[name]
    assert set(published.scores) <= set(SCORE_NAMES) and len(published.results) > 3
    systems = [result.system for result in published.results]
    assert len(set(systems)) == len(systems)
    for result in published.results:
        assert tuple(result.scores) == published.scores and all(0 <= score < 1 for score in result.scores.values())


def test_data_sets_are_those_that_can_be_read():
    from m2e.datasets.registry import READERS

    assert set(PUBLISHED) <= set(READERS)


def test_every_number_stands_in_the_notes(shared):
    """The pairs of numbers in the method's tables: every row here is one of them, and none is missing."""
    text = (shared / "docs" / "method.md").read_text()
    text = text[text.index("## 5.") : text.index("## 6.")].replace("\n", " ")
    there = {tuple(map(float, pair)) for pair in re.findall(r"(\.\d+) ?/ ?(\.\d+)", text)}
    here = {tuple(result.scores.values()) for test in PUBLISHED.values() for result in test.results}
    assert here == there


def test_systems_score_as_in_table_iv(shared):
    """From the predictions of three of its rows."""
    from benchmarks.mediaeval import measure

    measured = measure(shared / "data" / "annotations" / "mtg_jamendo" / "mediaeval", resamples=20)
    rows = {result.system: result.scores for result in PUBLISHED["mtg-jamendo"].results}
    assert len(measured) == 3
    for system, evaluation in measured.items():
        assert evaluation["tracks"] == PUBLISHED["mtg-jamendo"].tracks and evaluation["scores"]["mood_tags"] == 56
        for name, published in rows[system].items():
            score, (low, high) = evaluation["scores"][name], evaluation["intervals"][name]
            assert score == pytest.approx(published, abs=1e-4) and low <= score + 1e-9 and score - 1e-9 <= high
