"""The share of each modality in the answer: exact with two players, or token by token as MM-SHAP has it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.datasets.sample import Corners
from toolkit.games.game import CachedGame, Game
from toolkit.typing import Values


@dataclass(frozen=True)
class ModalityShares:
    """Shapley values of the two-player game {image, text}.

    Attributes:
        image: phi_I = (v(I, 0) - v(B, 0) + v(I, T) - v(B, T)) / 2, in the unit of the values.
        text: phi_T = (v(B, T) - v(B, 0) + v(I, T) - v(I, 0)) / 2.
    """

    image: float
    text: float

    @property
    def text_share(self) -> float:
        """|phi_T| / (|phi_I| + |phi_T|), in [0, 1]; 1/2 where neither modality matters."""
        total = abs(self.image) + abs(self.text)
        return abs(self.text) / total if total > 0 else 0.5


def modality_shares(corners: Corners) -> ModalityShares:
    """Exact modality-level Shapley values, which add up to v(I, T) - v(B, 0).

    This is not MM-SHAP's number, which adds up the sizes of token-level values (:func:`mm_shap_share`): there, tokens
    whose values cancel count, and a modality of many tokens weighs more. A share says how much, not how: AND, OR and
    XOR all have equal shares.

    Reference: Shapley, A value for n-person games, 1953.
    """
    image = (corners.image - corners.empty + corners.both - corners.text) / 2
    text = (corners.text - corners.empty + corners.both - corners.image) / 2
    return ModalityShares(image, text)


@dataclass(frozen=True)
class TokenShare:
    """MM-SHAP's textual share of one sample.

    Attributes:
        text_share: T-SHAP = sum over text tokens of |phi_j|, over the same sum of all players; in [0, 1].
        standard_error: Of the estimate, by leaving out one pair of permutations at a time.
        n_evaluations: Distinct coalitions that were read.
    """

    text_share: float
    standard_error: float
    n_evaluations: int


def mm_shap_share(game: Game, *, rng: np.random.Generator, n_pairs: int = 16) -> TokenShare:
    """Textual share of the absolute Shapley values of all players, T-SHAP of MM-SHAP.

    phi_j is the mean gain of player j over random orders, each used forwards and backwards. The size of an estimate of
    0 is above 0, so few pairs pull the share towards the modality with more players.

    Args:
        game: A sample's game; MM-SHAP's own has a model's logit or score for value, and as many image patches as words.
        rng: Randomness of the orders.
        n_pairs: Orders drawn; a pair costs at most 2 n_players coalitions.

    Returns:
        The share; 1/2 where no player matters, as of :attr:`ModalityShares.text_share`.

    Raises:
        ValueError: Fewer than two pairs, which give no standard error.

    Reference: Parcalabescu and Frank, MM-SHAP, 2023, arXiv 2212.08158; Castro, Gomez and Tejada, 2009 (sampling).

    Example:
        >>> from toolkit.games.analytic import and_gate
        >>> round(mm_shap_share(and_gate(2, 1), rng=np.random.default_rng(0), n_pairs=999).text_share, 1)  # a third
        0.3
    """
    if n_pairs < 2:
        raise ValueError(f"n_pairs must be at least 2, got {n_pairs}: one pair of orders gives no standard error")
    cache, n = CachedGame(game), game.players.n
    orders = np.stack([rng.permutation(n) for _ in range(n_pairs)])
    orders = np.stack([orders, orders[:, ::-1]], axis=1).reshape(-1, n)
    ranks = orders.argsort(axis=1)
    coalitions = ranks[:, None, :] < np.arange(n + 1)[None, :, None]
    gains = np.diff(cache(coalitions.reshape(-1, n)).reshape(-1, n + 1), axis=1)
    pairs = np.take_along_axis(gains, ranks, axis=1).reshape(n_pairs, 2, n).mean(axis=1)
    left_out = (pairs.sum(axis=0) - pairs) / (n_pairs - 1)
    drawn = _share(left_out, game.players.n_image)
    error = np.sqrt((n_pairs - 1) * drawn.var())
    return TokenShare(float(_share(pairs.mean(axis=0), game.players.n_image)), float(error), cache.n_evaluations)


def _share(shapley: Values, n_image: int) -> Values:
    """Share of the text in the sizes of Shapley values (..., n_players)."""
    sizes = np.abs(shapley)
    total = sizes.sum(axis=-1)
    text = sizes[..., n_image:].sum(axis=-1)
    share: Values = np.divide(text, total, out=np.full_like(total, 0.5), where=total > 0)
    return share
