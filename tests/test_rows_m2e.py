"""rows_m2e: a table that grows, in a few large arrays."""

import numpy as np
import pytest

from modeling_m2e.rows_m2e import Rows


@pytest.mark.parametrize("pieces", [(3,), (4, 4), (1, 9, 2), (0, 5)])
def test_rows_are_those_that_came_in_their_order(pieces):
    table = np.arange(3 * sum(pieces), dtype=np.float32).reshape(-1, 3)
    rows = Rows(rows=4)
    for piece in np.split(table, np.cumsum(pieces)[:-1]):
        rows.append(piece)
    assert len(rows) == len(table)
    blocks = list(rows.blocks())
    assert all(len(block) == 4 for block in blocks[:-1]) and 1 <= len(blocks[-1]) <= 4
    np.testing.assert_array_equal(np.concatenate(blocks), table)
    np.testing.assert_array_equal(rows.joined(), table)


def test_rows_are_copied_into_the_type():
    piece = np.ones((2, 2), np.float32)
    rows = Rows(np.float16)
    rows.append(piece)
    piece[:] = 0
    (block,) = rows.blocks()
    assert block.dtype == np.float16 and (block == 1).all()
