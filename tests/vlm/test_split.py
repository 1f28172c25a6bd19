"""Blocks are split into rows of the decoder."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.vlm.rows import split_blocks


@pytest.mark.parametrize("limit", [1, 10, 40, 1000])
def test_blocks_are_split_into_rows_within_the_limit(limit: int) -> None:
    lengths = list(np.random.default_rng(limit).integers(1, 12, 50))
    rows = split_blocks(lengths, limit)
    assert sorted(i for row in rows for i in row) == list(range(50))
    for row in rows:
        assert len(row) == 1 or sum(lengths[i] for i in row) <= limit
