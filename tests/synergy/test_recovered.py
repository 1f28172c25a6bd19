import numpy as np
import pytest

from toolkit.games.analytic import NoisyGame, SumOfUnanimityGames, additive, and_gate, or_gate, xor_gate
from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame
from toolkit.synergy import METRICS
from toolkit.synergy.gain import gain_coalitions
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
    scores = [recovered_synergy(NoisyGame(nothing, 0.2, s), best(nothing), 4, n_random=4).value for s in range(120)]
    error = np.std(scores, ddof=1) / np.sqrt(len(scores))
    assert abs(np.mean(scores)) < 4 * error
    assert error < 0.02


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
