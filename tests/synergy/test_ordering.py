"""Top fractions: counts, nesting, ties and what is refused."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolkit.games.analytic import SumOfUnanimityGames, and_gate
from toolkit.games.attribution import Attribution
from toolkit.games.game import Players
from toolkit.synergy.f_syn import synergistic_faithfulness
from toolkit.synergy.ordering import (
    check_attribution,
    check_tie_seeds,
    curve_fractions,
    random_attributions,
    score_order,
    tie_breaks,
    top_coalitions,
    top_counts,
)


def explained(scores, n_image, n_text, target=""):
    players = Players.make(tuple(f"i{i}" for i in range(n_image)), tuple(f"t{i}" for i in range(n_text)))
    return Attribution(np.asarray(scores, dtype=float), players, "test", target)


@example(45, 10)
@given(st.integers(0, 400), st.integers(1, 40))
def test_counts_round_half_up_for_every_player_number(n, steps):
    expected = [(2 * j * n + steps) // (2 * steps) for j in range(steps + 1)]
    assert top_counts(n, curve_fractions(steps)).tolist() == expected


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 10**6), st.integers(1, 15))
def test_top_coalitions_are_nested_and_stay_in_their_modality(n_image, n_text, seed, steps):
    scores = np.random.default_rng(seed).integers(0, 4, n_image + n_text)
    attribution = explained(scores, n_image, n_text)
    for modality in ("image", "text"):
        members = attribution.players.of(modality)
        top = top_coalitions(attribution, modality, curve_fractions(steps))
        assert not top[:, ~members].any()
        assert not (top[:-1] & ~top[1:]).any()
        assert top.sum(axis=1).tolist() == top_counts(members.sum(), curve_fractions(steps)).tolist()
        for row in top:
            inside, outside = attribution.scores[row], attribution.scores[members & ~row]
            assert inside.size == 0 or outside.size == 0 or inside.min() >= outside.max()


def test_the_largest_score_comes_first_and_the_sign_counts():
    attribution = explained([-9, 1, 5, 0, 2, 7], 4, 2)
    assert top_coalitions(attribution, "image", [0.25, 0.5])[:, :4].tolist() == [
        [False, False, True, False],
        [False, True, True, False],
    ]
    assert top_coalitions(attribution, "text", [0.5]).tolist() == [[False] * 5 + [True]]


def test_ties_do_not_fall_in_index_order_and_are_repeated_by_their_seed():
    flat = explained(np.zeros(40), 36, 4)
    half = [top_coalitions(flat, "image", [0.5], tie_seed=seed)[0] for seed in range(40)]
    raster = np.arange(40) < 18
    assert not any(np.array_equal(top, raster) for top in half)
    assert np.array_equal(half[0], top_coalitions(flat, "image", [0.5], tie_seed=0)[0])
    assert len({top.tobytes() for top in half}) == 40
    often = np.mean(half, axis=0)[:36]
    assert abs(often - 0.5).max() < 4 * 0.5 / np.sqrt(40), "every cell is in the top half about half of the time"


def test_another_question_breaks_its_ties_by_other_orders():
    ones = [Players.make(tuple("abcdefgh"), ("is", colour, "there", "a", "ball", "?")) for colour in ("red", "blue")]
    flat = [Attribution(np.zeros(14), players, "test", "") for players in ones]
    for modality in ("image", "text"):
        first, second = (
            [top_coalitions(a, modality, [0.5], tie_seed=seed).tobytes() for seed in range(8)] for a in flat
        )
        assert first != second


@pytest.mark.parametrize(
    ("scores", "modalities", "n_orders"),
    [
        ([1, 2, 3, 4], ("image", "text"), 1),
        ([1, 1, 3, 4], ("image", "text"), 4),
        ([1, 2, 3, 3], ("image", "text"), 4),
        ([0, 0, 0, 0], ("image",), 4),
        ([0, 0, 0, 0], ("text",), 8),
        ([1, 1, 3, 4], ("text",), 1),
    ],
)
def test_one_permutation_of_what_is_tied_and_its_turns_two_where_only_words_are_ordered(scores, modalities, n_orders):
    attribution = explained(scores, 2, 2)
    assert tie_breaks(attribution, modalities=modalities) == tuple(range(n_orders))
    assert tie_breaks(attribution, (5, 7), modalities=modalities) == (5, 7)


@given(st.integers(1, 12), st.integers(0, 10**6))
def test_the_four_turns_are_a_williams_design_of_the_quarters(in_quarter, seed):
    n = 4 * in_quarter
    rows = [score_order(np.zeros(n), np.random.default_rng(seed), turn=turn) for turn in range(4)]
    assert (rows[1] == rows[0][::-1]).all()
    assert (rows[3] == rows[2][::-1]).all()
    quarter = np.empty(n, dtype=int)
    quarter[rows[0]] = np.arange(n) // in_quarter
    blocks = np.stack([quarter[row[::in_quarter]] for row in rows])
    assert all(sorted(place) == [0, 1, 2, 3] for place in blocks.T.tolist())
    after = [pair for row in blocks.tolist() for pair in itertools.pairwise(row)]
    assert len(set(after)) == len(after) == 12, "every quarter comes once behind every other"


def test_each_turn_alone_is_uniform():
    first = np.array(
        [[score_order(np.zeros(6), np.random.default_rng(seed), turn=t) for t in range(4)] for seed in range(2_000)]
    )
    for turn in range(4):
        places = np.stack([(first[:, turn] == player).mean(axis=0) for player in range(6)])
        assert abs(places - 1 / 6).max() < 4.5 * np.sqrt(5 / 36 / 2_000)


@pytest.mark.parametrize("evidence", [(), (3, 4)])
@pytest.mark.parametrize("dividends", [{(3, 4, 38): 1.0}, {(3, 40): 0.6, (4, 10, 38): 0.4, (20, 41, 42): -0.6}])
def test_four_turns_are_more_exact_than_sixteen_independent_orders(dividends, evidence):
    scores = np.zeros(43)
    scores[list(evidence)] = 1
    drawn = [Players.make(tuple(f"{i} {n}" for n in range(36)), tuple("abcdefg")) for i in range(60)]
    games = [(SumOfUnanimityGames(players, dividends), Attribution(scores, players, "", "")) for players in drawn]
    fours, sixteens, many = (
        np.array([synergistic_faithfulness(*one, tie_seeds=orders).value for one in games])
        for orders in (None, range(0, 64, 4), range(1_000, 1_800, 4))
    )
    assert ((fours - many.mean()) ** 2).mean() < ((sixteens - many.mean()) ** 2).mean()


def test_ties_are_broken_within_equal_scores_only():
    order = score_order(np.array([1.0, 3.0, 1.0, 3.0, 2.0]), np.random.default_rng(0))
    assert set(order[:2].tolist()) == {1, 3}
    assert order[2] == 4


@pytest.mark.parametrize("fractions", [[-0.1], [0.5, 1.01], [float("nan")], [], [[0.5]]])
def test_fractions_outside_zero_to_one_are_rejected(fractions):
    with pytest.raises(ValueError, match="between 0 and 1"):
        top_coalitions(explained(np.zeros(4), 2, 2), "image", fractions)


@pytest.mark.parametrize("steps", [0, -3, 2.5, True, "10"])
def test_steps_that_are_no_number_of_steps_are_rejected(steps):
    with pytest.raises(ValueError, match="whole number of at least 1"):
        curve_fractions(steps)


def test_an_unknown_or_empty_modality_is_rejected():
    with pytest.raises(ValueError, match="'image' or 'text', got 'audio'"):
        top_coalitions(explained(np.zeros(4), 2, 2), "audio", [0.5])
    with pytest.raises(ValueError, match="tie_seed must be a whole number of at least 0, got -1"):
        top_coalitions(explained(np.zeros(4), 2, 2), "image", [0.5], tie_seed=-1)
    with pytest.raises(ValueError, match="no text players"):
        top_coalitions(explained(np.zeros(4), 4, 0), "text", [0.5])


def test_attributions_of_the_wrong_length_or_with_nan_are_rejected():
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(4,\)"):
        explained(np.zeros(3), 2, 2)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="1 non-finite"):
            explained([0, bad, 0, 0], 2, 2)


def test_an_attribution_of_another_game_is_rejected():
    game = and_gate(2, 2)
    with pytest.raises(TypeError, match="got ndarray; wrap bare scores"):
        check_attribution(game, np.zeros(4))
    with pytest.raises(ValueError, match="has 3 image and 1 text players, the game has 2 and 2"):
        check_attribution(game, explained(np.zeros(4), 3, 1))
    with pytest.raises(ValueError, match="names other players"):
        check_attribution(game, explained(np.zeros(4), 2, 2))
    check_attribution(game, Attribution(np.zeros(4), game.players, "test", "yes"))


def test_an_attribution_of_another_target_is_rejected():
    game = and_gate(2, 2)
    game.target = "no"
    with pytest.raises(ValueError, match="explains 'yes' but the game scores 'no'"):
        check_attribution(game, Attribution(np.zeros(4), game.players, "test", "yes"))
    check_attribution(game, Attribution(np.zeros(4), game.players, "test", "no"))


def test_random_orderings_come_in_reversed_pairs_from_their_seed():
    players = and_gate(9, 4).players
    draws = random_attributions(players, 6, seed=3)
    assert all(np.array_equal(a.scores, -b.scores) for a, b in zip(draws[::2], draws[1::2], strict=True))
    again = random_attributions(players, 6, seed=3)
    assert all(np.array_equal(a.scores, b.scores) for a, b in zip(draws, again, strict=True))
    assert len({d.scores.tobytes() for d in draws}) == 6
    for n in (0, 3, -2):
        with pytest.raises(ValueError, match="must be even and at least 2"):
            random_attributions(players, n, seed=0)


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_tie_seeds_must_be_different(seeds):
    with pytest.raises(ValueError, match="tie_seeds"):
        check_tie_seeds(seeds)
