"""Dividends by size: what goes in comes out."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.game import Players
from toolkit.games.order_profile import group_cells, group_words, order_profile

PLAYERS = Players.make(("a", "b", "c"), ("x", "y"))


def test_dividends_in_are_dividends_out_by_size() -> None:
    game = SumOfUnanimityGames(
        PLAYERS, {(0,): 9.0, (0, 1): 9.0, (0, 3): 0.5, (1, 4): -0.25, (0, 1, 3): 2.0, (3, 4): 9.0}
    )
    found = order_profile(game)
    assert found.orders == (2, 3, 4, 5)
    np.testing.assert_allclose(found.net, [0.25, 2.0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found.gross, [0.75, 2.0, 0, 0], atol=1e-12)
    assert found.total == pytest.approx(2.25)
    assert found.cancellation == pytest.approx(1 - 2.25 / 2.75)
    assert found.beyond_pairs == pytest.approx(2 / 2.75)


def test_what_undoes_itself_has_a_cancellation_of_one_and_no_joint_effect_none_at_all() -> None:
    undone = order_profile(SumOfUnanimityGames(PLAYERS, {(0, 3): 1.0, (0, 1, 3): -1.0}))
    assert (undone.cancellation, undone.total) == (1.0, 0.0)
    assert np.isnan(order_profile(SumOfUnanimityGames(PLAYERS, {(0,): 1.0, (3,): 1.0})).cancellation)


def test_merged_players_keep_the_total_and_lower_the_order() -> None:
    game = SumOfUnanimityGames(PLAYERS, {(0, 1, 3, 4): 1.0})
    assert order_profile(game).net.tolist() == [0, 0, 1, 0]
    merged = order_profile(game, image_groups=[[0, 1], [2]], text_groups=[[3, 4]])
    assert (merged.net.tolist(), merged.n_evaluations) == ([1.0, 0.0], 8)


def test_groups_that_do_not_divide_a_modality_and_too_many_of_them_are_refused() -> None:
    game = SumOfUnanimityGames(PLAYERS, {(0, 3): 1.0})
    with pytest.raises(ValueError, match="image groups must hold each of the 3 image players once"):
        order_profile(game, image_groups=[[0, 1]])
    with pytest.raises(ValueError, match="text groups"):
        order_profile(game, text_groups=[[2, 3], [4]])
    many = SumOfUnanimityGames(Players.make(tuple("abcdefghijklmnop"), ("x",)), {(0, 16): 1.0})
    with pytest.raises(ValueError, match=r"make 2\^17 coalitions; exact enumeration stops at 16"):
        order_profile(many)


def test_a_game_with_missing_values_is_refused() -> None:
    class Missing:
        players = PLAYERS

        def __call__(self, coalitions: np.ndarray) -> np.ndarray:
            return np.where(coalitions.all(axis=1), np.nan, 0.0)

    with pytest.raises(ValueError, match="missing values"):
        order_profile(Missing())


def test_the_cells_of_the_highest_contrast_stand_alone() -> None:
    image = np.full((4, 6, 3), 128, dtype=np.uint8)
    image[0, 0], image[2, 4] = 0, 255
    regions = np.array([(x / 3, y / 2, (x + 1) / 3, (y + 1) / 2) for y in range(2) for x in range(3)])
    assert group_cells(image, regions, 3) == [[0], [5], [1, 2, 3, 4]]
    assert group_cells(image, regions, 9) == [[0], [1], [2], [3], [4], [5]]
    with pytest.raises(ValueError, match="at least 2"):
        group_cells(image, regions, 1)
    assert group_words(PLAYERS, 4) == [[3], [4]]
