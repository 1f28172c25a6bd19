"""The paper's macro-game."""

import itertools
import math

import numpy as np
import pytest
from support.random_games import attribute

from toolkit.games.analytic import SumOfUnanimityGames, and_gate, or_gate
from toolkit.games.enumerate import CancelledError
from toolkit.games.game import Players, TableGame
from toolkit.synergy.f_syn import synergistic_faithfulness, total_interaction
from toolkit.synergy.macro_sii import background_groups, macro_game_sii
from toolkit.synergy.ordering import curve_fractions, top_coalitions

TOLERANCE = 1e-12


def random_case(seed):
    rng = np.random.default_rng(seed)
    players = Players.make(tuple(f"i{i}" for i in range(7)), tuple(f"t{i}" for i in range(5)))
    game = TableGame(players, rng.normal(size=2**12))
    return game, attribute(game, rng.random(12))


def test_one_background_player_is_f_syn():
    game, attribution = random_case(0)
    macro = macro_game_sii(game, attribution, rng=np.random.default_rng(0), n_background=1)
    assert np.abs(macro.curve - synergistic_faithfulness(game, attribution).curve).max() <= TOLERANCE


def test_against_a_second_implementation_of_the_macro_game():
    game, attribution = random_case(1)
    macro = macro_game_sii(game, attribution, 4, rng=np.random.default_rng(5), n_background=3)
    rng = np.random.default_rng(5)
    image = top_coalitions(attribution, "image", curve_fractions(4))
    text = top_coalitions(attribution, "text", curve_fractions(4))
    for k in range(5):
        blocks = background_groups(game.players, image[k] | text[k], 3, rng)
        expected = 0.0
        for size in range(4):
            weight = math.factorial(size) * math.factorial(3 - size) / math.factorial(4)
            for chosen in itertools.combinations(blocks, size):
                around = np.zeros(12, dtype=bool)
                around[np.concatenate([np.empty(0, dtype=int), *chosen])] = True
                rows = np.stack([around | image[k] | text[k], around | image[k], around | text[k], around])
                expected += weight * (game(rows) @ [1, -1, -1, 1])
        assert macro.curve[k] == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("gate", [and_gate, or_gate])
def test_the_ends_are_zero_and_the_total_interaction(gate):
    game = gate(36, 8, image=[3, 4], text=[2])
    attribution = attribute(game, np.random.default_rng(0).random(44))
    macro = macro_game_sii(game, attribution, rng=np.random.default_rng(0))
    assert macro.curve[0] == 0
    assert macro.curve[-1] == pytest.approx(total_interaction(game).value, abs=TOLERANCE)
    assert len(macro.curve) == 11


def test_it_agrees_with_f_syn_where_the_background_has_no_part():
    game = and_gate(36, 8, image=[3], text=[2])
    oracle = np.zeros(44)
    oracle[[3, 38]] = 1
    macro = macro_game_sii(game, attribute(game, oracle), rng=np.random.default_rng(0))
    assert macro.value == pytest.approx(0.95, abs=TOLERANCE)


def test_blocks_share_out_everybody_else_evenly():
    players = Players.make(tuple(map(str, range(17))), tuple("abcdefgh"))
    taken = np.zeros(25, dtype=bool)
    taken[[0, 20]] = True
    blocks = background_groups(players, taken, 6, np.random.default_rng(0))
    assert sorted(np.concatenate(blocks).tolist()) == [i for i in range(25) if i not in (0, 20)]
    images = [int((b < 17).sum()) for b in blocks]
    texts = [int((b >= 17).sum()) for b in blocks]
    assert max(images) - min(images) <= 1
    assert max(texts) - min(texts) <= 1
    assert not np.array_equal(blocks[0], background_groups(players, taken, 6, np.random.default_rng(1))[0])


def test_cost_progress_and_cancellation():
    game = SumOfUnanimityGames(
        Players.make(tuple(map(str, range(100))), tuple(map(str, range(60)))), {(3, 120): 1.0, (5,): 0.2}
    )
    attribution = attribute(game, np.random.default_rng(0).random(160))
    seen = []
    macro = macro_game_sii(
        game, attribution, rng=np.random.default_rng(0), progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1024, 2816), (2048, 2816), (2816, 2816)]
    # Nine games of 256; at k = 0 two players are empty (64), at k = 1 six are (4); all share two coalitions.
    assert macro.n_evaluations == 9 * 256 + 64 + 4 - 2 * 10
    with pytest.raises(CancelledError, match="stopped after 0 of 2816"):
        macro_game_sii(game, attribution, rng=np.random.default_rng(0), cancelled=lambda: True)


@pytest.mark.parametrize("n_background", [0, 15])
def test_the_number_of_background_players_is_checked(n_background):
    game, attribution = random_case(0)
    with pytest.raises(ValueError, match="between 1 and 14"):
        macro_game_sii(game, attribution, rng=np.random.default_rng(0), n_background=n_background)
