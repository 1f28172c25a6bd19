"""Dividends, Shapley values and interaction indices against oracles, a second implementation and shapiq."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_games import Spy

from toolkit.games.analytic import NoisyGame, SumOfUnanimityGames, additive, and_gate, or_gate, xor_gate
from toolkit.games.enumerate import CancelledError, evaluate
from toolkit.games.game import CachedGame, Players, QuotientGame, TableGame, all_coalitions
from toolkit.games.interactions import harsanyi_dividends, pair_index, shapley_interaction_index, shapley_values

TOLERANCE = 1e-12


def macro(n):
    return Players.macro([f"p{i}" for i in range(n)])


def random_game(seed, n):
    return TableGame(macro(n), np.random.default_rng(seed).normal(size=2**n))


games = st.builds(random_game, st.integers(0, 10**6), st.integers(2, 7))


def value(game, members):
    coalition = np.zeros((1, game.players.n), dtype=bool)
    coalition[0, list(members)] = True
    return float(game(coalition)[0])


def brute_dividend(game, members):
    subsets = itertools.chain.from_iterable(itertools.combinations(members, r) for r in range(len(members) + 1))
    return sum((-1) ** (len(members) - len(t)) * value(game, t) for t in subsets)


def brute_shapley(game):
    n = game.players.n
    gains = np.zeros(n)
    for order in itertools.permutations(range(n)):
        for position, player in enumerate(order):
            gains[player] += value(game, order[: position + 1]) - value(game, order[:position])
    return gains / math.factorial(n)


def brute_index(game, i, j):
    others = [p for p in range(game.players.n) if p not in (i, j)]
    n = game.players.n
    total = 0.0
    for size in range(len(others) + 1):
        weight = math.factorial(size) * math.factorial(n - size - 2) / math.factorial(n - 1)
        for s in itertools.combinations(others, size):
            total += weight * (value(game, (*s, i, j)) - value(game, (*s, i)) - value(game, (*s, j)) + value(game, s))
    return total


@pytest.mark.parametrize(("gate", "dividend"), [(and_gate, 1.0), (or_gate, -1.0), (xor_gate, -2.0), (additive, 0.0)])
@pytest.mark.parametrize("layout", [{}, {"n_image": 4, "n_text": 3, "image": [1, 2], "text": [0]}])
def test_gates_have_their_known_dividend(gate, dividend, layout):
    game = gate(**layout)
    image, text = game.players.of("image"), game.players.of("text")
    two = QuotientGame(game, [image, text])
    assert harsanyi_dividends(two)[3] == pytest.approx(dividend, abs=TOLERANCE)
    assert float(shapley_interaction_index(game, image, text)) == pytest.approx(dividend, abs=TOLERANCE)


def test_gates_answer_as_their_truth_tables_say():
    rows = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=bool)
    assert and_gate()(rows).tolist() == [0, 0, 0, 1]
    assert or_gate()(rows).tolist() == [0, 1, 1, 1]
    assert xor_gate()(rows).tolist() == [0, 1, 1, 0]
    assert additive()(rows).tolist() == [0, 0.5, 0.5, 1]
    with pytest.raises(ValueError, match="evidence in both modalities, got 1 cells and 0 words"):
        and_gate(text=[])


@settings(max_examples=40)
@given(
    st.integers(1, 7).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.dictionaries(st.frozensets(st.integers(0, n - 1)).map(lambda t: tuple(sorted(t))), st.floats(-3, 3)),
        )
    )
)
def test_dividends_that_go_in_come_out(case):
    n, terms = case
    dividends = harsanyi_dividends(SumOfUnanimityGames(macro(n), terms))
    expected = np.zeros(2**n)
    for members, weight in terms.items():
        expected[sum(1 << i for i in members)] = weight
    assert np.abs(dividends - expected).max() <= TOLERANCE


def test_a_sum_of_unanimity_games_rejects_a_coalition_named_twice():
    with pytest.raises(ValueError, match="named twice"):
        SumOfUnanimityGames(macro(2), {(0, 1): 1.0, (1, 0): 2.0})
    with pytest.raises(ValueError, match="between 0 and 1"):
        SumOfUnanimityGames(macro(2), {(2,): 1.0})


@pytest.mark.parametrize("seed", range(3))
def test_against_a_second_implementation(seed):
    game = random_game(seed, 5)
    dividends = harsanyi_dividends(game)
    for number, row in enumerate(all_coalitions(5)):
        assert dividends[number] == pytest.approx(brute_dividend(game, np.flatnonzero(row)), abs=TOLERANCE)
    assert np.abs(shapley_values(game) - brute_shapley(game)).max() <= TOLERANCE
    for i, j in itertools.permutations(range(5), 2):
        found = shapley_interaction_index(game, [i], [j], groups="players")
        assert found.value == pytest.approx(brute_index(game, i, j), abs=TOLERANCE)
        assert (found.n_players, found.n_evaluations, found.estimated) == (5, 32, False)


def test_against_the_exact_computer_of_shapiq():
    shapiq = pytest.importorskip("shapiq", reason="shapiq is not importable here")
    game = random_game(7, 6)
    exact = shapiq.ExactComputer(lambda c: game(np.atleast_2d(c).astype(bool)), n_players=6)
    pairs = exact("SII", order=2)
    dividends = exact("Moebius", order=6)
    shapley = exact("SV", order=1)
    for i, j in itertools.combinations(range(6), 2):
        assert pair_index(game.values, i, j) == pytest.approx(float(pairs[(i, j)]), abs=TOLERANCE)
    ours = harsanyi_dividends(game)
    for number, row in enumerate(all_coalitions(6)[1:], start=1):
        assert ours[number] == pytest.approx(float(dividends[tuple(np.flatnonzero(row).tolist())]), abs=TOLERANCE)
    assert np.abs(shapley_values(game) - [float(shapley[(i,)]) for i in range(6)]).max() <= TOLERANCE


@given(games)
def test_shapley_values_are_efficient(game):
    assert shapley_values(game).sum() == pytest.approx(game.values[-1] - game.values[0], abs=TOLERANCE)


@given(games)
def test_symmetric_players_get_the_same(game):
    n = game.players.n
    swapped = all_coalitions(n)[:, [1, 0, *range(2, n)]]
    symmetric = TableGame(game.players, (game.values + game(swapped)) / 2)
    shapley = shapley_values(symmetric)
    assert shapley[0] == pytest.approx(shapley[1], abs=TOLERANCE)
    for other in range(2, n):
        left, right = pair_index(symmetric.values, 0, other), pair_index(symmetric.values, 1, other)
        assert left == pytest.approx(right, abs=TOLERANCE)


@given(games)
def test_a_null_player_gets_nothing(game):
    n = game.players.n
    with_null = TableGame(macro(n + 1), np.concatenate([game.values, game.values]))
    shapley = shapley_values(with_null)
    assert abs(shapley[n]) <= TOLERANCE
    assert np.abs(shapley[:n] - shapley_values(game)).max() <= TOLERANCE
    assert all(abs(pair_index(with_null.values, i, n)) <= TOLERANCE for i in range(n))
    assert np.abs(harsanyi_dividends(with_null)[2**n :]).max() <= TOLERANCE


@given(st.integers(0, 10**6), st.integers(2, 6), st.floats(-2, 2), st.floats(-2, 2))
def test_all_indices_are_linear(seed, n, a, b):
    left, right = random_game(seed, n), random_game(seed + 1, n)
    mixed = TableGame(macro(n), a * left.values + b * right.values)
    for index in (harsanyi_dividends, shapley_values, lambda g: np.array([pair_index(g.values, 0, n - 1)])):
        assert np.abs(index(mixed) - a * index(left) - b * index(right)).max() <= TOLERANCE


def test_groups_divide_the_others():
    game = random_game(3, 6)
    merged = shapley_interaction_index(game, [0], [4, 5], groups=[[1, 2], [3]])
    quotient = QuotientGame(game, [[0], [4, 5], [1, 2], [3]])
    assert merged.value == pytest.approx(brute_index(quotient, 0, 1), abs=TOLERANCE)
    assert merged.n_evaluations == 16
    assert shapley_interaction_index(game, [0], [4, 5], groups=[[1, 2, 3]]) == shapley_interaction_index(
        game, [0], [4, 5]
    )


def test_an_empty_group_has_no_interaction():
    found = shapley_interaction_index(random_game(3, 4), [], [1, 2])
    assert found.value == 0.0
    assert found.n_evaluations == 4


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ([0], [0, 1], {}, r"players \[0\] are in more than one"),
        ([0], [1], {"groups": [[2]]}, r"players \[3\] are in no group; the groups must"),
        ([0], [1], {"groups": [[2, 1], [3]]}, r"players \[1\] are in more than one"),
        ([0], [1], {"groups": "others"}, "must be 'rest', 'players'"),
        ([0], [7], {}, "between 0 and 3"),
    ],
)
def test_bad_groups_are_rejected_by_the_index(a, b, options, message):
    with pytest.raises(ValueError, match=message):
        shapley_interaction_index(random_game(0, 4), a, b, **options)


def test_too_many_players_are_refused_with_the_way_out():
    wide = SumOfUnanimityGames(macro(21), {(0, 1): 1.0})
    for enumerate_all in (harsanyi_dividends, shapley_values):
        with pytest.raises(ValueError, match=r"21 players, so 2\^21 coalitions; enumeration stops at 20"):
            enumerate_all(wide)
    with pytest.raises(ValueError, match=r"21 players; exact enumeration stops at 16.* give a budget"):
        shapley_interaction_index(wide, [0], [1], groups="players")
    with pytest.raises(ValueError, match="give a budget"):
        shapley_interaction_index(wide, [0], [1], groups="players", budget=1000)
    with pytest.raises(ValueError, match="two different players between 0 and 2, got 1 and 1"):
        pair_index(np.zeros(8), 1, 1)


@pytest.mark.parametrize("estimator", ["shapiq", "pairs"])
def test_estimates_agree_with_the_exact_index_within_four_standard_errors(estimator):
    rng = np.random.default_rng(0)
    terms = {tuple(np.flatnonzero(rng.random(14) < 0.2).tolist()): float(rng.normal()) for _ in range(40)}
    game = SumOfUnanimityGames(macro(14), {**terms, (0, 1): 0.5, (0, 1, 2): -0.8})
    exact = shapley_interaction_index(game, [0], [1], groups="players")
    found = shapley_interaction_index(
        game, [0], [1], groups="players", budget=4000, rng=np.random.default_rng(1), estimator=estimator
    )
    assert found.estimated
    assert (found.estimator, found.budget) == (estimator, 4000)
    assert 0 < found.standard_error < 0.2
    assert abs(found.value - exact.value) <= 4 * found.standard_error
    assert found.n_evaluations <= 4000
    assert found.degrees_of_freedom == {"shapiq": 7, "pairs": 999}[estimator]
    reach = {"shapiq": 2.3646, "pairs": 1.9623}[estimator] * found.standard_error  # Student's t at .975
    assert found.interval() == pytest.approx((found.value - reach, found.value + reach), abs=1e-4)
    assert exact.interval() == (exact.value, exact.value)


def test_estimates_of_a_wide_game_find_a_known_interaction():
    wide = SumOfUnanimityGames(macro(24), {(0, 1): 1.0, (2, 3, 4): 1.0, (5,): 0.3})
    found = shapley_interaction_index(wide, [0], [1], groups="players", budget=400, rng=np.random.default_rng(0))
    assert found.estimator == "pairs"
    assert found.value == pytest.approx(1.0, abs=TOLERANCE)


@pytest.mark.parametrize("estimator", ["shapiq", "pairs"])
def test_estimates_weigh_the_sizes_of_coalitions_as_shapley_does(estimator):
    game = SumOfUnanimityGames(macro(12), {(0, 1, 2, 3, 4, 5): 1.0})
    found = shapley_interaction_index(
        game, [0], [1], groups="players", budget=4000, rng=np.random.default_rng(2), estimator=estimator
    )
    assert abs(found.value - 1 / 5) <= 4 * found.standard_error
    assert found.standard_error < 0.03


@pytest.mark.parametrize(("estimator", "smallest"), [("shapiq", 200), ("pairs", 7)])
def test_a_budget_that_is_too_small_is_refused(estimator, smallest):
    with pytest.raises(ValueError, match="too small"):
        shapley_interaction_index(
            random_game(0, 12),
            [0],
            [1],
            groups="players",
            budget=smallest,
            rng=np.random.default_rng(0),
            estimator=estimator,
        )


def test_an_unknown_estimator_is_refused():
    with pytest.raises(ValueError, match="unknown estimator 'exact'"):
        shapley_interaction_index(
            random_game(0, 6), [0], [1], groups="players", budget=8, rng=np.random.default_rng(0), estimator="exact"
        )


def test_long_enumerations_report_progress_and_can_be_stopped():
    game = CachedGame(NoisyGame(and_gate(6, 6), 0.1, seed=0))
    seen = []
    watched = harsanyi_dividends(game, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1024, 4096), (2048, 4096), (3072, 4096), (4096, 4096)]
    assert np.array_equal(watched, harsanyi_dividends(game))
    polls = iter([False, False, True])
    fresh = CachedGame(and_gate(6, 6))
    with pytest.raises(CancelledError, match="stopped after 2048 of 4096"):
        harsanyi_dividends(fresh, cancelled=lambda: next(polls))
    assert fresh.n_evaluations == 2048
    for estimator, said in (("pairs", "stopped after 0 of 500 coalitions"), ("shapiq", "stopped while sampling")):
        with pytest.raises(CancelledError, match=said):
            shapley_interaction_index(
                random_game(0, 10),
                [0],
                [1],
                groups="players",
                budget=500,
                rng=np.random.default_rng(0),
                estimator=estimator,
                cancelled=lambda: True,
            )


def test_unwatched_values_come_in_one_call():
    spy = Spy(SumOfUnanimityGames(macro(11), {}))
    evaluate(spy, all_coalitions(11))
    assert spy.n_asked == [2048]
    seen = []
    evaluate(spy, all_coalitions(11)[:1500], progress=lambda done, total: seen.append((done, total)))
    assert spy.n_asked == [2048, 1024, 476]
    assert seen == [(1024, 1500), (1500, 1500)]


def test_noise_is_the_same_for_the_same_coalition_and_seed_only():
    rows = all_coalitions(4)
    first = NoisyGame(and_gate(2, 2), 0.5, seed=1)
    assert np.array_equal(first(rows), first(rows[::-1])[::-1])
    assert not np.array_equal(first(rows), NoisyGame(and_gate(2, 2), 0.5, seed=2)(rows))
    wide = np.random.default_rng(0).random((4000, 40)) < 0.5
    noise = NoisyGame(SumOfUnanimityGames(macro(40), {}), 2.0, seed=0)(wide)
    assert abs(noise.mean()) < 4 * 2 / np.sqrt(4000)
    assert noise.std() == pytest.approx(2.0, rel=0.05)
    with pytest.raises(ValueError, match=">= 0, got -1"):
        NoisyGame(and_gate(), -1, seed=0)
