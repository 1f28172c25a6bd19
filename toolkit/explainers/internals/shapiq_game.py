"""A model's game in the form that shapiq's approximators call, and the budget they may spend."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from toolkit.games.game import Game


def value_function(game: Game) -> Callable[[NDArray[np.bool_]], NDArray[np.float64]]:
    """The game as a function of one coalition (n_players,) or many (n_coalitions, n_players), with v(nobody) = 0."""
    empty = float(game(np.zeros((1, game.players.n), dtype=np.bool_))[0])

    def values(coalitions: NDArray[np.bool_]) -> NDArray[np.float64]:
        rows = np.atleast_2d(np.asarray(coalitions, dtype=np.bool_))
        return game(rows) - empty

    return values
