"""Question variants share their beginnings in a tree, and long ones are split into rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.subjects import RANDOM_TINY, make_subject, sample

from toolkit.vlm.engine.request import masked_prefixes
from toolkit.vlm.engine.row_packing import RowBatch, rows_of, split_paths, split_rows, tree_of
from toolkit.vlm.reference import plain_values
from toolkit.vlm.sample_game import score_games

_PATHS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=12).map(sorted)


def walked(tree, node: int) -> list[int]:
    """The steps from the root to a node, by what ``ends`` says about descent."""
    return [int(tree.steps[i]) for i in range(node + 1) if i == node or i < node < tree.ends[i]]


@given(_PATHS)
def test_a_tree_spells_its_paths_with_as_few_nodes_as_there_are_beginnings(paths: list[list[int]]) -> None:
    tree = tree_of(paths, [1] * len(paths))
    assert [walked(tree, tail[-1]) for tail in tree.tails] == paths
    assert len(tree.steps) == len({tuple(path[:n]) for path in paths for n in range(1, len(path) + 1)})
    alone = tree_of(paths, [1] * len(paths), is_shared=False)
    assert [walked(alone, tail[-1]) for tail in alone.tails] == paths
    assert len(alone.steps) == sum(map(len, paths))


@given(_PATHS)
def test_tails_are_the_last_steps(paths: list[list[int]]) -> None:
    tree = tree_of(paths, [len(path) for path in paths])
    assert [[int(tree.steps[node]) for node in tail] for tail in tree.tails] == paths


def test_a_tree_by_hand() -> None:
    tree = tree_of([[0, 1, 2], [0, 1, 2, 5], [0, 3], [4]], [1, 2, 1, 1])
    assert tree.steps.tolist() == [0, 1, 2, 5, 3, 4]
    assert tree.ends.tolist() == [5, 4, 4, 4, 5, 6]
    assert [[*tail] for tail in tree.tails] == [[2], [2, 3], [4], [5]]


@given(_PATHS, st.integers(1, 40), st.booleans())
def test_rows_keep_to_the_limit_and_every_path_is_in_one(paths: list[list[int]], limit: int, is_shared: bool) -> None:
    runs = split_paths(paths, limit, is_shared=is_shared)
    assert [i for run in runs for i in run] == [*range(len(paths))]
    for run in runs:
        size = len(tree_of([paths[i] for i in run], [1] * len(run), is_shared=is_shared).steps)
        assert size <= limit or len({tuple(paths[i]) for i in run}) == 1
    if limit >= sum(map(len, paths)):
        assert len(runs) == 1


def test_rows_are_even() -> None:
    paths = [[i] for i in range(100)]
    assert [len(run) for run in split_paths(paths, 30)] == [25, 25, 25, 25]


def splits(n: int) -> list[list[range]]:
    """All ways to split n rows into batches of neighbours."""
    if n == 0:
        return [[]]
    return [[*before, range(start, n)] for start in range(n) for before in splits(start)]


@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=7).map(lambda lengths: sorted(lengths, reverse=True)),
    st.integers(1, 2000),
    st.sampled_from([16, 128, 4096]),
)
def test_no_other_batches_within_the_limit_take_less_time(lengths: list[int], limit: int, width: int) -> None:
    def fits(batch: range) -> bool:
        return len(batch) == 1 or len(batch) * lengths[batch.start] <= limit

    def cost(batches: list[range]) -> float:
        rows = [(len(some), lengths[some.start]) for some in batches]
        return sum(256 + n * length * (1 + length / (3 * width)) for n, length in rows)

    found = split_rows(lengths, limit, width)
    allowed = [batches for batches in splits(len(lengths)) if all(map(fits, batches))]
    assert found in allowed
    assert cost(found) == pytest.approx(min(map(cost, allowed)))


def test_a_long_row_is_not_what_the_others_are_padded_to() -> None:
    assert split_rows([220, 219, *[60] * 18], 3072, 128) == [range(2), range(2, 20)]
    assert split_rows([64] * 20, 3072, 128) == [range(20)]


@pytest.mark.parametrize("name", RANDOM_TINY)
def test_words_that_variants_begin_with_are_run_once(name: str) -> None:
    vlm = make_subject(name)
    game = vlm.game(sample(1, question="what is the blue square ? is there a red circle ?"), target="yes")
    n = game.players.n_text
    chosen = np.ones((n + 1, game.players.n), dtype=bool)
    chosen[np.arange(n), game.players.n_image + np.arange(n)] = False
    request, _ = game.request(chosen)
    (picture,) = masked_prefixes(request, 0)
    (tokens,) = vlm.engine.encode([picture])
    (shared,) = rows_of(picture, tokens, None)
    (whole,) = rows_of(picture, tokens, None, is_shared=False)
    start, asked = game.view.prompt.prefix_length, len(game.view.prompt.ids) - game.view.prompt.prefix_length
    assert whole.length - start == asked + n * (asked - 1)
    assert shared.length - start == asked + sum(asked - 1 - i for i in range(n))  # each branches off where its word was
    for is_shared in (True, False):
        lengths = [row.length - start for row in rows_of(picture, tokens, 2 * asked, is_shared=is_shared)]
        assert len(lengths) > 1
        assert max(lengths) <= 2 * asked
    before = vlm.engine.counters.tokens
    values = game(chosen)
    assert vlm.engine.counters.tokens - before == shared.length
    np.testing.assert_allclose(values, plain_values(game, chosen), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", RANDOM_TINY)
def test_answers_of_one_question_share_it(name: str) -> None:
    vlm = make_subject(name)
    choices = ("red circle", "red square", "red")
    one = dataclasses.replace(sample(2), choices=choices)
    games = [vlm.game(one, target=target) for target in choices]
    everything = np.ones((1, games[0].players.n), dtype=bool)
    values = score_games([(game, everything) for game in games])
    for game, found in zip(games, values, strict=True):
        np.testing.assert_allclose(found, plain_values(game, everything), atol=1e-5, rtol=0)


def test_a_batch_writes_each_row_where_it_belongs() -> None:
    vlm = make_subject("random-tiny-qwen2.5-vl")
    samples = [sample(1, question="red ?"), sample(2, question="is there a red circle ?")]
    games = [vlm.game(dataclasses.replace(s, choices=("red circle", "no")), target="red circle") for s in samples]
    rows = []
    for game in games:
        request, _ = game.request(np.ones((1, game.players.n), dtype=bool))
        (picture,) = masked_prefixes(request, 0)
        rows += rows_of(picture, vlm.engine.encode([picture])[0], None)
    batch = RowBatch(rows, multiple=16)
    assert batch.ids.shape[1] % 16 == 0
    for r, (row, game) in enumerate(zip(rows, games, strict=True)):
        view, n = game.view, len(game.view.prompt.ids)
        assert row.length == n + 1
        assert batch.ids[r, : n + 1].tolist() == [*view.prompt.ids, game.token_ids[0]]
        assert np.array_equal(batch.positions[:, r, :n], view.positions)
        assert (batch.positions[:, r, n] == view.next_position).all()
        assert batch.ends[r, : n + 1].tolist() == [n + 1] * (n + 1)
        assert batch.ends[r, n + 1 :].tolist() == [*range(n + 2, batch.ids.shape[1] + 1)]
        assert batch.read[r].tolist() == [n - 1, n]
