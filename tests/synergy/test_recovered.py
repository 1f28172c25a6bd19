import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.audit.metrics.gate_games import corner_effect
from toolkit.games.analytic import NoisyGame, SumOfUnanimityGames, additive, and_gate, or_gate, xor_gate
from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame, Players, TableGame
from toolkit.synergy import METRICS
from toolkit.synergy.gain import gain_coalitions
from toolkit.synergy.interaction_sign import CONTRADICTION, read_sign, sign_coalitions
from toolkit.synergy.ordering import random_attributions, reference_orderings
from toolkit.synergy.recovered import SURFACE_RECOVERED, recovered_coalitions, recovered_synergy, surface_steps
from toolkit.synergy.surface import synergy_surface

CELLS, WORDS = 9, 4


def gate(make):
    return make(CELLS, WORDS, image=(4,), text=(1,))


def best(game, sign=1.0):
    scores = np.zeros(game.players.n)
    scores[[4, CELLS + 1]] = sign
    return Attribution(scores, game.players, "oracle", "")


@pytest.mark.parametrize(("make", "scale"), [(and_gate, 1), (or_gate, 1), (xor_gate, 2)])
def test_the_evidence_leads_on_every_gate(make, scale):
    game = gate(make)
    oracle, anti = recovered_synergy(game, best(game)), recovered_synergy(game, best(game, -1.0))
    draws = random_attributions(game.players, 40, 5)
    random = np.mean([recovered_synergy(game, d).value for d in draws])
    assert oracle.value > random + 0.2 * scale
    assert random - 0.1 * scale > anti.value
    assert oracle.value == pytest.approx(scale * recovered_synergy(gate(and_gate), best(game)).value)


def test_value_is_the_interior_mean_of_the_surface_less_the_random_one():
    game = gate(or_gate)
    score = recovered_synergy(game, best(game), 5, n_random=4, seed=3)
    own = synergy_surface(game, best(game), 5).mean[1:-1, 1:-1].mean()
    draws = reference_orderings(game.players, 4, 3)
    random = np.mean([synergy_surface(game, d, 5).mean[1:-1, 1:-1].mean() for d in draws])
    assert score.value == pytest.approx(-(own - random), abs=1e-12)
    assert score.curve.mean() == pytest.approx(score.value, abs=1e-12)
    assert score.interaction.total == -1.0


def test_nothing_joint_is_not_scored():
    game = gate(additive)
    score = recovered_synergy(game, best(game))
    assert np.isnan(score.value)
    assert "nothing to recover" in str(score.reason)


def test_noise_alone_scores_zero_on_average():
    players = and_gate(CELLS, WORDS).players
    nothing = SumOfUnanimityGames(players, {})
    scores = [recovered_synergy(NoisyGame(nothing, 0.2, s), best(nothing), 4, n_random=4) for s in range(120)]
    assert {score.reason is None or score.reason.startswith(CONTRADICTION) for score in scores} == {True}
    scores = [score.value for score in scores if score.reason is None]
    error = np.std(scores, ddof=1) / np.sqrt(len(scores))
    assert abs(np.mean(scores)) < 4 * error
    assert error < 0.02
    assert 15 < len(scores) < 50  # three independent readings of the sign agree by chance in one case of four


def redundant_questions(n):
    """Redundant samples that differ in their question; the same two of six words decide in all of them."""
    rng = np.random.default_rng(0)
    for number in range(n):
        gate = or_gate(36, 6, image=rng.choice(36, 2, replace=False), text=(0, 2))
        words = ("is", "there", "a", f"colour {number}", f"shape {number}", "?")
        yield SumOfUnanimityGames(
            Players.make(gate.players.labels[:36], words), {tuple(t): d for t, d in gate.dividends.items()}
        )


@pytest.mark.parametrize("metric", [SURFACE_RECOVERED.name, "f-syn-recovered"])
def test_a_constant_map_scores_zero_on_redundant_samples(metric):
    """With the same word orders for every sample it scored +.035 with a standard error of .009 over 22 samples."""
    scores = [
        METRICS[metric](game, Attribution(np.zeros(42), game.players, "constant", "")).value
        for game in redundant_questions(22)
    ]
    error = np.std(scores, ddof=1) / np.sqrt(22)
    assert abs(np.mean(scores)) < 3 * error < 0.1


@pytest.mark.parametrize("metric", ["f-syn", "f-syn-paper", "f-syn-volume"])
def test_every_metric_averages_over_orders_of_its_own_sample(metric):
    """One set of orders for all samples would give all of them the same score."""
    scores = [
        METRICS[metric](game, Attribution(np.zeros(42), game.players, "constant", "")).value
        for game in (SumOfUnanimityGames(g.players, {(0, 36, 38): 1.0}) for g in redundant_questions(8))
    ]
    assert len(set(np.round(scores, 9))) >= 4
    assert np.std(scores) < 0.15


@given(st.integers(0, 10**6))
def test_a_constant_map_gains_no_relevance_in_any_game(seed):
    """Each order comes with its reverse, whose insertion curve is the order's deletion curve read from its end."""
    players = and_gate(4, 4).players
    game = TableGame(players, np.random.default_rng(seed).normal(size=2**8))
    flat = Attribution(np.zeros(8), players, "constant", "")
    for metric in ("srg-image", "srg-text"):
        assert METRICS[metric](game, flat).value == pytest.approx(0, abs=1e-12)


def test_the_sign_is_read_inside_and_a_contradiction_is_not_scored():
    """AND(c, w) = 1 with an effect of the complete input alone: D = -.20, and the sign of D puts the oracle last."""
    game = corner_effect()
    scores = np.zeros(42)
    scores[[14, 37]] = 1.0
    for sign in (1.0, -1.0):
        found = recovered_synergy(game, Attribution(sign * scores, game.players, "test", ""), 5)
        assert found.interaction.total == pytest.approx(-0.2)
        assert found.interaction.sign == 1.0
        assert np.isnan(found.value)
        assert str(found.reason).startswith(CONTRADICTION)
    small = corner_effect(0.8)  # D = +.20: nothing is contradicted, and the same interior decides
    best, worst = (
        recovered_synergy(small, Attribution(s * scores, small.players, "test", ""), 5).value for s in (1, -1)
    )
    assert best > 0.5
    assert worst < -0.2


def test_the_reading_inside_moves_the_cells_and_never_asks_a_corner():
    players = and_gate(36, 6).players
    asked = sign_coalitions(players)
    both, low, alone, neither = asked.reshape(-1, 4, 42).transpose(1, 0, 2)
    assert (both[:, 36:].all(), low[:, 36:].all(), alone[:, 36:].any(), neither[:, 36:].any()) == (1, 1, 0, 0)
    assert set(both[:, :36].sum(axis=1)) == {32}
    assert set(low[:, :36].sum(axis=1)) == {4}
    values = and_gate(36, 6, image=[3], text=[2])(asked)
    inside = read_sign(values, 1.0).inside
    assert np.mean(inside) == pytest.approx(np.mean(both[:, 3] & ~low[:, 3]))
    for draw in reference_orderings(players, 8, 0):
        gain = {row.tobytes() for row in recovered_coalitions(draw, 5)[:-32]}
        assert not gain & {row.tobytes() for row in asked}


def test_registered_with_the_cells_that_it_reads():
    game = CachedGame(gate(and_gate))
    metric = METRICS[SURFACE_RECOVERED.name]
    cells = metric.coalitions(best(game), 10)
    assert cells.tolist() == recovered_coalitions(best(game), 5).tolist()
    game(np.unique(cells, axis=0))
    before = game.n_evaluations
    assert metric(game, best(game), 10).value == recovered_synergy(game, best(game), 5).value
    assert game.n_evaluations == before


def test_half_the_steps_show_no_new_picture():
    game = gate(and_gate)
    draw = reference_orderings(game.players, 4, 0)[0]
    surface = {row.tobytes() for row in recovered_coalitions(draw, surface_steps(10))[:, :CELLS]}
    curve = {row.tobytes() for row in gain_coalitions(draw, 10)[:, :CELLS]}
    assert surface <= curve


def test_wrong_arguments_are_refused():
    game = gate(and_gate)
    with pytest.raises(ValueError, match="at least 2 steps"):
        recovered_synergy(game, best(game), 1)
    with pytest.raises(ValueError, match="4 random orderings"):
        recovered_synergy(game, best(game), n_random=2)
