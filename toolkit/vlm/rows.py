"""Rows of the decoder: a prefix and, behind it, blocks that do not see each other; and batches of rows as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.vlm.request import Block, Picture
from toolkit.vlm.view import View


@dataclass(frozen=True)
class Row:
    """One decoder row: the prefix of one picture and some of its blocks.

    Attributes:
        view: The sample.
        features: Shape (n_tokens, dim): the picture's image tokens.
        blocks: Each block, the prompt indices that it keeps, and where its first value goes.
    """

    view: View
    features: Tensor
    blocks: Sequence[tuple[Block, NDArray[np.int64], int]]

    @property
    def length(self) -> int:
        """Tokens of the row."""
        return self.view.prompt.prefix_length + sum(len(index) + len(b.context) for b, index, _ in self.blocks)


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


def rows_of(picture: Picture, features: Tensor, limit: int | None) -> Iterator[Row]:
    """Rows of one picture: all its blocks behind one prefix, split where they grow too long.

    Args:
        picture: The picture.
        features: Its image tokens.
        limit: Block tokens per row; None allows about as many as the prefix has, and at least 256: beyond, attention
            within the row costs more than another prefix.
    """
    view = picture.request.view
    entries = [(block, view.block(block.kept), at) for block, at in picture.blocks]
    lengths = [len(index) + len(block.context) for block, index, _ in entries]
    for members in split_blocks(lengths, max(256, view.prompt.prefix_length) if limit is None else limit):
        yield Row(view, features, [entries[i] for i in members])


class RowBatch:
    """A batch of rows as padded integer arrays.

    Args:
        rows: The rows, which must be of one model.
        multiple: Round the length up to a multiple of this, which fused attention kernels on a GPU want.

    Attributes:
        ids: (B, L) tokens.
        blocks: (B, L) block numbers, 0 for the prefix and -1 for padding.
        positions: (1 or 3, B, L).
        read: (B, n_read) columns of the hidden states that are read, padded with column 0.
        states: (2, n_states) row and index into its ``read`` of every hidden state that is read.
        said: (2, n_said) index into ``states`` and token, for every answer token.
        value: (n_said,) the value that each answer token belongs to.
    """

    def __init__(self, rows: Sequence[Row], *, multiple: int) -> None:
        shape = (len(rows), -(-max(row.length for row in rows) // multiple) * multiple)
        self.ids = np.zeros(shape, dtype=np.int64)
        self.blocks = np.full(shape, -1)
        self.positions = np.zeros((len(rows[0].view.positions), *shape), dtype=np.int64)
        columns: list[list[int]] = [[] for _ in rows]
        states: list[tuple[int, int]] = []
        said: list[tuple[int, int]] = []
        value: list[int] = []
        for r, row in enumerate(rows):
            at = self._lay(r, row)
            for (block, _, first), end in zip(row.blocks, at, strict=True):
                for i, token in enumerate((*block.context, None)):
                    states.append((r, len(columns[r])))
                    columns[r].append(end - len(block.context) - 1 + i)
                    for k, final in enumerate(block.finals):
                        said.append((len(states) - 1, final if token is None else token))
                        value.append(first + k)
        self.read = np.zeros((len(rows), max(map(len, columns))), dtype=np.int64)
        for r, some in enumerate(columns):
            self.read[r, : len(some)] = some
        self.states, self.said, self.value = np.array(states).T, np.array(said).T, np.array(value)

    def _lay(self, r: int, row: Row) -> list[int]:
        """Write one row's tokens, blocks and positions; returns where each block ends."""
        prompt, view = row.view.prompt, row.view
        ids, positions = [*prompt.ids], [view.positions]
        order = [np.arange(prompt.prefix_length)]
        for block, index, _ in row.blocks:
            context = len(block.context)
            order.append(np.concatenate((index, len(ids) + np.arange(context))) if context else index)
            ids += block.context
            if context:
                positions.append(np.tile(view.next_position + np.arange(context), (len(view.positions), 1)))
        lengths = [len(part) for part in order]
        everything = np.concatenate(order)
        end = len(everything)
        self.ids[r, :end] = np.array(ids)[everything]
        self.positions[:, r, :end] = np.concatenate(positions, axis=1)[:, everything]
        self.blocks[r, :end] = np.repeat(np.arange(len(order)), lengths)
        return [int(at) for at in np.cumsum(lengths)[1:]]
