"""benchmarks/paper_hours.py: planned and measured hours of every model of the paper's tables."""

import sys
from dataclasses import replace

import tiny

from m2e.evaluation import paper_tables
from m2e.training.recipe import read_recipe

sys.path.insert(0, str(tiny.ROOT / "benchmarks"))
import paper_hours  # noqa: E402


def test_the_hours_of_every_model_stand_beside_the_plan():
    tiny = {name: replace(size, tracks=(6, 3, 3)) for name, size in paper_hours.SIZES.items()}
    planted = {name: paper_hours.plant(name, size) for name, size in tiny.items()}
    rows = [*paper_tables.SINGLE, paper_tables.STUDENT]
    pmemo = rows[3:4]
    ((row, seconds),) = paper_hours.measured(pmemo, planted, 1)
    assert row == pmemo[0] and seconds > 0

    recipe = read_recipe(paper_hours.RECIPE)
    text = paper_hours.table([(row, 36.0) for row in rows], recipe, planted, "About.")
    hours = 36 * recipe.training.epochs / 3600
    assert text.count(f"| {hours:.2f} |") == len(rows)
    assert f"| {len(rows) * hours:.1f} |" in text.splitlines()[-1]
