"""Games whose dividends are known by construction: the oracles of the metrics and of the course."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.games.game import Game, Group, Players, check_coalitions, group_mask
from toolkit.typing import Coalitions, Values


class SumOfUnanimityGames:
    """A weighted sum of unanimity games: v(S) = sum of d(T) over all terms T inside S.

    Every game has exactly one such form, and d is its Harsanyi dividend, so the dividends that go in must come out.

    Args:
        players: The players.
        dividends: d(T) by the members of T, as player indices; ``()`` is a constant. Terms not named are 0.

    Raises:
        ValueError: Two keys name the same coalition, or a player does not exist.

    Reference: Harsanyi, A simplified bargaining model for the n-person cooperative game, 1963.
    """

    def __init__(self, players: Players, dividends: Mapping[tuple[int, ...], float]) -> None:
        self.players = players
        self.dividends: dict[frozenset[int], float] = {frozenset(t): float(d) for t, d in dividends.items()}
        if len(self.dividends) < len(dividends):
            raise ValueError(f"the same coalition is named twice among {sorted(dividends)}")
        terms = [group_mask(t, players.n) for t in dividends]
        self._terms: NDArray[np.bool_] = np.array(terms, dtype=np.bool_).reshape(-1, players.n)
        self._weights: Values = np.array(list(dividends.values()), dtype=np.float64)

    def __call__(self, coalitions: Coalitions) -> Values:
        """Values (n_coalitions,): the dividends of all terms inside each coalition, added up."""
        absent = ~check_coalitions(coalitions, self.players)
        missing = absent.astype(np.float64) @ self._terms.T.astype(np.float64)
        values: Values = (missing == 0).astype(np.float64) @ self._weights
        return values


def _gate(
    weights: tuple[float, float, float], n_image: int, n_text: int, image: Group | None, text: Group | None
) -> SumOfUnanimityGames:
    """The gate v = a x + b y + c x y, where x and y say whether all evidence of a modality is present."""
    players = Players.make(tuple(f"cell {i}" for i in range(n_image)), tuple(f"word {i}" for i in range(n_text)))
    cells = np.flatnonzero(group_mask(range(n_image) if image is None else image, n_image))
    words = np.flatnonzero(group_mask(range(n_text) if text is None else text, n_text)) + n_image
    if cells.size == 0 or words.size == 0:
        raise ValueError(f"a gate needs evidence in both modalities, got {cells.size} cells and {words.size} words")
    x, y = tuple(cells.tolist()), tuple(words.tolist())
    return SumOfUnanimityGames(players, {x: weights[0], y: weights[1], x + y: weights[2]})


def and_gate(
    n_image: int = 1, n_text: int = 1, *, image: Group | None = None, text: Group | None = None
) -> SumOfUnanimityGames:
    """Synergy: worth 1 exactly when the evidence of both modalities is present; dividend +1.

    Args:
        n_image: Number of image players.
        n_text: Number of text players.
        image: The image players that are evidence, numbered from 0; the others are null players. All by default.
        text: The text players that are evidence, numbered from 0 within the text. All by default.

    Raises:
        ValueError: A modality has no evidence, or an evidence player does not exist.
    """
    return _gate((0.0, 0.0, 1.0), n_image, n_text, image, text)


def or_gate(
    n_image: int = 1, n_text: int = 1, *, image: Group | None = None, text: Group | None = None
) -> SumOfUnanimityGames:
    """Redundancy: worth 1 as soon as one modality's evidence is present; dividend -1. Arguments as ``and_gate``."""
    return _gate((1.0, 1.0, -1.0), n_image, n_text, image, text)


def xor_gate(
    n_image: int = 1, n_text: int = 1, *, image: Group | None = None, text: Group | None = None
) -> SumOfUnanimityGames:
    """Worth 1 when exactly one modality's evidence is present; dividend -2. Arguments as ``and_gate``."""
    return _gate((1.0, 1.0, -2.0), n_image, n_text, image, text)


def additive(
    n_image: int = 1, n_text: int = 1, *, image: Group | None = None, text: Group | None = None
) -> SumOfUnanimityGames:
    """No interaction: each modality's evidence adds 1/2; dividend 0. Arguments as ``and_gate``."""
    return _gate((0.5, 0.5, 0.0), n_image, n_text, image, text)


class NoisyGame:
    """A game plus independent Gaussian noise per coalition: the same coalition always gets the same noise.

    Args:
        game: The game underneath.
        sd: Standard deviation of the noise, in the unit of the values.
        seed: Two seeds give independent noise.
    """

    def __init__(self, game: Game, sd: float, seed: int) -> None:
        if not sd >= 0:
            raise ValueError(f"the standard deviation of the noise must be >= 0, got {sd}")
        self.game = game
        self.sd = sd
        self.seed = seed

    @property
    def players(self) -> Players:
        """The players of the game underneath."""
        return self.game.players

    def __call__(self, coalitions: Coalitions) -> Values:
        """Values (n_coalitions,) of the game underneath, each with its own noise."""
        bits = np.packbits(check_coalitions(coalitions, self.players), axis=1)
        noise = [np.random.default_rng([self.seed, *row]).standard_normal() for row in bits.tolist()]
        return self.game(coalitions) + self.sd * np.array(noise, dtype=np.float64)
