"""Games: validation, tables, merged players, and a cache that never asks twice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.game import (
    CachedGame,
    Game,
    Players,
    QuotientGame,
    TableGame,
    all_coalitions,
    check_coalitions,
    coalition_index,
    group_mask,
    pack,
)

TWO_AND_TWO = Players.make(("i0", "i1"), ("t0", "t1"))


class Recorder:
    """A game that keeps what it was asked; worth its coalition's number."""

    def __init__(self, players):
        self.players = players
        self.calls = []

    def __call__(self, coalitions):
        self.calls.append(coalitions.copy())
        return coalition_index(coalitions).astype(np.float64)


def test_players_keep_image_before_text_before_macro():
    assert TWO_AND_TWO.n == 4
    assert TWO_AND_TWO.of("text").tolist() == [False, False, True, True]
    assert Players.macro(["a", "b"]).modality == ("macro", "macro")
    with pytest.raises(ValueError, match="'image' players first"):
        Players(("a", "b"), ("text", "image"))
    with pytest.raises(ValueError, match="'image' players first"):
        Players(("a", "b"), ("macro", "text"))
    with pytest.raises(ValueError, match="'image' players first"):
        Players(("a",), ("sound",))
    with pytest.raises(ValueError, match="2 labels but 1"):
        Players(("a", "b"), ("image",))


@pytest.mark.parametrize(
    ("coalitions", "error", "message"),
    [
        ([[True, False, True, False]], TypeError, "got list"),
        (np.ones((1, 4)), TypeError, "got dtype float64"),
        (np.ones((1, 3), dtype=bool), ValueError, r"shape \(1, 3\), expected \(n_coalitions, 4\)"),
        (np.ones(4, dtype=bool), ValueError, r"coalitions\[None, :\]"),
    ],
)
def test_coalitions_are_checked(coalitions, error, message):
    for game in (TableGame(TWO_AND_TWO, np.zeros(16)), CachedGame(TableGame(TWO_AND_TWO, np.zeros(16)))):
        with pytest.raises(error, match=message):
            game(coalitions)


@pytest.mark.parametrize("group", [[0, 0], [4], [-1], np.ones(3, dtype=bool), np.zeros((2, 2), dtype=int), [0.5]])
def test_bad_groups_are_rejected(group):
    with pytest.raises(ValueError, match=r"group"):
        group_mask(group, 4)


def test_groups_are_indices_or_masks():
    assert group_mask([3, 1], 4).tolist() == [False, True, False, True]
    assert group_mask(np.array([True, False, False, False]), 4).tolist() == [True, False, False, False]
    assert not group_mask([], 4).any()


@given(st.integers(0, 10))
def test_coalition_numbers_count_all_coalitions(n):
    assert np.array_equal(coalition_index(all_coalitions(n)), np.arange(2**n))


def test_a_table_is_read_by_coalition_number():
    game = TableGame(TWO_AND_TWO, np.arange(16.0))
    coalitions = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=bool)
    assert game(coalitions).tolist() == [1.0, 8.0, 15.0, 0.0]
    assert isinstance(game, Game)
    with pytest.raises(ValueError, match=r"expected \(2\*\*4,\)"):
        TableGame(TWO_AND_TWO, np.zeros(8))


def test_a_quotient_game_merges_groups_and_keeps_its_background():
    under = Recorder(TWO_AND_TWO)
    game = QuotientGame(under, [[2], [0]], present=[3], labels=("text", "image"))
    assert game.players.labels == ("text", "image")
    values = game(np.array([[False, False], [True, False], [False, True], [True, True]]))
    assert values.tolist() == [8.0, 12.0, 9.0, 13.0]
    assert not under.calls[0][:, 1].any(), "a player in no group and not in the background stays absent"


def test_a_quotient_game_accepts_an_empty_group_as_a_null_player():
    game = QuotientGame(TableGame(TWO_AND_TWO, np.arange(16.0)), [[0, 2], []])
    assert game(all_coalitions(2)).tolist() == [0.0, 5.0, 0.0, 5.0]


def test_a_quotient_game_rejects_a_player_with_two_owners():
    with pytest.raises(ValueError, match=r"players \[1\] are in more than one"):
        QuotientGame(Recorder(TWO_AND_TWO), [[0, 1], [1, 2]])
    with pytest.raises(ValueError, match=r"players \[0\] are in more than one"):
        QuotientGame(Recorder(TWO_AND_TWO), [[0]], present=[0])
    with pytest.raises(ValueError, match="1 labels for 2 groups"):
        QuotientGame(Recorder(TWO_AND_TWO), [[0], [1]], labels=("a",))


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, 15), max_size=12), min_size=1, max_size=4))
def test_a_cached_game_asks_each_coalition_once_and_keeps_the_order(calls):
    under = Recorder(TWO_AND_TWO)
    game = CachedGame(under)
    table = all_coalitions(4)
    for call in calls:
        assert game(table[call]).tolist() == [float(s) for s in call]
    asked = np.concatenate([*under.calls, table[:0]])
    assert len(asked) == len(np.unique(pack(asked))) == game.n_evaluations == len({s for call in calls for s in call})
    assert len(under.calls) <= len(calls)


def test_wide_coalitions_do_not_collide():
    rows = np.random.default_rng(0).random((300, 71)) < 0.5
    assert len(np.unique(pack(rows))) == len(np.unique(rows, axis=0)) == 300
    game = CachedGame(
        SumOfUnanimityGames(Players.make(tuple(map(str, range(70))), ("t",)), {(i,): 1 for i in range(71)})
    )
    assert np.array_equal(game(rows), rows.sum(axis=1))
    assert game.n_evaluations == 300


def test_a_game_that_returns_the_wrong_shape_is_caught():
    class Scalar:
        players = TWO_AND_TWO

        def __call__(self, coalitions):
            return np.zeros(1)

    with pytest.raises(ValueError, match=r"returned shape \(1,\) for 16 coalitions"):
        CachedGame(Scalar())(all_coalitions(4))


def test_check_coalitions_returns_what_it_was_given():
    rows = all_coalitions(4)
    assert check_coalitions(rows, TWO_AND_TWO) is rows
