"""Curves by pairs, and surrogates with pairs, on games that are solved by hand."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.games.analytic import SumOfUnanimityGames, and_gate
from toolkit.games.attribution import Attribution, InteractionAttribution
from toolkit.games.game import Players
from toolkit.synergy.evaluate import evaluate_all
from toolkit.synergy.pair_metrics import HeldOut, pair_coalitions, pair_gain

PLAYERS = Players.make(tuple("abc"), ("x", "y"))


def test_both_players_of_a_pair_come_together_and_known_players_cost_nothing() -> None:
    pairs = np.array([[0.1, 0.9], [0.3, 0.8], [0.0, -1.0]])
    found = pair_coalitions(pairs, PLAYERS).astype(int).tolist()
    assert found == [[0, 0, 0, 0, 0], [1, 0, 0, 0, 1], [1, 1, 0, 0, 1], [1, 1, 0, 1, 1], [1, 1, 1, 1, 1]]
    with pytest.raises(ValueError, match=r"expected \(3, 2\)"):
        pair_coalitions(pairs.T, PLAYERS)


def test_the_true_pair_first_is_best_and_last_is_worst() -> None:
    game, best = and_gate(4, 2, image=[1], text=[1]), np.zeros((4, 2))
    best[1, 1] = 1
    # insertion: 1 from two of six players on; deletion: 0 from there on; both linear before
    assert pair_gain(game, best) == pytest.approx(4 / 6)
    drawn = [pair_gain(game, np.random.default_rng(i).permutation(best.ravel()).reshape(4, 2)) for i in range(20)]
    assert pair_gain(game, -best) < np.mean(drawn) < pair_gain(game, best)


def test_the_pairs_of_a_bilinear_game_explain_what_is_left_and_their_shuffle_does_not() -> None:
    pairs = np.array([[1.0, 0.0], [0.0, -2.0], [0.5, 0.0]])
    terms = {(i, 3 + j): pairs[i, j] for i in range(3) for j in range(2) if pairs[i, j]}
    held_out = HeldOut(SumOfUnanimityGames(PLAYERS, {(0,): 0.7, **terms}))
    left = held_out.added(pairs)
    assert left > 0.2
    assert held_out.added(3 * pairs) == pytest.approx(left)  # the scale is free
    assert held_out.added(pairs[:, ::-1]) < left / 2
    additive = HeldOut(SumOfUnanimityGames(PLAYERS, {(0,): 0.7, (4,): 1.0}))
    assert additive.added(pairs) == pytest.approx(0, abs=1e-9)  # nothing is left to explain
    assert np.isnan(HeldOut(SumOfUnanimityGames(PLAYERS, {(): 1.0})).added(pairs))


def test_the_metrics_read_pairs_and_products_where_there_are_none() -> None:
    rng, pairs = np.random.default_rng(0), np.zeros((3, 2))
    pairs[1, 1] = 1.0
    game = SumOfUnanimityGames(PLAYERS, {(1, 4): 1.0, (0,): 0.3})
    gives = InteractionAttribution.from_pairs(pairs, PLAYERS, "pairs", "yes")
    product = Attribution([0.0, 1.0, 0.0, 0.0, 1.0], PLAYERS, "scores", "yes")
    noise = Attribution(rng.normal(size=5), PLAYERS, "noise", "yes")
    known, same, other = evaluate_all(game, [gives, product, noise], metrics=["pair-gain", "pair-r2"])
    assert known["pair-gain"].value == same["pair-gain"].value == pair_gain(game, pairs) > other["pair-gain"].value
    assert known["pair-r2"].value == pytest.approx(HeldOut(game).added(pairs), abs=1e-12)
    assert known["pair-r2"].value == same["pair-r2"].value > other["pair-r2"].value
    [still] = evaluate_all(SumOfUnanimityGames(PLAYERS, {(): 1.0}), [gives], metrics=["pair-r2"])
    assert still["pair-r2"].reason == "the values of the held-out coalitions do not vary"
