"""Explainers that give signed pairs of cells and words, against closed forms and enumeration."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from support.fakes import PAIRS, ToyVLM, toy_sample

import toolkit
from toolkit.explainers import explain
from toolkit.explainers.banzhaf_interaction import BanzhafInteraction, order_above, orthogonal_columns, presence
from toolkit.explainers.gradient_interaction import GradientInteraction
from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.attribution import InteractionAttribution
from toolkit.games.enumerate import all_values
from toolkit.games.game import Game, Players, TableGame
from toolkit.testing import FakeVLM, fake_sample

GIVERS = [
    "shapley-interaction", "faith-shapley-interaction", "banzhaf-interaction", "gradient-interaction",
    "word-to-cell-interaction", "cell-to-word-interaction",
]  # fmt: skip


def random_vlm(seed: int) -> FakeVLM:
    """Four cells and three words with interactions of every order up to four."""
    rng, players = np.random.default_rng(seed), Players.make(tuple("abcd"), tuple("xyz"))
    sets = [tuple(np.flatnonzero(bits)) for bits in product([0, 1], repeat=7) if sum(bits) <= 4]
    return FakeVLM(SumOfUnanimityGames(players, {members: float(rng.normal()) for members in sets}))


def four_by_three() -> toolkit.Sample:
    return fake_sample(grid=(2, 2), question="one two three", evidence=((0,), (0,)))


def banzhaf(game: Game, p: float) -> np.ndarray:
    """The index by its definition, pair by pair over all coalitions of the others."""
    values = all_values(game).reshape((2,) * 7)  # axis 6 - i is player i
    found = np.empty((4, 3))
    for i, j in product(range(4), range(3)):
        cube = np.moveaxis(values, (6 - i, 6 - 4 - j), (0, 1))
        rest = cube[1, 1] - cube[1, 0] - cube[0, 1] + cube[0, 0]
        for _ in range(5):
            rest = (1 - p) * rest[0] + p * rest[1]
        found[i, j] = rest
    return found


@pytest.mark.parametrize("name", GIVERS)
def test_pairs_of_the_model_that_is_solved_by_hand(name: str) -> None:
    found = explain(name, ToyVLM(), toy_sample())
    assert isinstance(found, InteractionAttribution)
    np.testing.assert_allclose(found.pairs, PAIRS, atol=1e-6)
    np.testing.assert_allclose(found.scores, [*PAIRS.sum(1), *PAIRS.sum(0)], atol=1e-6)


@pytest.mark.parametrize("p", [0.5, 0.3])
def test_the_banzhaf_estimate_has_the_index_as_its_mean_and_says_its_error(p: float) -> None:
    vlm, sample = random_vlm(0), four_by_three()
    explainer = BanzhafInteraction(p=p, budget=256)
    draws = [explainer.attribute(vlm, sample, rng=np.random.default_rng(seed)) for seed in range(120)]
    pairs = np.stack([draw.pairs for draw in draws])
    off = (pairs.mean(axis=0) - banzhaf(vlm.game(sample), p)) / (pairs.std(axis=0, ddof=1) / np.sqrt(len(pairs)))
    assert np.abs(off).max() < 4
    told = np.sqrt(np.mean([draw.details["error"] ** 2 for draw in draws]))
    assert told == pytest.approx(np.sqrt(pairs.var(axis=0, ddof=1).mean()), rel=0.2)


def test_an_orthogonal_design_shows_every_player_half_the_time_and_no_two_alike() -> None:
    there = presence(6, 8, 0.5, np.random.default_rng(0)).astype(float)
    assert (there.mean(axis=0) == 0.5).all()
    np.testing.assert_array_equal(np.corrcoef(there.T).round(9), np.eye(6))


@pytest.mark.parametrize("m", [12, 20, 40, 44, 48, 64])
def test_columns_of_a_hadamard_matrix_are_balanced_and_orthogonal(m: int) -> None:
    signs = np.where(orthogonal_columns(m, np.random.default_rng(0)), 1, -1)
    np.testing.assert_array_equal(signs.T @ signs, m * np.eye(m - 1))
    assert (signs.sum(axis=0) == 0).all()
    assert [order_above(n) for n in (3, 8, 36, 45)] == [4, 12, 40, 48]


def test_mirrored_questions_are_exact_where_at_most_two_words_act_together_and_others_are_not() -> None:
    players = Players.make(tuple("abcd"), tuple("xyz"))
    vlm = FakeVLM(SumOfUnanimityGames(players, {(0, 4, 5): 1.0, (1, 4, 6): -0.5, (2, 6): 0.25}))
    exact = banzhaf(vlm.game(four_by_three(), target="yes"), 0.5)
    mirrored, plain = (
        [explain(BanzhafInteraction(mirrored=m), vlm, four_by_three(), target="yes", seed=seed) for seed in range(8)]
        for m in (True, False)
    )
    assert max(np.abs(one.pairs - exact).max() for one in mirrored) < 1e-12
    assert max(np.abs(one.pairs - exact).max() for one in plain) > 0.05
    assert mirrored[0].details["error"] == pytest.approx(0, abs=1e-12)


def test_the_mirrored_estimate_has_the_index_as_its_mean_and_says_its_error() -> None:
    rng, players = np.random.default_rng(0), Players.make(tuple("abcdefghijklmnopqrst"), tuple("xyz"))
    dividends: dict[tuple[int, ...], float] = {}
    for cells, words in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)] * 30:
        drawn = rng.choice(20, cells, replace=False), 20 + rng.choice(3, words, replace=False)
        dividends[tuple(sorted(map(int, np.concatenate(drawn))))] = float(rng.normal())
    exact = np.array([
        [sum(d / 2 ** (len(t) - 2) for t, d in dividends.items() if i in t and j in t) for j in range(20, 23)]
        for i in range(20)
    ])  # fmt: skip
    game = SumOfUnanimityGames(players, dividends)
    vlm, sample = FakeVLM(game), fake_sample(grid=(4, 5), question="one two three", evidence=((0,), (0,)))
    draws = [explain(BanzhafInteraction(mirrored=True), vlm, sample, target="yes", seed=seed) for seed in range(150)]
    pairs = np.stack([draw.pairs for draw in draws])
    assert np.abs((pairs.mean(axis=0) - exact) / pairs.std(axis=0, ddof=1)).max() < 4 / np.sqrt(len(pairs))
    told = np.sqrt(np.mean([draw.details["error"] ** 2 for draw in draws]))
    assert told == pytest.approx(np.sqrt(pairs.var(axis=0, ddof=1).mean()), rel=0.2)
    found = [BanzhafInteraction(mirrored=True).design(n, 6) for n in (1, 3, 36)]
    assert found == [(4, 16, 1), (8, 16, 1), (48, 16, 1)]  # a column at least is left for the error
    with pytest.raises(ValueError, match="a mirrored design needs 768"):
        BanzhafInteraction(mirrored=True, budget=700).design(36, 6)
    with pytest.raises(ValueError, match=r"need p = 0.5, got 0.3"):
        BanzhafInteraction(mirrored=True, p=0.3)


def test_a_budget_that_holds_no_two_designs_is_refused_with_the_number_that_does() -> None:
    assert BanzhafInteraction().design(36, 6) == (64, 8, 2)
    with pytest.raises(ValueError, match="two designs need 1024"):
        BanzhafInteraction(budget=600).design(36, 6)
    with pytest.raises(ValueError, match="p is 1.5"):
        BanzhafInteraction(p=1.5)


def test_gradient_pairs_add_up_to_what_each_word_changes() -> None:
    found = GradientInteraction(steps=2).attribute(ToyVLM(), toy_sample(), rng=np.random.default_rng(0))
    assert found.convergence_delta < 1e-9  # the toy is bilinear: two nodes are exact
    assert found.n_gradients == 2 * (2 + 2 * 3)
    assert found.details["converged"] == 1
    with pytest.raises(ValueError, match="at least 1"):
        GradientInteraction(steps=0)


def test_gradient_pairs_say_where_their_integral_has_too_few_nodes() -> None:
    players = Players.make(tuple("abcd"), tuple("xyz"))
    vlm = FakeVLM(SumOfUnanimityGames(players, {(0, 1, 2, 4): 1.0}))  # x^3 along the path, whose slope is 3 x^2
    found = GradientInteraction(steps=1).attribute(vlm, four_by_three(), rng=np.random.default_rng(0))
    assert found.convergence_delta == pytest.approx(1 - 3 / 4)  # one node stands at x = 1/2
    assert found.details["converged"] == 0


def test_pairs_of_another_shape_are_refused() -> None:
    players = Players.make(("a", "b"), ("x",))
    with pytest.raises(ValueError, match=r"shape \(1, 2\).*expected finite numbers of shape \(2, 1\)"):
        InteractionAttribution([0.0, 0.0, 0.0], players, "mine", "yes", pairs=np.zeros((1, 2)))
    with pytest.raises(ValueError, match="1 non-finite"):
        InteractionAttribution([0.0, 0.0, 0.0], players, "mine", "yes", pairs=np.array([[np.nan], [0.0]]))


def test_a_matrix_over_all_players_is_refused_with_what_to_cut_out_and_an_asymmetric_one_with_its_other_half() -> None:
    players, whole = Players.make(("a", "b"), ("x",)), np.eye(3)
    with pytest.raises(ValueError, match=r"shape \(3, 3\).*pairs\[:n_image, n_image:\]$"):
        InteractionAttribution.from_pairs(whole, players, "mine", "yes")
    whole[0, 2] = 1.0
    with pytest.raises(ValueError, match="not symmetric, so give its other half too"):
        explain(
            lambda vlm, sample: InteractionAttribution.from_pairs(whole, players, "mine", "yes"), ToyVLM(), toy_sample()
        )
    with pytest.raises(ValueError, match=r"shape \(1, 2\).*expected finite numbers of shape \(2, 1\)"):
        InteractionAttribution.from_pairs(np.zeros((1, 2)), players, "mine", "yes")


@pytest.mark.parametrize("name", [name for name in GIVERS if name != "gradient-interaction"])
def test_a_game_with_missing_values_gives_no_pairs(name: str) -> None:
    class Missing(FakeVLM):
        def game(self, *args: object, **more: object) -> Game:
            game = super().game(*args, **more)
            return TableGame(game.players, np.where(np.bitwise_count(np.arange(2**7)) >= 4, np.nan, all_values(game)))

    vlm = Missing(SumOfUnanimityGames(Players.make(tuple("abcd"), tuple("xyz")), {(0, 4): 1.0}))
    with pytest.raises(ValueError, match=r"non-finite|NaN|infinit"):
        explain(name, vlm, four_by_three(), target="yes")


@pytest.mark.parametrize("ending", ["npz", "json"])
def test_pairs_travel(ending: str, tmp_path: Path) -> None:
    made = explain("banzhaf-interaction", ToyVLM(), toy_sample())
    found = toolkit.load(toolkit.save(made, tmp_path / f"found.{ending}"))
    assert isinstance(found, InteractionAttribution)
    np.testing.assert_array_equal(found.pairs, made.pairs)


def test_pairs_of_tokens_are_summed_over_the_players_of_a_person() -> None:
    vlm, sample = (
        toolkit.load_vlm("tiny-llava-grounded", device="cpu"),
        toolkit.load_samples("scenes-existence", n=1)[0],
    )
    tokens = explain(GradientInteraction(steps=2), vlm, sample)
    groups = explain(GradientInteraction(steps=2), vlm, sample, players="grid:2x3")
    assert groups.pairs.shape == (6, groups.players.n_text)
    assert groups.pairs.sum() == pytest.approx(tokens.pairs.sum(), abs=1e-9)
    np.testing.assert_allclose(groups.scores[:6], groups.pairs.sum(axis=1), atol=1e-9)
