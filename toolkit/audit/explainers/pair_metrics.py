"""Scores of pairs that need no truth: curves by pairs, and what pairs add to a surrogate of the game."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.games.game import Game, Players
from toolkit.synergy.srg import auc
from toolkit.typing import Coalitions, PairScores

N_FIT, N_HELD_OUT = 256, 128
"""Coalitions that fit the surrogate, and those on which it is judged."""


def pair_coalitions(pairs: PairScores, players: Players, *, seed: int = 0) -> Coalitions:
    """Who is there after each pair, the highest first, that brings somebody new; shape (m, n_players), m <= n_players.

    The first row is nobody, the last everybody. Equal pairs come in a random order.

    Raises:
        ValueError: The pairs are not (n_image, n_text).
    """
    if pairs.shape != (players.n_image, players.n_text):
        raise ValueError(f"pairs of shape {pairs.shape}; expected {(players.n_image, players.n_text)}")
    shuffled = np.random.default_rng(seed).permutation(pairs.size)
    order = shuffled[np.argsort(-pairs.ravel()[shuffled], kind="stable")]
    first = np.full(players.n, pairs.size)
    cells, words = np.divmod(order, players.n_text)
    members = (np.flatnonzero(players.of("image"))[cells], np.flatnonzero(players.of("text"))[words])
    for these in members:
        np.minimum.at(first, these, np.arange(pairs.size))
    steps = np.unique(first)
    return np.concatenate([np.zeros((1, players.n), dtype=np.bool_), first <= steps[:, None]])


def pair_gain(game: Game, pairs: PairScores, *, seed: int = 0) -> float:
    """Insertion minus deletion by pairs: the area between two curves over the share of players that have come or gone.

    Both players of a pair come together, so a word is there as soon as the first cell that it works with, and a gain is
    that of the pair. In [-1, 1] for probabilities; at most 2 n_players coalitions.

    Raises:
        ValueError: The pairs are not (n_image, n_text).

    Reference: insertion and deletion: Petsiuk et al., arXiv 1806.07421; of interactions: FIxLIP, arXiv 2508.05430.

    Example:
        >>> from toolkit.games.analytic import and_gate
        >>> game = and_gate(4, 2, image=[0], text=[0])
        >>> pairs = np.zeros((4, 2))
        >>> pairs[0, 0] = 1
        >>> round(pair_gain(game, pairs), 3), round(pair_gain(game, -pairs), 3)
        (0.667, -0.083)
    """
    there = pair_coalitions(pairs, game.players, seed=seed)
    insertion, deletion = game(np.concatenate([there, ~there])).reshape(2, -1)
    return auc(insertion - deletion, there.mean(axis=1))


class HeldOut:
    """Coalitions of a game, each player present with probability 1/2, that judge surrogates of second order.

    ``added(pairs)`` is the share of the held-out variance that pairs explain beyond the players' own effects: with

        v(S) ~ c + sum_i a_i x_i + b sum_ij pairs_ij x_i x_j

    fitted by least squares on 256 coalitions, R2 on 128 others less the R2 of b = 0. The one free scale b makes
    products of scores comparable; pairs that know nothing add 0 or less.

    Args:
        game: The game; 384 coalitions of it are asked once for all surrogates.
        seed: Which coalitions.

    Reference: faithfulness of a surrogate: FIxLIP, arXiv 2508.05430.

    Example:
        >>> from toolkit.games.analytic import and_gate
        >>> held_out = HeldOut(and_gate(2, 1, image=[0]))
        >>> round(held_out.added(np.array([[1.0], [0.0]])), 3)  # one third, were all coalitions held out
        0.373
    """

    def __init__(self, game: Game, *, seed: int = 0) -> None:
        n, self._image = game.players.n, game.players.of("image")
        self._there = np.random.default_rng(seed).random((N_FIT + N_HELD_OUT, n)) < 0.5
        self._values = game(self._there)
        self._alone = self._r2(np.empty((N_FIT + N_HELD_OUT, 0)))

    def added(self, pairs: PairScores) -> float:
        """R2 with the pairs less R2 without them; NaN where the held-out values do not vary."""
        image, text = self._there[:, self._image].astype(float), self._there[:, ~self._image].astype(float)
        return self._r2(np.einsum("mi,ij,mj->m", image, pairs, text)[:, None]) - self._alone

    def _r2(self, more: NDArray[np.float64]) -> float:
        design = np.concatenate([np.ones((len(more), 1)), self._there, more], axis=1)
        weights = np.linalg.lstsq(design[:N_FIT], self._values[:N_FIT])[0]
        held, missed = self._values[N_FIT:], (self._values - design @ weights)[N_FIT:]
        spread = float(np.square(held - held.mean()).sum())
        return 1 - float(np.square(missed).sum()) / spread if spread > 0 else float("nan")
