"""How the blocks behind one prefix are split into rows of the decoder."""

from __future__ import annotations

from collections.abc import Sequence


def split_blocks(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Split the blocks behind one prefix into rows of at most ``limit`` block tokens, as even as possible.

    Args:
        lengths: Tokens of each block.
        limit: Block tokens per row; a longer block gets a row of its own.

    Returns:
        Indices of the blocks of each row; every block once, longest first.
    """
    n_rows = max(1, -(-sum(lengths) // max(1, limit)))
    rows: list[list[int]] = [[] for _ in range(n_rows)]
    filled = [0] * n_rows
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = filled.index(min(filled))
        if filled[row] and filled[row] + lengths[i] > limit:
            rows.append([])
            filled.append(0)
            row = len(rows) - 1
        rows[row].append(i)
        filled[row] += lengths[i]
    return [row for row in rows if row]
