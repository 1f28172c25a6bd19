"""Scores of pairs: recovery of known ones, curves by pairs, and what pairs add to a surrogate of the game."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toolkit.games.attribution import Attribution, InteractionAttribution
from toolkit.games.game import Game, Players
from toolkit.synergy.score import MetricSpec, Score
from toolkit.synergy.srg import auc
from toolkit.typing import Coalitions, PairScores, Values

N_FIT, N_HELD_OUT = 256, 128
"""Coalitions that fit the surrogate, and those on which it is judged."""

_OF = "the pairs of an explainer, or the products of its scores where it gives none"
PAIR_GAIN = MetricSpec(
    "pair-gain", 1, (-1.0, 1.0), "probability", "Petsiuk et al., arXiv 1806.07421; FIxLIP, arXiv 2508.05430",
    f"Insertion minus deletion by {_OF}: the area between the two curves.",
)  # fmt: skip
PAIR_R2 = MetricSpec(
    "pair-r2", 1, (-math.inf, 1.0), "share of variance", "FIxLIP, arXiv 2508.05430",
    f"What {_OF}, add to the R2 of a surrogate on {N_HELD_OUT} held-out coalitions; {N_FIT} others fit it.",
)  # fmt: skip


def pairs_of(attribution: Attribution) -> PairScores:
    """Signed pairs (n_image, n_text) of an attribution; of one that has none, the products of its scores.

    The product of a cell's and a word's score is the only statement on pairs that scores of the first order make: it
    ranks them as if every word lit the same cells.
    """
    if isinstance(attribution, InteractionAttribution):
        return attribution.pairs
    return np.outer(attribution.of("image"), attribution.of("text"))


def top_hits(scores: NDArray[np.float64], marked: NDArray[np.bool_], k: int) -> float:
    """How many of the k highest scores are marked; those that tie at the threshold share the places left."""
    threshold = np.sort(scores)[-k]
    above, at = scores > threshold, scores == threshold
    return float(marked[above].sum()) + float(marked[at].mean()) * (k - int(above.sum()))


def recovery(pairs: PairScores, truth: NDArray[np.bool_]) -> tuple[float, float]:
    """AUC and precision at k of pairs against the true ones, both in [0, 1]; ties share.

    AUC is the chance that a true pair is ranked above another one (0.5 for no information), precision the share of
    true pairs among the k highest, k being the number of true pairs. NaN where no pair or every pair is true.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> import numpy as np
        >>> recovery(np.array([[0.9, 0.1], [0.2, 0.0]]), np.array([[True, False], [False, False]]))
        (1.0, 1.0)
    """
    if pairs.shape != truth.shape:
        raise ValueError(f"pairs of shape {pairs.shape} against a truth of shape {truth.shape}")
    scores, marked = pairs.ravel(), truth.ravel()
    k = int(marked.sum())
    if k in (0, marked.size):
        return math.nan, math.nan
    from toolkit.stats.rank_agreement import auroc  # which waits for SciPy

    return auroc(scores[marked], scores[~marked]), top_hits(scores, marked, k) / k


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
    return _gain(game(np.concatenate([there, ~there])), there)


def _gain(values: Values, there: Coalitions) -> float:
    insertion, deletion = values.reshape(2, -1)
    return auc(insertion - deletion, there.mean(axis=1))


def pair_gain_coalitions(attribution: Attribution, steps: int = 10) -> Coalitions:
    """What ``pair-gain`` asks for; it does not depend on the steps."""
    there = pair_coalitions(pairs_of(attribution), attribution.players)
    return np.concatenate([there, ~there])


def read_pair_gain(values: Values, attribution: Attribution, steps: int = 10) -> Score:
    """``pair_gain`` of an attribution from the values of ``pair_gain_coalitions``."""
    return _score(PAIR_GAIN, _gain(values, pair_coalitions(pairs_of(attribution), attribution.players)))


def held_out_coalitions(attribution: Attribution, steps: int = 10) -> Coalitions:
    """What ``pair-r2`` asks for: the same 384 coalitions for every attribution of a sample."""
    return _drawn(attribution.players, 0)


def read_pair_r2(values: Values, attribution: Attribution, steps: int = 10) -> Score:
    """``HeldOut.added`` of an attribution from the values of ``held_out_coalitions``."""
    players = attribution.players
    return _score(PAIR_R2, _added(_drawn(players, 0), values, players.of("image"), pairs_of(attribution)))


def _score(spec: MetricSpec, value: float) -> Score:
    reason = "the values of the held-out coalitions do not vary" if math.isnan(value) else None
    return Score(spec, value, np.ones(1), np.full(1, value), reason=reason)


def _drawn(players: Players, seed: int) -> Coalitions:
    return np.asarray(np.random.default_rng(seed).random((N_FIT + N_HELD_OUT, players.n)) < 0.5)


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
        self._image, self._there = game.players.of("image"), _drawn(game.players, seed)
        self._values = game(self._there)

    def added(self, pairs: PairScores) -> float:
        """R2 with the pairs less R2 without them; NaN where the held-out values do not vary."""
        return _added(self._there, self._values, self._image, pairs)


def _added(there: Coalitions, values: Values, is_image: NDArray[np.bool_], pairs: PairScores) -> float:
    image, text = there[:, is_image].astype(float), there[:, ~is_image].astype(float)
    together = np.einsum("mi,ij,mj->m", image, pairs, text)[:, None]
    return _r2(there, values, together) - _r2(there, values, together[:, :0])


def _r2(there: Coalitions, values: Values, more: NDArray[np.float64]) -> float:
    design = np.concatenate([np.ones((len(more), 1)), there, more], axis=1)
    weights = np.linalg.lstsq(design[:N_FIT], values[:N_FIT])[0]
    held, missed = values[N_FIT:], (values - design @ weights)[N_FIT:]
    spread = float(np.square(held - held.mean()).sum())
    return 1 - float(np.square(missed).sum()) / spread if spread > 0 else math.nan
