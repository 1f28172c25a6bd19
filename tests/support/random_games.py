"""Games and attributions of random numbers, for what holds of every game."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolkit.games.attribution import Attribution
from toolkit.games.game import Game, Players, TableGame
from toolkit.typing import Coalitions, Values


def attribute(game: Game, scores: ArrayLike) -> Attribution:
    return Attribution(np.asarray(scores, dtype=float), game.players, "test", "")


def random_case(seed: int, n_image: int = 7, n_text: int = 5) -> tuple[TableGame, Attribution]:
    """A game, and scores of which many are equal."""
    rng = np.random.default_rng(seed)
    players = Players.make(tuple(f"i{i}" for i in range(n_image)), tuple(f"t{i}" for i in range(n_text)))
    game = TableGame(players, rng.normal(size=2**players.n))
    return game, attribute(game, rng.integers(0, 3, players.n))


class Spy:
    """A game that keeps what another one is asked."""

    def __init__(self, game: Game) -> None:
        self.game, self.players = game, game.players
        self.asked: list[Coalitions] = []

    def __call__(self, coalitions: Coalitions) -> Values:
        self.asked.append(coalitions.copy())
        return self.game(coalitions)

    @property
    def n_asked(self) -> list[int]:
        """Coalitions of each call."""
        return [len(coalitions) for coalitions in self.asked]
