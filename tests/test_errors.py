"""What an error says, in one line."""

import pytest

from m2e.errors import first_line, reason


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("It broke.\nHere is why."), "It broke."),
        (ValueError("\n  It broke.  "), "It broke."),
        (ValueError(), "ValueError"),
        (KeyboardInterrupt(" \n"), "KeyboardInterrupt"),
    ],
)
def test_the_first_line_of_an_error_or_its_type(error, line):
    assert first_line(error) == line
    assert reason(error) == line.rstrip(".")
