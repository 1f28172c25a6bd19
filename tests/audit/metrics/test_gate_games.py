"""The mathematics of the corrected score, by brute force, and the write-up's numbers."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import toolkit.audit.metrics
from toolkit.audit.metrics import gate_games as gates
from toolkit.games.analytic import SumOfUnanimityGames, and_gate, or_gate, xor_gate
from toolkit.games.attribution import Attribution
from toolkit.games.game import Players, TableGame, corner_coalitions
from toolkit.synergy.f_syn import synergistic_faithfulness, total_interaction
from toolkit.synergy.gain import synergy_gain
from toolkit.synergy.ordering import reference_orderings
from toolkit.synergy.recovered import recovered_synergy

TOLERANCE = 1e-12


def drawn(seed: int, n_image: int, n_text: int) -> tuple[TableGame, Attribution]:
    rng = np.random.default_rng(seed)
    players = Players.make(tuple(f"i{i}" for i in range(n_image)), tuple(f"t{i}" for i in range(n_text)))
    game = TableGame(players, rng.normal(size=2**players.n))
    return game, Attribution(rng.integers(0, 3, players.n).astype(float), players, "test", "")


class WithCorners:
    """A game whose four corners are moved and nothing else."""

    def __init__(self, game: TableGame, moves: list[float]) -> None:
        self.game, self.players, self.moves = game, game.players, moves

    def __call__(self, coalitions):
        values = self.game(coalitions).copy()
        for corner, move in zip(corner_coalitions(self.players), self.moves, strict=True):
            values[(coalitions == corner).all(axis=1)] += move
        return values


cases = st.builds(drawn, st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4))


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(2, 11), st.lists(st.floats(-5, 5), min_size=4, max_size=4))
def test_the_four_corners_decide_whether_a_sample_is_scored_and_never_what_it_scores(case, steps, moves):
    """Neither the gain nor the sign inside contains one: a corner can contradict the sign, and no more."""
    game, attribution = case
    moved = WithCorners(game, moves)
    for score in (synergy_gain, recovered_synergy):
        plain, other = (score(g, attribution, steps, n_random=4) for g in (game, moved))
        if plain.reason is None and other.reason is None:
            assert other.value == pytest.approx(plain.value, abs=1e-10)
        totals = plain.interaction.total, other.interaction.total
        assert totals[1] == pytest.approx(totals[0] + moves[0] - moves[1] - moves[2] + moves[3], abs=1e-10)
        if game.players.n_image > 2:
            assert other.interaction.inside == pytest.approx(plain.interaction.inside, abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(cases)
def test_redundancy_turns_every_score_round(case):
    """F_syn sees nothing that one modality does alone: OR = x + y - AND scores -AND, and XOR -2 AND, in any order."""
    game, attribution = case
    n_image, n_text = game.players.n_image, game.players.n_text
    found = {make: synergistic_faithfulness(make(n_image, n_text), rename(attribution)).curve
             for make in (and_gate, or_gate, xor_gate)}  # fmt: skip
    np.testing.assert_allclose(found[or_gate], -found[and_gate], atol=TOLERANCE)
    np.testing.assert_allclose(found[xor_gate], -2 * found[and_gate], atol=TOLERANCE)
    alone = {(0,): 0.7, tuple(range(n_image)): -0.3, (n_image,): 0.4}
    one_modality = SumOfUnanimityGames(game.players, {k: v for k, v in alone.items() if k})
    assert np.abs(synergistic_faithfulness(one_modality, attribution).curve).max() <= TOLERANCE


def rename(attribution: Attribution) -> Attribution:
    players = and_gate(attribution.players.n_image, attribution.players.n_text).players
    return Attribution(attribution.scores, players, "test", "")


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_the_random_level_is_the_mean_over_all_orderings(m, n):
    cells, words = 4, 3
    players = Players.make(tuple("abcd"), tuple("xyz"))
    game = SumOfUnanimityGames(players, {(*range(m), *range(cells, cells + n)): 1.0})
    scores = [
        synergistic_faithfulness(game, Attribution(np.array(i + t, dtype=float), players, "test", ""), 7).value
        for i in itertools.permutations(range(cells))
        for t in itertools.permutations(range(words))
    ]
    assert gates.random_level(m, n, n_image=cells, n_text=words, steps=7) == pytest.approx(np.mean(scores), abs=1e-12)


def test_the_random_level_has_its_limit_and_lies_between_a_quarter_and_a_half():
    for m, n in itertools.product((1, 2, 3), repeat=2):
        fine = gates.random_level(m, n, n_image=3000, n_text=3000, steps=1000)
        assert fine == pytest.approx(gates.limit_level(m, n), abs=2e-3)
    levels = [gates.limit_level(m, n) for m, n in itertools.product((1, 2, 5, 50, 5000), repeat=2)]
    assert 0.25 < min(levels) < 0.26
    assert 0.49 < max(levels) < 0.5


def test_the_random_level_adds_up_over_dividends():
    """Linear in the game: each mixed dividend brings its own level, single ones nothing."""
    game = gates.three_way_xor()
    expected = sum(
        d * gates.random_level(sum(p < 36 for p in t), sum(p >= 36 for p in t))
        for t, d in game.dividends.items()
        if any(p < 36 for p in t) and any(p >= 36 for p in t)
    )
    draws = reference_orderings(game.players, 1000, 0)
    scores = [synergistic_faithfulness(game, draw).value for draw in draws]
    assert np.mean(scores) == pytest.approx(expected, abs=4 * np.std(scores) / np.sqrt(len(scores)) + 1e-9)


def test_within_a_sample_the_score_is_the_interior_of_f_syn_turned_by_the_sign():
    """The correction moves the zero and the sign of a sample; it never re-orders the explainers of one."""
    for make, sign in ((and_gate, 1), (or_gate, -1)):
        game = make(6, 4, image=(1, 4), text=(2,))
        rng = np.random.default_rng(0)
        maps = [Attribution(rng.random(10), game.players, "test", "") for _ in range(6)]
        recovered = [synergy_gain(game, a).recovered.value for a in maps]
        plain = [synergistic_faithfulness(game, a).interior.value for a in maps]
        np.testing.assert_allclose(np.diff(recovered), sign * np.diff(plain), atol=1e-12)


def test_a_parity_of_three_is_invisible_to_any_pair_of_groups():
    game = gates.three_way_xor()
    assert total_interaction(game).value == 0
    assert sum(abs(d) for t, d in game.dividends.items() if {p >= 36 for p in t} == {True, False}) == 8
    best = Attribution(gates.evidence(), game.players, "oracle", "")
    assert synergy_gain(game, best).recovered.reason is not None


@pytest.mark.parametrize("game", ["image only", "text only"])
def test_one_modality_alone_leaves_nothing_to_recover(game):
    alone = gates.GAMES[game]()
    best = Attribution(gates.evidence(), alone.players, "oracle", "")
    assert synergistic_faithfulness(alone, best).value == 0
    assert "nothing to recover" in synergy_gain(alone, best).recovered.reason


def test_references_are_shared_by_explainers_and_differ_between_questions():
    one = Players.make(("a", "b", "c"), ("is", "red"))
    other = Players.make(("a", "b", "c"), ("is", "blue"))
    first, again, second = (reference_orderings(p, 4, 0) for p in (one, one, other))
    assert all(np.array_equal(a.scores, b.scores) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.scores, b.scores) for a, b in zip(first, second, strict=True))


@pytest.mark.slow
def test_the_write_up_holds_the_computed_numbers():
    page = Path(toolkit.audit.metrics.__file__).with_name("CORRECTED_SCORE.md").read_text(encoding="utf-8")
    block = page[page.index(gates.START) : page.index(gates.END) + len(gates.END)]
    assert block == gates.markdown(), (
        "run python -m toolkit.audit.metrics.gate_games and put its output into CORRECTED_SCORE.md"
    )
