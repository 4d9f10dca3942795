"""NAME=VALUE on a command line."""

import pytest

from m2e.datasets.options import name_and_value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs=3", ("epochs", 3)),
        ("va_range=[0, 1]", ("va_range", [0, 1])),
        ("labels=published", ("labels", "published")),
        ("file=a=b.csv", ("file", "a=b.csv")),
        ("name=", ("name", "")),
    ],
)
def test_a_value_is_json_or_text(text, expected):
    assert name_and_value(text) == expected


@pytest.mark.parametrize("text", ["", "epochs", "=3"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="is not NAME=VALUE"):
        name_and_value(text)
