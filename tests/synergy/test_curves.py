"""Insertion and deletion of one modality."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_games import Spy, attribute

from toolkit.games.analytic import SumOfUnanimityGames, and_gate, or_gate
from toolkit.games.game import Players
from toolkit.synergy.ordering import curve_fractions
from toolkit.synergy.srg import auc, insertion_deletion

TOLERANCE = 1e-12


@given(st.floats(-5, 5), st.integers(1, 30))
def test_the_area_under_a_constant_is_the_constant(c, steps):
    assert auc(np.full(steps + 1, c), curve_fractions(steps)) == pytest.approx(c, abs=TOLERANCE)


@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_constant_game_has_areas_c_and_no_gain(modality):
    players = Players.make(("a", "b", "c"), ("d", "e"))
    game = SumOfUnanimityGames(players, {(): 0.3})
    curves = insertion_deletion(game, attribute(game, [1, 2, 3, 4, 5]), modality=modality)
    assert curves.auc_insertion == pytest.approx(0.3, abs=TOLERANCE)
    assert curves.auc_deletion == pytest.approx(0.3, abs=TOLERANCE)
    assert curves.srg.value == pytest.approx(0, abs=TOLERANCE)


def test_the_curves_are_the_values_of_their_definition():
    players = Players.make(("a", "b"), ("c", "d"))
    game = SumOfUnanimityGames(players, {(0,): 0.1, (1,): 0.4, (2,): 0.2, (1, 2): 0.3, (0, 3): -0.5})
    image = insertion_deletion(game, attribute(game, [2, 1, 2, 1]), modality="image", steps=2)
    assert image.fractions.tolist() == [0, 0.5, 1]
    assert image.insertion == pytest.approx([0.2, 0.2 + 0.1 - 0.5, 0.5], abs=TOLERANCE)
    assert image.deletion == pytest.approx([0.5, 0.2 + 0.4 + 0.3, 0.2], abs=TOLERANCE)
    text = insertion_deletion(game, attribute(game, [2, 1, 2, 1]), modality="text", steps=2)
    assert text.insertion == pytest.approx([0.5, 0.5 + 0.2 + 0.3, 0.5], abs=TOLERANCE)
    assert text.deletion == pytest.approx([0.5, 0.5 - 0.5, 0.5], abs=TOLERANCE)
    assert image.srg.value == pytest.approx(image.auc_insertion - image.auc_deletion, abs=TOLERANCE)
    assert auc(image.srg.curve, image.fractions) == pytest.approx(image.srg.value, abs=TOLERANCE)


@pytest.mark.parametrize("modality", ["image", "text"])
def test_the_oracle_scores_best_its_reverse_worst_and_random_between(modality):
    game = and_gate(20, 20, image=[4], text=[9])
    oracle = np.zeros(40)
    oracle[[4, 29]] = 1
    rng = np.random.default_rng(0)
    best = insertion_deletion(game, attribute(game, oracle), modality=modality).srg.value
    worst = insertion_deletion(game, attribute(game, -oracle), modality=modality).srg.value
    draws = [insertion_deletion(game, attribute(game, rng.random(40)), modality=modality).srg.value for _ in range(200)]
    assert best == pytest.approx(0.9, abs=TOLERANCE)
    assert worst == pytest.approx(-0.9, abs=TOLERANCE)
    assert all(worst <= draw <= best for draw in draws)
    assert abs(np.mean(draws)) <= 4 * np.std(draws, ddof=1) / np.sqrt(200)


def test_redundancy_hides_the_evidence_from_both_unimodal_metrics():
    game = or_gate(20, 20, image=[4], text=[9])
    oracle = np.zeros(40)
    oracle[[4, 29]] = 1
    for modality in ("image", "text"):
        assert insertion_deletion(game, attribute(game, oracle), modality=modality).srg.value == 0


def test_all_coalitions_are_asked_in_one_call_and_counted():
    spy = Spy(and_gate(40, 20))
    curves = insertion_deletion(spy, attribute(spy, np.arange(60)), modality="image")
    assert spy.n_asked == [20]
    assert curves.srg.n_evaluations == 20


def test_tie_breaks_are_averaged():
    game = and_gate(12, 12, image=[0], text=[0])
    flat = attribute(game, np.zeros(24))
    single = [insertion_deletion(game, flat, modality="image", tie_seeds=[s]).insertion for s in range(3)]
    together = insertion_deletion(game, flat, modality="image", tie_seeds=range(3))
    assert together.insertion == pytest.approx(np.mean(single, axis=0), abs=TOLERANCE)
    assert not np.array_equal(single[0], single[1])


def test_values_that_are_not_finite_leave_the_score_empty_with_a_reason():
    inner = and_gate(4, 4)

    class Broken:
        players = inner.players

        def __call__(self, coalitions):
            return np.where(coalitions.all(axis=1), np.nan, inner(coalitions))

    curves = insertion_deletion(Broken(), attribute(inner, np.arange(8)), modality="text", steps=2)
    assert np.isnan(curves.srg.value)
    assert "2 values that are not finite among 6" in curves.srg.reason
