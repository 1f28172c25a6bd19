"""Directed pairs: how much a word changes the attribution of a cell, and how much a cell changes that of a word.

An attribution is taken to be a game itself. With a_i(S) the attribution of player i where only S stands beside it,

    phi_{j -> i} = Shapley value of j in the game S -> a_i(S)

so that the pairs of a player add up to its attribution less what it has alone: sum_j phi_{j -> i} = a_i(all) - a_i({}).
Here the players j are those of the *other* modality, the rest of i's own modality is there throughout, and a_i is what
is lost without i: a_i(S) = v(S, own modality) - v(S, own modality less i). In Harsanyi dividends d:

    word to cell: pairs_ij = sum over T with i and j of d(T) / |words of T|      cell to word: ... / |cells of T|

which is why direction matters. If all others were players, both would be the Shapley interaction index.

Reference: Baniecki, Biecek and Fumagalli, 2026, the metagame of interpretability, arXiv 2605.06295; the definition as
its authors' code has it, github.com/CredibleAI/metagame (example/main.py, ``metagame``; for words and image tokens
meta_gradeclip/metagame.py, ``Metagame``).
Adapted for autoregressive VLMs: the attribution is occlusion, theirs gradients; long sides are sampled, theirs never.
Cost: every subset of one side beside each player of the other, at most ``budget`` rows (36 cells and 6 words, word to
cell: 2,368 rows of 37 images); where they are more, random orders and their reverses; no gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample
from toolkit.explainers.banzhaf_interaction import crossed
from toolkit.explainers.base import Need, Passes, resolve_target
from toolkit.games.attribution import Details, InteractionAttribution
from toolkit.games.game import all_coalitions
from toolkit.games.interactions import shapley_of_table
from toolkit.typing import Coalitions, Values
from toolkit.vlm.protocol import VLM


@dataclass(frozen=True)
class WordToCellInteraction:
    """What each word adds to the attribution of each cell.

    Attributes:
        budget: Coalitions to evaluate at most.
    """

    budget: int = 4096

    name: ClassVar[str] = "word-to-cell-interaction"
    reference: ClassVar[str] = "Baniecki et al. 2026, arXiv 2605.06295"
    cost: ClassVar[str] = "2^n_text (n_image + 1) forward rows of n_image + 1 images, at most 4,096 (42 players: 2,368)"
    needs: ClassVar[frozenset[Need]] = frozenset({"game"})
    words_join: ClassVar[bool] = True

    def orders(self, n: int, m: int) -> int:
        """Random orders of the n players that join beside m others; 0 where all subsets fit into the budget.

        Raises:
            ValueError: Not even four orders fit.
        """
        if n < 31 and 2**n * (m + 1) <= self.budget:
            return 0
        pairs = self.budget // (2 * (n + 1) * (m + 1))
        if pairs < 2:
            raise ValueError(
                f"{self.name}: a budget of {self.budget} is too small for {n} players that join beside {m}; four "
                f"orders need {4 * (n + 1) * (m + 1)} evaluations, fewer players (players='grid:4x4') less"
            )
        return 2 * pairs

    def passes(self, n: int, n_text: int | None = None) -> Passes:
        """Rows for n players, of whom ``n_text`` are words; where that is not known, as many as the budget."""
        if n_text is None:
            return Passes(self.budget)
        joining, others = (n_text, n - n_text) if self.words_join else (n - n_text, n_text)
        orders = self.orders(joining, others)
        return Passes((others + 1) * (orders * (joining + 1) or 2**joining))

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> InteractionAttribution:
        """Explain what one modality adds to the attributions of the other.

        Raises:
            ValueError: The budget is too small for so many players.
        """
        target = resolve_target(vlm, sample, target)
        game = vlm.game(sample, target=target, baseline=baseline)
        sides = game.players.n_image, game.players.n_text
        n, m = sides[::-1] if self.words_join else sides
        orders = self.orders(n, m)
        ranks = rng.random((orders // 2, n)).argsort(axis=1).argsort(axis=1)
        ranks = np.stack([ranks, n - 1 - ranks], axis=1).reshape(orders, n)
        joined = _beginnings(ranks) if orders else all_coalitions(n)
        beside = np.concatenate([np.ones((1, m), dtype=np.bool_), ~np.eye(m, dtype=np.bool_)])
        values = game(crossed(beside, joined) if self.words_join else crossed(joined, beside))
        table = values.reshape(m + 1, -1).T if self.words_join else values.reshape(-1, m + 1)
        details: Details = {"budget": len(values), "exact": int(not orders)}
        if orders:
            drawn = _gains(lost(table).reshape(orders, n + 1, m), ranks)
            pairs = drawn.mean(axis=0)
            details["error"] = float(np.sqrt((drawn.var(axis=0, ddof=1) / len(drawn)).mean()))
        else:
            pairs = shapley_of_table(lost(table))
        return InteractionAttribution.from_pairs(
            pairs.T if self.words_join else pairs, game.players, self.name, target, n_evaluations=len(values),
            details=details,
        )  # fmt: skip


@dataclass(frozen=True)
class CellToWordInteraction(WordToCellInteraction):
    """What each cell adds to the attribution of each word."""

    name: ClassVar[str] = "cell-to-word-interaction"
    cost: ClassVar[str] = "random orders of the cells, at most 4,096 forward rows (42 players: 3,626)"
    words_join: ClassVar[bool] = False


def lost(table: Values) -> Values:
    """What each of m players adds to the others, (k, m), from values (k, 1 + m): all there, then each left out."""
    return np.asarray(table[:, :1] - table[:, 1:])


def _beginnings(ranks: NDArray[np.intp]) -> Coalitions:
    """The first 0, 1, ..., n players of each order, (orders * (n + 1), n)."""
    n = ranks.shape[1]
    return np.asarray((ranks[:, None] < np.arange(n + 1)[None, :, None]).reshape(-1, n))


def _gains(attributions: Values, ranks: NDArray[np.intp]) -> Values:
    """Gain of every player where it joins, mean of an order and its reverse: (orders / 2, n, m)."""
    steps = np.diff(attributions, axis=1)
    return np.asarray(
        np.take_along_axis(steps, ranks[:, :, None], axis=1).reshape(-1, 2, *steps.shape[1:]).mean(axis=1)
    )
