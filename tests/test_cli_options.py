"""Options that several commands share mean the same in all of them."""

import pytest

from m2e.cli.options import data_options
from m2e.errors import UsageError


def test_values_are_json_where_they_can_be():
    given = ["labels=published", "per_quadrant=60", "check=off", 'moods=["a", "b"]', "path=a=b"]
    assert data_options(given) == {
        "labels": "published",
        "per_quadrant": 60,
        "check": "off",
        "moods": ["a", "b"],
        "path": "a=b",
    }
    assert data_options(None) == data_options([]) == {}


@pytest.mark.parametrize("text", ["labels", "=3", ""])
def test_no_option(text):
    with pytest.raises(UsageError, match=f"--option {text} cannot be read: give NAME=VALUE."):
        data_options([text])
