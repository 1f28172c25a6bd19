"""The corrected scores: gain over random orderings, the surface over independent fractions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_games import attribute, random_case

from toolkit.games.analytic import NoisyGame, SumOfUnanimityGames, and_gate, or_gate
from toolkit.games.interactions import shapley_interaction_index
from toolkit.synergy.f_syn import synergistic_faithfulness
from toolkit.synergy.gain import synergy_gain
from toolkit.synergy.ordering import curve_fractions, random_attributions, reference_orderings, top_coalitions
from toolkit.synergy.surface import synergy_surface

TOLERANCE = 1e-12


def oracle_of(game):
    evidence = np.zeros(game.players.n)
    evidence[sorted(set().union(*game.dividends))] = 1
    return evidence


def test_the_gain_is_the_interior_minus_the_mean_of_the_random_interiors():
    game, attribution = random_case(2, 6, 5)
    found = synergy_gain(game, attribution, n_random=6, seed=9)
    own = synergistic_faithfulness(game, attribution).interior.value
    draws = [
        synergistic_faithfulness(game, draw).interior.value for draw in reference_orderings(game.players, 6, seed=9)
    ]
    assert found.value == pytest.approx(own - np.mean(draws), abs=TOLERANCE)
    assert found.random == pytest.approx(np.mean(draws), abs=TOLERANCE)
    pairs = [(a + b) / 2 for a, b in zip(draws[::2], draws[1::2], strict=True)]
    assert found.standard_error == pytest.approx(np.std(pairs, ddof=1) / np.sqrt(3), abs=TOLERANCE)
    assert found.curve.mean() == pytest.approx(found.value, abs=TOLERANCE)
    assert found.n_random == 6


def test_the_gain_orders_oracle_random_and_anti_oracle_around_zero():
    game = and_gate(36, 6, image=[8, 9], text=[2, 4])
    oracle = oracle_of(game)
    rng = np.random.default_rng(0)
    best = synergy_gain(game, attribute(game, oracle)).value
    worst = synergy_gain(game, attribute(game, -oracle)).value
    draws = [synergy_gain(game, attribute(game, rng.random(42)), seed=s).value for s in range(100)]
    assert best > 0.5
    assert worst < -0.15
    assert abs(np.mean(draws)) <= 4 * np.std(draws, ddof=1) / 10


def test_the_gain_of_noise_alone_is_zero_within_its_error():
    players = and_gate(20, 6).players
    gains = []
    for seed in range(80):
        game = NoisyGame(SumOfUnanimityGames(players, {(): 0.5}), 0.2, seed)
        scores = np.random.default_rng(seed).integers(0, 3, 26)
        gains.append(synergy_gain(game, attribute(game, scores), n_random=4, tie_seeds=(0, 1)).value)
    assert abs(np.mean(gains)) <= 4 * np.std(gains, ddof=1) / np.sqrt(80)


def test_finding_redundancy_early_makes_the_gain_negative():
    game = or_gate(20, 6, image=[3], text=[2])
    assert synergy_gain(game, attribute(game, oracle_of(game))).value < -0.3


@pytest.mark.parametrize("gate", [and_gate, or_gate])
def test_the_recovered_view_puts_the_oracle_first_under_synergy_and_redundancy(gate):
    game = gate(20, 6, image=[3], text=[2])
    oracle = oracle_of(game)
    rng = np.random.default_rng(0)
    best, worst = (synergy_gain(game, attribute(game, s)) for s in (oracle, -oracle))
    draws = [synergy_gain(game, attribute(game, rng.random(26))).recovered.value for _ in range(60)]
    assert best.recovered.value > 0.4
    assert worst.recovered.value < -0.15
    assert all(worst.recovered.value <= draw <= best.recovered.value for draw in draws)
    assert abs(np.mean(draws)) <= 4 * np.hypot(np.std(draws, ddof=1) / np.sqrt(60), best.standard_error)


def test_the_recovered_view_of_noise_alone_is_zero_within_its_error():
    players = and_gate(20, 6).players
    found = []
    for seed in range(80):
        game = NoisyGame(SumOfUnanimityGames(players, {(): 0.5}), 0.2, seed)
        scores = np.random.default_rng(seed).random(26)
        found.append(synergy_gain(game, attribute(game, scores), n_random=4).recovered.value)
    found = [value for value in found if np.isfinite(value)]  # those whose sign is not contradicted
    assert abs(np.mean(found)) <= 4 * np.std(found, ddof=1) / np.sqrt(len(found))


def test_the_share_is_the_gain_by_the_total_and_empty_without_one():
    game = or_gate(20, 6, image=[3], text=[2])
    found = synergy_gain(game, attribute(game, oracle_of(game)))
    assert found.interaction.total == pytest.approx(-1, abs=TOLERANCE)
    assert found.share.value == pytest.approx(-found.value, abs=TOLERANCE)
    assert found.share.curve.mean() == pytest.approx(found.share.value, abs=TOLERANCE)
    weak = SumOfUnanimityGames(game.players, {(3, 22): 0.01, (): 0.5})
    share = synergy_gain(weak, attribute(weak, oracle_of(game))).share
    assert np.isnan(share.value)
    assert "total interaction 0.01 is below 0.05" in share.reason
    flat = SumOfUnanimityGames(game.players, {(): 0.5})
    recovered = synergy_gain(flat, attribute(flat, oracle_of(game))).recovered
    assert np.isnan(recovered.value)
    assert "nothing to recover" in recovered.reason


def test_reversed_pairs_spread_less_than_independent_orderings():
    game = and_gate(36, 6, image=[8], text=[2])
    draws = [
        [synergistic_faithfulness(game, d).interior.value for d in random_attributions(game.players, 8, seed=s)]
        for s in range(60)
    ]
    of_pairs = np.std(np.mean(draws, axis=1), ddof=1)
    independent = np.std(np.array(draws)[:, ::2], ddof=1) / np.sqrt(8)
    assert of_pairs < independent


def test_the_gain_refuses_what_has_no_interior_or_no_error():
    game, attribution = random_case(0, 3, 3)
    with pytest.raises(ValueError, match="at least 2 steps, got 1"):
        synergy_gain(game, attribution, 1)
    with pytest.raises(ValueError, match="n_random = 2"):
        synergy_gain(game, attribution, n_random=2)
    with pytest.raises(ValueError, match="must be even"):
        synergy_gain(game, attribution, n_random=5)


def test_several_attributions_share_the_random_orderings():
    game = and_gate(36, 20)
    rng = np.random.default_rng(0)
    first, second = (synergy_gain(game, attribute(game, rng.random(56))) for _ in range(2))
    assert first.random == second.random
    other = synergy_gain(NoisyGame(game, 0.1, 0), attribute(game, rng.random(56)), seed=1)
    assert other.random != first.random


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 5))
def test_every_point_of_the_surface_is_an_interaction_index(seed, n_image, n_text, steps):
    game, attribution = random_case(seed, n_image, n_text)
    surface = synergy_surface(game, attribution, steps, tie_seeds=(0,))
    image = top_coalitions(attribution, "image", curve_fractions(steps))
    text = top_coalitions(attribution, "text", curve_fractions(steps))
    for i in range(steps + 1):
        for j in range(steps + 1):
            index = shapley_interaction_index(game, image[i], text[j]).value
            assert abs(surface.mean[i, j] - index) <= TOLERANCE
    line = synergistic_faithfulness(game, attribution, steps, tie_seeds=(0,))
    assert np.abs(surface.diagonal - line.curve).max() <= TOLERANCE
    assert np.abs(np.diagonal(surface.insertion) - line.insertion).max() <= TOLERANCE
    assert np.abs(np.diagonal(surface.deletion) - line.deletion).max() <= TOLERANCE


def test_the_volume_of_an_and_gate_is_the_product_of_what_each_modality_leaves():
    game = and_gate(10, 10, image=[3], text=[6])
    cells = -np.abs(np.arange(10) - 3.1)
    for rank in (1, 4, 10):
        order = [w for w in range(10) if w != 6]
        order.insert(rank - 1, 6)
        words = np.empty(10)
        words[order] = np.arange(10)[::-1]
        found = synergy_surface(game, attribute(game, np.concatenate([cells, words]))).volume
        left = 1 - (rank - 0.5) / 10
        assert found.value == pytest.approx(0.95 * left, abs=TOLERANCE)


def test_the_surface_sees_a_better_image_map_behind_a_bad_order_of_words():
    game = and_gate(20, 10, image=[3], text=[6])
    good, bad = np.zeros(30), np.zeros(30)
    good[3], bad[3] = 1, -1
    good[26] = bad[26] = -1
    on_line = [synergistic_faithfulness(game, attribute(game, s)).value for s in (good, bad)]
    on_surface = [synergy_surface(game, attribute(game, s)).volume.value for s in (good, bad)]
    assert on_line[0] == pytest.approx(on_line[1], abs=TOLERANCE)
    assert on_surface[0] > 10 * on_surface[1]


def test_a_constant_interaction_has_its_volume_and_the_cells_are_counted():
    game = and_gate(40, 20)
    found = synergy_surface(game, attribute(game, np.arange(60)))
    assert found.volume.n_evaluations == 2 * 11**2 - 4
    assert found.volume.value == pytest.approx(np.trapezoid(found.volume.curve, found.fractions), abs=TOLERANCE)
    assert found.volume.curve == pytest.approx((found.volume.insertion + found.volume.deletion) / 2, abs=TOLERANCE)


def test_values_that_are_not_finite_leave_the_scores_empty_with_a_reason():
    inner = and_gate(4, 4)

    class Broken:
        players = inner.players

        def __call__(self, coalitions):
            return np.where(coalitions.any(axis=1), inner(coalitions), np.nan)

    attribution = attribute(inner, np.arange(8))
    for score in (synergy_surface(Broken(), attribution).volume, synergy_gain(Broken(), attribution)):
        assert np.isnan(score.value)
        assert "not finite" in score.reason
