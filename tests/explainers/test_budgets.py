"""What explainers spend: as many rows as they say, enough to determine their scores, and with a measured error."""

from __future__ import annotations

import numpy as np
import pytest
from support.extras import runnable

import toolkit
from toolkit.explainers import EXPLAINERS, explain
from toolkit.explainers.base import Passes, passes_of, with_budget
from toolkit.explainers.kernel_shap import KernelShap, shapley_by_regression
from toolkit.explainers.shapley_interaction import ShapleyInteraction
from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.game import Players


def pairs_game(n: int, seed: int) -> tuple[SumOfUnanimityGames, np.ndarray]:
    """Effects of single players and of 2 n pairs, and the Shapley values: a pair's dividend is shared by two."""
    rng = np.random.default_rng(seed)
    alone = rng.normal(size=n)
    terms = {(i,): float(alone[i]) for i in range(n)}
    truth = alone.copy()
    for _ in range(2 * n):
        i, j = sorted(rng.choice(n, 2, replace=False).tolist())
        d = float(rng.normal())
        terms[i, j] = terms.get((i, j), 0.0) + d
        truth[[i, j]] += d / 2
    return SumOfUnanimityGames(Players.make(tuple(map(str, range(n - 2))), ("a", "b")), terms), truth


def test_pairs_determine_a_game_of_pairs_exactly_from_three_rows_per_player_on() -> None:
    """Complements cancel every second-order term, so the regression is exact where it is not singular."""
    game, truth = pairs_game(42, 0)
    scores, spent, details = shapley_by_regression(game, 6 * 42, np.random.default_rng(0))
    np.testing.assert_allclose(scores, truth, atol=1e-8)
    assert spent <= 6 * 42
    assert details["error"] < 1e-8


class Cubic:
    """A game of third order, in which pairs do not cancel: (sum of weights of those present)^3."""

    def __init__(self, n: int) -> None:
        self.players = Players.make(tuple(map(str, range(n - 3))), ("a", "b", "c"))
        self.weights = np.random.default_rng(7).normal(size=n) / np.sqrt(n) + 0.1

    def __call__(self, coalitions: np.ndarray) -> np.ndarray:
        return (coalitions @ self.weights) ** 3

    def shapley(self) -> np.ndarray:
        """In closed form: E over the share of others present, by a fine average of polynomials of degree 2."""
        w = self.weights
        t = (np.polynomial.legendre.leggauss(4)[0] + 1) / 2
        share = np.polynomial.legendre.leggauss(4)[1] / 2
        found = np.zeros_like(w)
        for i in range(len(w)):
            rest = np.delete(w, i)
            mean, square = t * rest.sum(), (t * rest.sum()) ** 2 + t * (1 - t) * (rest**2).sum()
            found[i] = share @ (3 * w[i] * square + 3 * w[i] ** 2 * mean + w[i] ** 3)
        return found


def test_the_measured_error_is_that_of_the_scores() -> None:
    """Over 20 seeds the root mean square of the true error lies within .6 and 1.1 of the mean measured one."""
    game = Cubic(42)
    truth = game.shapley()
    true, told = [], []
    for seed in range(20):
        scores, _, details = shapley_by_regression(game, 512, np.random.default_rng(seed))
        assert scores.sum() == pytest.approx(game.weights.sum() ** 3, abs=1e-9)
        true.append(np.mean((scores - truth) ** 2))
        told.append(float(details["error"]) ** 2)
    assert 0.6 < np.sqrt(np.mean(true) / np.mean(told)) < 1.1


def test_a_budget_below_three_rows_per_player_is_refused_with_the_numbers() -> None:
    with pytest.raises(ValueError, match=r"a budget of 125 is too small for 42 players; expected at least 126, or 252"):
        KernelShap(budget=125).rows(42)
    assert KernelShap(budget=126).rows(42) == 126
    assert [KernelShap().rows(n) for n in (5, 42, 606)] == [32, 512, 3636]


def test_a_half_that_is_too_small_leaves_the_scores_and_says_why_there_is_no_error() -> None:
    game, truth = pairs_game(42, 1)
    scores, _, details = shapley_by_regression(game, 126, np.random.default_rng(0))
    np.testing.assert_allclose(scores, truth, atol=1e-8)
    assert "error" not in details
    assert details["no_error"] == "a half of the budget is too small; it needs 252"


def test_a_singular_design_is_refused() -> None:
    """Two thirds of the pairs that the players need."""
    game, _ = pairs_game(42, 0)
    with pytest.raises(ValueError, match=r"drawn determine \d+ of 42 scores; raise the budget to 252"):
        shapley_by_regression(game, 60, np.random.default_rng(0))


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_few_players_are_solved_exactly(n: int) -> None:
    game = Cubic(max(n, 4)) if n > 3 else SumOfUnanimityGames(
        Players.make(tuple("ab"[: n - 1]), ("w",)), {(0,): 1.0, tuple(range(n)): 2.0} if n > 1 else {(0,): 3.0}
    )  # fmt: skip
    scores, spent, details = shapley_by_regression(game, 2**game.players.n, np.random.default_rng(0))
    expected = game.shapley() if isinstance(game, Cubic) else np.eye(n)[0] + 2 / n if n > 1 else [3.0]
    np.testing.assert_allclose(scores, expected, atol=1e-9)
    assert (spent, details["exact"]) == (2**game.players.n, 1)


@pytest.mark.parametrize("name", runnable(name for name in EXPLAINERS if "oracle" not in name))
def test_explainers_spend_what_they_say(name: str) -> None:
    sample = toolkit.load_samples("scenes-existence", n=1)[0]
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
    method = ShapleyInteraction(per_unknown=0.2) if name == "shapley-interaction" else name
    said = passes_of(method, vlm.players(sample).n, vlm.players(sample).n_text)
    assert said is not None
    found = explain(method, vlm, sample)
    spent = Passes(found.n_evaluations, found.n_gradients)
    if name in ("integrated-gradients", "kernel-shap"):  # as far as it had to go; both halves hold the same ends
        assert 0.9 * said.forward * (name == "kernel-shap") < spent.forward <= said.forward
        assert spent.backward <= said.backward
    else:
        assert spent == said


@pytest.mark.parametrize("name", ["banzhaf-interaction", "gradient-interaction", "word-to-cell-interaction"])
def test_where_the_words_are_not_counted_the_dearest_question_is_said(name: str) -> None:
    everything = passes_of(name, 42)
    assert all(passes_of(name, 42, words).forward <= everything.forward for words in range(1, 31))


def test_integrated_gradients_count_every_row() -> None:
    """As many as are allowed, ends included; a fixed number of steps has the two ends beside them."""
    from toolkit.explainers.integrated_gradients import IntegratedGradients

    assert passes_of("integrated-gradients", 600) == Passes(256, 256)
    assert passes_of(IntegratedGradients(steps=5), 600) == Passes(7, 5)


def test_a_budget_is_set_where_there_is_one() -> None:
    assert with_budget("kernel-shap", 300) == KernelShap(budget=300)
    assert with_budget("shapley-interaction", 300) == ShapleyInteraction(budget=300)
    with pytest.raises(ValueError, match=r"'occlusion' has no budget \(its cost: n_players \+ 1.*kernel-shap"):
        with_budget("occlusion", 300)
    with pytest.raises(ValueError, match="the budget is 0"):
        with_budget("kernel-shap", 0)
    assert passes_of(lambda vlm, sample: [], 5) is None
