"""Rows of the decoder: a prefix and, behind it, a tree of question variants; and batches of rows as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.vlm.engine.request import MaskedPrefix, Query
from toolkit.vlm.view import View

_ANSWER = 1 << 40
"""Steps of a path are indices of prompt tokens; the k-th answer token is k * _ANSWER + its id."""

_BATCH = 256
"""What a batch costs besides its tokens, in tokens: some hundred calls of PyTorch."""


@dataclass(frozen=True)
class Tree:
    """Paths that share their beginnings, in preorder: every step stands behind all steps before it on its paths.

    Attributes:
        steps: Shape (n_nodes,): what each node stands for.
        ends: Shape (n_nodes,): the first node after each node's subtree, so that i descends from j iff j < i < end_j.
        tails: For each path the nodes of its last steps, as many as were asked for.
    """

    steps: NDArray[np.int64]
    ends: NDArray[np.int64]
    tails: Sequence[Sequence[int]]


def shared_steps(one: Sequence[int], other: Sequence[int]) -> int:
    """How many steps two paths have in common at their beginnings."""
    n = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        n += 1
    return n


def tree_of(paths: Sequence[Sequence[int]], tails: Sequence[int], *, is_shared: bool = True) -> Tree:
    """The tree of some paths.

    Args:
        paths: Paths in lexicographic order, in which those that begin alike stand together.
        tails: How many of each path's last steps are asked for.
        is_shared: False gives every path nodes of its own.
    """
    steps: list[int] = []
    ends: list[int] = []
    found: list[Sequence[int]] = []
    stack: list[int] = []
    before: Sequence[int] = ()
    for path, tail in zip(paths, tails, strict=True):
        n_shared = shared_steps(before, path) if is_shared else 0
        for node in stack[n_shared:]:
            ends[node] = len(steps)
        fresh = range(len(steps), len(steps) + len(path) - n_shared)
        stack[n_shared:] = fresh
        steps += path[n_shared:]
        ends += [0] * len(fresh)
        found.append(stack[-tail:])
        before = path
    for node in stack:
        ends[node] = len(steps)
    return Tree(np.array(steps, dtype=np.int64), np.array(ends, dtype=np.int64), found)


def split_paths(paths: Sequence[Sequence[int]], limit: int, *, is_shared: bool = True) -> list[range]:
    """Split paths in lexicographic order into runs whose trees have at most ``limit`` nodes, as even as possible.

    A longer path gets a run of its own.
    """
    fresh = [len(path) for path in paths]
    if is_shared:
        fresh = [n - shared_steps(before, path) for n, before, path in zip(fresh, [(), *paths], paths, strict=False)]
    n_runs = max(1, -(-sum(fresh) // limit))
    enough = -(-sum(fresh) // n_runs)
    runs: list[range] = []
    start = held = 0
    for i, path in enumerate(paths):
        if i > start and fresh[i] and (held >= enough or held + fresh[i] > limit):
            runs.append(range(start, i))
            start, held = i, 0
        held += fresh[i] if i > start else len(path)
    return [*runs, range(start, len(paths))]


def split_rows(lengths: Sequence[int], limit: int, width: int) -> list[range]:
    """Split rows into the batches that take least time; a batch computes all its rows at the length of its first.

    A row of L tokens takes as long as L (1 + L / (3 width)) tokens, attention behind the plus, and a batch as long as
    ``_BATCH`` tokens besides.

    Args:
        lengths: Tokens of each row, the longest first.
        limit: Tokens of a batch, padding counted; a longer row gets a batch of its own.
        width: The decoder's.
    """
    n = len(lengths)
    cost = np.array(lengths) * (1 + np.array(lengths) / (3 * width))
    least, first = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=np.int64)
    least[0] = 0.0
    for row, length in enumerate(lengths):
        some = np.arange(1, max(1, min(n - row, limit // length)) + 1)
        total = least[row] + _BATCH + some * cost[row]
        better = total < least[row + some]
        least[row + some[better]], first[row + some[better]] = total[better], row
    batches: list[range] = []
    while n:
        batches.append(range(int(first[n]), n))
        n = int(first[n])
    return batches[::-1]


@dataclass(frozen=True)
class Row:
    """One decoder row: the prefix of one picture and some of its queries.

    Attributes:
        view: The sample.
        features: Shape (n_tokens, dim): the picture's image tokens.
        tree: What stands behind the prefix.
        queries: Each query, in the order of the tree's paths, and where its first value goes.
    """

    view: View
    features: Tensor
    tree: Tree
    queries: Sequence[tuple[Query, int]]

    @property
    def length(self) -> int:
        """Tokens of the row."""
        return self.view.prompt.prefix_length + len(self.tree.steps)


def rows_of(prefix: MaskedPrefix, features: Tensor, limit: int | None, *, is_shared: bool = True) -> Iterator[Row]:
    """Rows of one prefix: all its queries behind it, split where they grow too long.

    Args:
        prefix: The masked images and their queries.
        features: Their image tokens.
        limit: Query tokens per row; None allows about as many as the prefix has, and at least 256: beyond, attention
            within the row costs more than another prefix.
        is_shared: Whether queries that begin with the same words share them.
    """
    view = prefix.request.view
    entries = sorted(((_path(view, query), query, at) for query, at in prefix.queries), key=lambda entry: entry[0])
    paths = [path for path, _, _ in entries]
    limit = max(256, view.prompt.prefix_length) if limit is None else limit
    for run in split_paths(paths, limit, is_shared=is_shared):
        queries = [entries[i][1:] for i in run]
        tails = [1 + len(query.context) for query, _ in queries]
        yield Row(view, features, tree_of([paths[i] for i in run], tails, is_shared=is_shared), queries)


def _path(view: View, query: Query) -> list[int]:
    """The query's tokens, one after the other."""
    return [
        *view.query_indices(query.kept).tolist(),
        *(k * _ANSWER + token for k, token in enumerate(query.context, 1)),
    ]


class RowBatch:
    """A batch of rows as padded integer arrays.

    Args:
        rows: The rows, which must be of one model.
        multiple: Round the length up to a multiple of this, which fused attention kernels on a GPU want.

    Attributes:
        ids: (B, L) tokens.
        ends: (B, L) the first column that does not descend from a column; all columns of the row descend from the
            prefix, and from padding only itself.
        positions: (1 or 3, B, L).
        index: (B, L) of each token in the whole sequence of its prompt and its answer, which a sliding window counts.
        read: (B, n_read) columns of the hidden states that are read, padded with column 0.
        states: (2, n_states) row and index into its ``read`` of every hidden state that is read.
        answers: (2, n_answers) index into ``states`` and token, for every answer token.
        value: (n_answers,) the value that each answer token belongs to.
    """

    def __init__(self, rows: Sequence[Row], *, multiple: int) -> None:
        self._lay(rows, -(-max(row.length for row in rows) // multiple) * multiple)
        columns: list[list[int]] = []
        states: list[tuple[int, int]] = []
        answers: list[tuple[int, int]] = []
        value: list[int] = []
        for r, row in enumerate(rows):
            state_of: dict[int, int] = {}
            for (query, first), tail in zip(row.queries, row.tree.tails, strict=True):
                for step, (node, token) in enumerate(zip(tail, (*query.context, None), strict=True)):
                    if node not in state_of:
                        states.append((r, len(state_of)))
                        state_of[node] = len(states) - 1
                    for k, final in enumerate(query.finals):
                        answers.append((state_of[node], final if token is None else token))
                        value.append(first + (step if query.by_token else k))
            columns.append([row.view.prompt.prefix_length + node for node in state_of])
        self.read = np.zeros((len(rows), max(map(len, columns))), dtype=np.int64)
        for r, some in enumerate(columns):
            self.read[r, : len(some)] = some
        self.states, self.answers, self.value = np.array(states).T, np.array(answers).T, np.array(value)

    def _lay(self, rows: Sequence[Row], length: int) -> None:
        """Write the tokens, the trees and the positions of all rows."""
        prompts, places, following, which = _tables([row.view for row in rows])
        lengths = np.array([len(row.view.prompt.ids) for row in rows])[:, None]
        starts = np.array([row.view.prompt.prefix_length for row in rows])[:, None]
        ends = np.array([row.length for row in rows])[:, None]
        columns = np.arange(length)
        is_prefix, is_tree = columns < starts, (columns >= starts) & (columns < ends)
        steps = np.where(is_prefix, columns, 0)
        steps[is_tree] = np.concatenate([row.tree.steps for row in rows])
        answer, token = np.divmod(steps, _ANSWER)
        asked = np.where(answer > 0, 0, token)
        self.ids = np.where(answer > 0, token, prompts[which, asked])
        self.positions = np.where(answer > 0, following[which] + answer - 1, places[:, which, asked])
        self.index = np.where(answer > 0, lengths + answer - 1, token)
        self.ends = np.where(is_prefix, ends, columns + 1)
        self.ends[is_tree] = np.concatenate([row.tree.ends for row in rows]) + np.repeat(starts, (ends - starts)[:, 0])


def _tables(views: Sequence[View]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of the distinct views: tokens (n, longest), positions (axes, n, longest), the next position; and which is whose.

    The last has shape (n_views, 1): the line of each view, so that it indexes with columns.
    """
    distinct = {id(view): view for view in views}
    lines = {key: i for i, key in enumerate(distinct)}
    longest = max(len(view.prompt.ids) for view in distinct.values())
    prompts = np.zeros((len(distinct), longest), dtype=np.int64)
    places = np.zeros((len(views[0].positions), len(distinct), longest), dtype=np.int64)
    for i, view in enumerate(distinct.values()):
        prompts[i, : len(view.prompt.ids)] = view.prompt.ids
        places[:, i, : len(view.prompt.ids)] = view.positions
    following = np.array([view.next_position for view in distinct.values()])
    return prompts, places, following, np.array([lines[id(view)] for view in views])[:, None]
