"""F_syn: it is the Shapley interaction index of {I_k, T_k, rest}, and its views are what they say."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_games import Spy, attribute, random_case

from toolkit.games.analytic import NoisyGame, SumOfUnanimityGames, additive, and_gate, or_gate, xor_gate
from toolkit.games.game import Players, QuotientGame, TableGame
from toolkit.games.interactions import harsanyi_dividends, shapley_interaction_index
from toolkit.synergy.f_syn import synergistic_faithfulness, total_interaction
from toolkit.synergy.ordering import curve_fractions, top_coalitions
from toolkit.synergy.srg import auc

TOLERANCE = 1e-12


cases = st.builds(random_case, st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 5))


@settings(max_examples=60)
@given(cases, st.integers(1, 12))
def test_every_point_is_the_interaction_index_of_the_three_player_game(case, steps):
    game, attribution = case
    score = synergistic_faithfulness(game, attribution, steps, tie_seeds=(0,))
    image = top_coalitions(attribution, "image", curve_fractions(steps))
    text = top_coalitions(attribution, "text", curve_fractions(steps))
    for k in range(steps + 1):
        index = shapley_interaction_index(game, image[k], text[k])
        assert abs(score.curve[k] - index.value) <= TOLERANCE
        dividend = harsanyi_dividends(QuotientGame(game, [image[k], text[k]]))[3]
        assert abs(score.insertion[k] - dividend) <= TOLERANCE
    assert np.abs(score.curve - (score.insertion + score.deletion) / 2).max() <= TOLERANCE


@given(cases)
def test_the_curve_runs_from_nothing_to_the_total_interaction_whatever_the_order(case):
    game, attribution = case
    total = total_interaction(game).value
    score = synergistic_faithfulness(game, attribution)
    assert (score.insertion[0], score.deletion[0]) == (0, 0)
    assert score.insertion[-1] == pytest.approx(total, abs=TOLERANCE)
    assert score.deletion[-1] == pytest.approx(total, abs=TOLERANCE)
    assert score.total == pytest.approx(total, abs=TOLERANCE)


@pytest.mark.parametrize(("gate", "dividend"), [(and_gate, 1), (or_gate, -1), (xor_gate, -2), (additive, 0)])
def test_gates(gate, dividend):
    game = gate(20, 10, image=[3], text=[6])
    assert total_interaction(game).value == pytest.approx(dividend, abs=TOLERANCE)
    oracle = np.zeros(30)
    oracle[[3, 26]] = 1
    score = synergistic_faithfulness(game, attribute(game, oracle))
    assert score.value == pytest.approx(0.95 * dividend, abs=TOLERANCE)
    assert score.interior.value == pytest.approx(dividend, abs=TOLERANCE)
    anti = synergistic_faithfulness(game, attribute(game, -oracle))
    assert anti.value == pytest.approx(0.05 * dividend, abs=TOLERANCE)
    assert anti.interior.value == pytest.approx(0, abs=TOLERANCE)


def test_right_words_with_wrong_cells_lose_the_joint_part():
    game = and_gate(20, 10, image=[3], text=[6])
    scores = np.zeros(30)
    scores[26], scores[3] = 1, -1
    assert synergistic_faithfulness(game, attribute(game, scores)).interior.value == pytest.approx(0, abs=TOLERANCE)
    assert synergistic_faithfulness(game, attribute(game, -scores)).interior.value == pytest.approx(0, abs=TOLERANCE)


def test_the_published_view_normalises_then_clips_every_step_of_each_side():
    game, attribution = random_case(5, 5, 4)
    score = synergistic_faithfulness(game, attribution, 4)
    everything, nothing = game(np.array([[True] * 9, [False] * 9]))
    scale = max(abs(everything - nothing), 0.05)
    clipped = [[min(max(x / scale, 0), 1) for x in side] for side in (score.insertion, score.deletion)]
    expected = sum((a + b) / 2 * w for a, b, w in zip(*clipped, [0.125, 0.25, 0.25, 0.25, 0.125], strict=True))
    assert score.paper.value == pytest.approx(expected, abs=TOLERANCE)
    assert score.normalised.value == pytest.approx(score.value / scale, abs=TOLERANCE)
    assert score.paper.metric.name == "f-syn-paper"
    assert min(score.insertion.min(), score.deletion.min()) < 0, "this case has something to clip"


def test_the_published_view_divides_by_at_least_a_twentieth():
    players = Players.make(("a",), ("b",))
    game = SumOfUnanimityGames(players, {(0, 1): 0.01})
    score = synergistic_faithfulness(game, attribute(game, [1, 1]), 1)
    assert score.contrast == pytest.approx(0.01, abs=TOLERANCE)
    assert score.normalised.curve[-1] == pytest.approx(0.01 / 0.05, abs=TOLERANCE)


def test_the_published_view_divides_by_the_size_of_a_falling_contrast():
    players = Players.make(("a",), ("b",))
    game = SumOfUnanimityGames(players, {(0,): -1.0, (0, 1): 0.2})
    score = synergistic_faithfulness(game, attribute(game, [1, 1]), 1)
    assert score.contrast == pytest.approx(-0.8, abs=TOLERANCE)
    assert score.normalised.curve[-1] == pytest.approx(0.25, abs=TOLERANCE)


def test_clipping_hides_redundancy_and_the_sign_shows_it():
    game = or_gate(6, 6)
    score = synergistic_faithfulness(game, attribute(game, np.arange(12)))
    assert score.paper.value == 0
    assert score.value < 0


def test_clipping_turns_noise_into_synergy_and_the_signed_score_does_not():
    signed, published = [], []
    for seed in range(200):
        players = and_gate(20, 10).players
        game = NoisyGame(SumOfUnanimityGames(players, {(): 0.5}), 0.05, seed)
        rng = np.random.default_rng(seed)
        score = synergistic_faithfulness(game, attribute(game, rng.random(30)))
        signed.append(score.value)
        published.append(score.paper.value)
    assert abs(np.mean(signed)) <= 4 * np.std(signed, ddof=1) / np.sqrt(200)
    assert np.mean(published) > 20 * np.std(published, ddof=1) / np.sqrt(200)


@given(cases, st.integers(2, 12))
def test_the_interior_is_the_curve_without_its_shared_ends(case, steps):
    game, attribution = case
    score = synergistic_faithfulness(game, attribution, steps)
    interior = score.interior
    assert interior.value == pytest.approx(score.curve[1:-1].mean(), abs=TOLERANCE)
    assert interior.value == pytest.approx((steps * score.value - score.total / 2) / (steps - 1), abs=1e-11)
    assert interior.fractions.min() > 0
    assert interior.fractions.max() < 1
    assert len(interior.fractions) == len(interior.curve) == len(interior.insertion) == steps - 1


def test_a_curve_of_one_step_has_no_interior():
    game, attribution = random_case(0, 3, 3)
    interior = synergistic_faithfulness(game, attribution, 1).interior
    assert np.isnan(interior.value)
    assert "no k strictly between" in interior.reason


@given(cases, st.floats(-3, 3), st.floats(-3, 3))
def test_f_syn_is_linear_in_the_game_and_blind_to_additive_parts(case, a, b):
    game, attribution = case
    n_image, n = game.players.n_image, game.players.n
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    one_sided = np.sin(bits[:, :n_image] @ np.arange(1, n_image + 1)) + np.cos(bits[:, n_image:].sum(axis=1))
    other = TableGame(game.players, a * game.values + b * one_sided)
    expected = a * synergistic_faithfulness(game, attribution).value
    assert synergistic_faithfulness(other, attribution).value == pytest.approx(expected, abs=TOLERANCE)


@given(cases)
def test_a_monotone_change_of_the_scores_changes_nothing(case):
    game, attribution = case
    stretched = attribute(game, np.exp(3 * attribution.scores) - 7)
    ours, theirs = (synergistic_faithfulness(game, a) for a in (attribution, stretched))
    assert np.array_equal(ours.curve, theirs.curve)


def test_tie_breaks_are_averaged_and_free_without_ties():
    game = and_gate(12, 12, image=[0], text=[0])
    flat = attribute(game, np.zeros(24))
    single = [synergistic_faithfulness(game, flat, tie_seeds=[s]).curve for s in range(4)]
    together = synergistic_faithfulness(game, flat, tie_seeds=range(4))
    assert together.curve == pytest.approx(np.mean(single, axis=0), abs=TOLERANCE)
    assert together.n_evaluations > 58
    ordered = attribute(game, np.arange(24))
    assert (
        synergistic_faithfulness(game, ordered, tie_seeds=range(4)).n_evaluations
        == synergistic_faithfulness(game, ordered).n_evaluations
    )


def test_all_coalitions_are_asked_in_one_call_and_counted():
    spy = Spy(and_gate(40, 20))
    assert synergistic_faithfulness(spy, attribute(spy, np.arange(60))).n_evaluations == 58
    assert total_interaction(spy).n_evaluations == 4
    assert spy.n_asked == [58, 4]


def test_values_that_are_not_finite_leave_every_view_empty_with_a_reason():
    inner = and_gate(4, 4)

    class Broken:
        players = inner.players

        def __call__(self, coalitions):
            return np.where(coalitions.all(axis=1), np.inf, inner(coalitions))

    with np.errstate(invalid="ignore"):
        score = synergistic_faithfulness(Broken(), attribute(inner, np.arange(8)))
        views = [score, score.paper, score.normalised, score.interior, total_interaction(Broken())]
    for view in views:
        assert np.isnan(view.value)
        assert "not finite" in view.reason


def test_scores_are_frozen_and_carry_their_metric():
    game, attribution = random_case(0, 3, 3)
    score = synergistic_faithfulness(game, attribution)
    with pytest.raises(dataclasses.FrozenInstanceError):
        score.value = 0.0
    low, high = score.metric.range
    assert (low, high) == (-2, 2)
    assert score.value == pytest.approx(auc(score.curve, score.fractions), abs=TOLERANCE)
