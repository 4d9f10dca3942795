"""The rows of the paper's tables, its scores beside ours, and its claims."""

import numpy as np
import pytest

from m2e.evaluation import paper_tables as tables
from m2e.evaluation.paired import Sampled


def test_every_model_is_trained_once_and_teachers_come_first():
    rows = tables.rows_of(tables.TABLES)
    names = [row.name for row in rows]
    assert len(names) == len(set(names)) == 17 and names[:4] == ["J", "D", "E", "P"]
    assert names[-1] == tables.UNDISTILLED and tables.ALL in names
    assert [row.name for row in tables.rows_of(["III"])] == ["J", "D", "E", "P", "J+D", "J+E", "J+P", "J+D+E+P"]
    assert tables.rows_of(["I"]) == []
    settings = {row.name: row.settings for row in rows}
    assert settings["D mert"] == {"datasets": ["deam"], "model.use_harmony": False, "objective.distillation": None}
    assert settings["J+E"] == {"datasets": ["mtg-jamendo", "emomusic"]}


def test_every_row_has_the_papers_scores():
    for row in tables.rows_of(["II", "III"]):
        for dataset in row.datasets:
            assert len(tables.published(row.name, dataset)) == 2, row.name
    assert tables.published("J+D+E+P", "deam") == {"r2_valence": 0.5184, "r2_arousal": 0.6228}
    assert tables.published(tables.UNDISTILLED, "deam") == {}


def test_the_paper_fulfils_its_own_claims():
    """The claims are read in the right direction: all of the paper's own differences are above 0."""
    for name in ("II", "III"):
        for claim in tables.claims_of(name):
            worse, better = (tables.published(each, claim.dataset) for each in (claim.worse, claim.better))
            assert all(better[score] >= worse[score] for score in worse), claim


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)

    def one(value):
        return [Sampled(value, value + rng.normal(0, 0.01, 200))]

    high, low = one(0.6), one(0.5)
    return {
        "D": {"deam": {"r2_valence": high, "r2_arousal": low}},
        "D mert": {"deam": {"r2_valence": low, "r2_arousal": low}},
    }


def test_a_table_with_what_there_is(scores):
    made = tables.table("II", scores)
    assert len(made["rows"]) == 4 and made["rows"][0]["paper"] == 0.5131
    assert made["rows"][0]["difference"] == pytest.approx(0.6 - 0.5131)
    assert [each["verdict"] for each in made["claims"]] == ["holds", "not decided"]
    text = tables.markdown("Table II", made)
    assert "| D | DEAM | R2 V | 0.5131 | 0.6000 | +0.0869 |" in text and "| D > D mert | DEAM |" in text
    assert tables.number(None) == tables.number(float("nan")) == "-" == tables.bounds([float("nan")] * 2)
