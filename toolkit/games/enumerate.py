"""Values of every coalition of a game, in one call or in chunks with progress and a stop.

Coalitions are numbered by their bits (``toolkit.games.game.coalition_index``): player i contributes 2^i.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from toolkit.games.game import Game, all_coalitions
from toolkit.typing import Coalitions, Values

Progress: TypeAlias = Callable[[int, int], None]
"""Called as progress(done, total) after every step of a long enumeration."""

Cancelled: TypeAlias = Callable[[], bool]
"""Polled before every step; True stops the enumeration with a CancelledError."""

MAX_PLAYERS = 20
CHUNK = 1024


class CancelledError(RuntimeError):
    """The caller asked an enumeration to stop; what was evaluated stays in the game's cache."""


def evaluate(
    game: Game, coalitions: Coalitions, *, progress: Progress | None = None, cancelled: Cancelled | None = None
) -> Values:
    """Values of many coalitions: in one call, or in chunks of 1,024 where somebody watches.

    Raises:
        CancelledError: ``cancelled`` returned True.
    """
    if progress is None and cancelled is None:
        return game(coalitions)
    total = len(coalitions)
    values = np.empty(total, dtype=np.float64)
    for start in range(0, total, CHUNK):
        if cancelled is not None and cancelled():
            raise CancelledError(f"stopped after {start} of {total} coalitions")
        stop = min(start + CHUNK, total)
        values[start:stop] = game(coalitions[start:stop])
        if progress is not None:
            progress(stop, total)
    return values


def all_values(game: Game, *, progress: Progress | None = None, cancelled: Cancelled | None = None) -> Values:
    """Value of every coalition, shape (2^n,).

    Raises:
        ValueError: More than 20 players.
        CancelledError: ``cancelled`` returned True.
    """
    n = game.players.n
    if n > MAX_PLAYERS:
        raise ValueError(
            f"the game has {n} players, so 2^{n} coalitions; enumeration stops at {MAX_PLAYERS} players. "
            "Merge players with QuotientGame, or give shapley_interaction_index a budget and an rng"
        )
    return evaluate(game, all_coalitions(n), progress=progress, cancelled=cancelled)
