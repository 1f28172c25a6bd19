"""Directed pairs, against dividends, all orders and shapiq's exact computer."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from toolkit.explainers import explain
from toolkit.explainers.meta_interaction import CellToWordInteraction, WordToCellInteraction
from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.game import Game, Players
from toolkit.testing import FakeVLM, fake_sample

CELLS, WORDS = range(4), range(4, 7)
SAMPLE = fake_sample(grid=(2, 2), question="one two three", evidence=((0,), (0,)))


def terms(seed: int) -> dict[tuple[int, ...], float]:
    rng = np.random.default_rng(seed)
    sets = (tuple(int(i) for i in np.flatnonzero(bits)) for bits in product([0, 1], repeat=7))
    return {members: float(rng.normal()) for members in sets}


def vlm(dividends: dict[tuple[int, ...], float]) -> FakeVLM:
    return FakeVLM(SumOfUnanimityGames(Players.make(tuple("abcd"), tuple("xyz")), dividends))


def all_orders(game: Game, joining: range, others: range) -> np.ndarray:
    """Mean over every order of who joins, of what it adds to the loss of each other player; (joining, others)."""

    def lost(joined: tuple[int, ...], without: int) -> float:
        there = np.isin(range(7), [*joined, *others])
        absent = there & (np.arange(7) != without)
        return float(np.subtract(*game(np.stack([there, absent]))))

    found = np.zeros((len(joining), len(others)))
    orders = list(permutations(joining))
    for order, place, (k, other) in product(orders, range(len(joining)), enumerate(others)):
        added = lost(order[: place + 1], other) - lost(order[:place], other)
        found[joining.index(order[place]), k] += added / len(orders)
    return found


@pytest.mark.parametrize("name", ["word-to-cell-interaction", "cell-to-word-interaction"])
def test_pairs_share_dividends_among_those_who_join_and_agree_with_all_orders(name: str) -> None:
    dividends, is_words = terms(0), name.startswith("word")
    pairs = explain(name, vlm(dividends), SAMPLE).pairs
    side = WORDS if is_words else CELLS
    closed = [
        [sum(d / len(set(t) & set(side)) for t, d in dividends.items() if i in t and j in t) for j in WORDS]
        for i in CELLS
    ]
    np.testing.assert_allclose(pairs, closed, atol=1e-9)
    game = vlm(dividends).game(SAMPLE)
    orders = all_orders(game, WORDS, CELLS).T if is_words else all_orders(game, CELLS, WORDS)
    np.testing.assert_allclose(pairs, orders, atol=1e-9)


def test_a_column_is_the_shapley_value_of_a_cell_s_attribution_and_adds_up_to_what_words_add_to_it() -> None:
    shapiq = pytest.importorskip("shapiq")
    game = vlm(terms(1)).game(SAMPLE)
    pairs = explain("word-to-cell-interaction", vlm(terms(1)), SAMPLE).pairs

    def attribution_of_cell_2(words: np.ndarray) -> np.ndarray:
        words = np.atleast_2d(words).astype(np.bool_)
        images = np.ones((len(words), 4), dtype=np.bool_), np.tile([True, True, False, True], (len(words), 1))
        whole, without = (game(np.concatenate([image, words], axis=1)) for image in images)
        return whole - without

    exact = shapiq.ExactComputer(game=attribution_of_cell_2, n_players=3)("SV")
    np.testing.assert_allclose(pairs[2], [exact[(j,)] for j in range(3)], atol=1e-9)
    ends = attribution_of_cell_2(np.array([[True] * 3, [False] * 3]))
    assert pairs[2].sum() == pytest.approx(ends[0] - ends[1], abs=1e-9)


def test_a_word_that_does_nothing_gets_nothing_and_two_that_are_alike_get_the_same() -> None:
    pairs = explain("word-to-cell-interaction", vlm({(0, 4, 5): 2.0, (1, 4, 5): -1.0, (2,): 3.0}), SAMPLE).pairs
    np.testing.assert_allclose(pairs, [[1, 1, 0], [-0.5, -0.5, 0], [0, 0, 0], [0, 0, 0]], atol=1e-12)


def test_sampled_orders_have_the_pairs_as_their_mean_say_their_error_and_still_add_up() -> None:
    players = Players.make(tuple("abcdefgh"), ("x",))
    rng = np.random.default_rng(0)
    dividends = {
        (*sorted(rng.choice(8, size, replace=False).tolist()), 8): float(rng.normal()) for size in (1, 2, 3) * 5
    }
    fake, sample = (
        FakeVLM(SumOfUnanimityGames(players, dividends)),
        fake_sample(grid=(2, 4), question="one", evidence=((0,), (0,))),
    )
    exact = explain(CellToWordInteraction(budget=512), fake, sample)
    drawn = [explain(CellToWordInteraction(budget=180), fake, sample, seed=seed) for seed in range(120)]
    assert (exact.details["exact"], drawn[0].details["exact"], drawn[0].n_evaluations) == (1, 0, 180)
    pairs = np.stack([one.pairs for one in drawn])
    spread = pairs.std(axis=0, ddof=1)
    off = np.abs(pairs.mean(axis=0) - exact.pairs)
    assert (off <= 4 * spread / np.sqrt(len(pairs)) + 1e-12).all()
    told = np.sqrt(np.mean([one.details["error"] ** 2 for one in drawn]))
    assert told == pytest.approx(np.sqrt((spread**2).mean()), rel=0.2)
    np.testing.assert_allclose(pairs.sum(axis=1), np.broadcast_to(exact.pairs.sum(axis=0), (120, 1)), atol=1e-9)


def test_an_order_and_its_reverse_are_exact_where_no_three_of_those_who_join_act_together() -> None:
    players = Players.make(tuple("abcdefgh"), ("x",))
    fake = FakeVLM(SumOfUnanimityGames(players, {(0, 1, 8): 1.0, (1, 5, 8): -2.0, (3, 8): 0.5}))
    sample = fake_sample(grid=(2, 4), question="one", evidence=((0,), (0,)))
    found = explain(CellToWordInteraction(budget=72), fake, sample, target="yes")
    np.testing.assert_allclose(found.pairs[:, 0], [0.5, -0.5, 0, 0.5, 0, -1, 0, 0], atol=1e-12)
    assert (found.details["exact"], found.details["error"]) == (0, pytest.approx(0, abs=1e-12))


def test_a_budget_that_holds_no_four_orders_is_refused_with_the_number_that_does() -> None:
    assert WordToCellInteraction().orders(6, 36) == 0
    assert CellToWordInteraction().orders(36, 6) == 14
    with pytest.raises(ValueError, match="four orders need 1036 evaluations"):
        CellToWordInteraction(budget=1000).orders(36, 6)
