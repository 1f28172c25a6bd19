"""Kernel SHAP: Shapley values of the game, estimated by weighted regression on sampled coalitions.

    phi = argmin over phi with sum phi = v(all) - v(nobody) of  E_S [ (v(S) - v(nobody) - sum_{i in S} phi_i)^2 ]

with coalitions weighted by the Shapley kernel and sampled in complementary pairs.

Two independent halves of the budget are drawn. The scores are the regression on both; the error is measured by solving
each half alone: sqrt(mean over players of (phi_first - phi_second)^2) / 2, the standard error of their mean, which the
common regression does not exceed. It is in units of the scores, that is of probability.

Reference: Lundberg and Lee, 2017, arXiv 1705.07874; sampled by shapiq (Muschalik et al., 2024, arXiv 2410.01649);
pairs and the error from independent draws: Covert and Lee, 2021, arXiv 2012.01536.
Adapted for autoregressive VLMs: the players are image cells *and* question tokens of one game, so both modalities
share one budget and the scores are comparable between them.
Cost: 512 forward rows, or 6 per player where that is more, at most 2^n_players (then exact); no gradients. Below 3 rows
per player the regression is often singular, hence the refusal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import helmert

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, resolve_target
from toolkit.extras import need
from toolkit.games.attribution import Attribution, Details
from toolkit.games.game import Game, all_coalitions
from toolkit.typing import Coalitions, Scores
from toolkit.vlm.protocol import VLM

SMALLEST, ENOUGH = 3, 6
"""Coalitions per player: with fewer the regression is often singular; with so many each half of them is sound."""


@dataclass(frozen=True)
class KernelShap:
    """Shapley values by paired regression, with a measured error.

    Attributes:
        budget: Coalitions to evaluate at most; None takes 512, or 6 per player where that is more.
    """

    budget: int | None = None

    name: ClassVar[str] = "kernel-shap"
    reference: ClassVar[str] = "Lundberg and Lee 2017, arXiv 1705.07874"
    cost: ClassVar[str] = "512 forward rows, or 6 per player where that is more"
    needs: ClassVar[frozenset[Need]] = frozenset({"game"})

    def rows(self, n: int) -> int:
        """Coalitions to evaluate among n players at most.

        Raises:
            ValueError: The budget is too small to determine one value per player.
        """
        everything = 1 << n
        wanted = max(512, ENOUGH * n) if self.budget is None else self.budget
        if wanted < min(SMALLEST * n, everything):
            raise ValueError(
                f"kernel-shap: a budget of {wanted} is too small for {n} players; expected at least {SMALLEST * n}, or "
                f"{ENOUGH * n} for an error as well, or fewer players (players='grid:4x4')"
            )
        return min(wanted, everything)

    def passes(self, n: int) -> Passes:
        """The budget and no gradients."""
        return Passes(self.rows(n))

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain v(all) - v(nobody).

        Raises:
            ValueError: The budget, or the coalitions that were drawn, do not determine one value per player.
        """
        target = resolve_target(vlm, sample, target)
        game = vlm.game(sample, target=target, baseline=baseline)
        scores, spent, details = shapley_by_regression(game, self.rows(game.players.n), rng)
        return Attribution(scores, game.players, self.name, target, n_evaluations=spent, details=details)


def shapley_by_regression(game: Game, budget: int, rng: np.random.Generator) -> tuple[Scores, int, Details]:
    """Shapley values (n_players,), distinct coalitions evaluated, and what is known of the error.

    Raises:
        ValueError: The coalitions that were drawn do not determine one value per player.
    """
    n = game.players.n
    ends = np.stack([np.zeros(n, dtype=np.bool_), np.ones(n, dtype=np.bool_)])
    if budget >= 2**n:
        coalitions = all_coalitions(n)[1:-1]
        designs = [(coalitions, _kernel(coalitions.sum(axis=1), n))]
    else:
        designs = [_drawn(n, (budget - 2) // 4, rng) for _ in range(2)]
    coalitions = np.concatenate([drawn for drawn, _ in designs])
    values = game(np.concatenate([ends, coalitions]))
    gain, rest = float(values[1] - values[0]), values[2:] - values[0]
    spent = len(np.unique(np.packbits(coalitions, axis=1), axis=0)) + 2
    scores, rank = _solve(coalitions, rest, np.concatenate([weights for _, weights in designs]), gain)
    if rank < n - 1:
        raise ValueError(
            f"kernel-shap: the {spent} coalitions that were drawn determine {rank + 1} of {n} scores; raise the budget "
            f"to {ENOUGH * n}"
        )
    details: Details = {"budget": spent, "exact": int(len(designs) == 1)}
    if len(designs) == 1:
        return scores, spent, details | {"error": 0.0}
    split = np.split(rest, [len(designs[0][0])])
    halves = [_solve(drawn, half, weights, gain) for (drawn, weights), half in zip(designs, split, strict=True)]
    if min(rank for _, rank in halves) < n - 1:
        return scores, spent, details | {"no_error": f"a half of the budget is too small; it needs {ENOUGH * n}"}
    gaps = halves[0][0] - halves[1][0]
    return scores, spent, details | {"error": math.sqrt(float(np.mean(gaps**2))) / 2}


def _kernel(sizes: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """The Shapley kernel of coalitions of these sizes, up to a factor."""
    return np.array([1.0 / (s * (n - s) * math.comb(n, s)) for s in sizes.tolist()])


def _drawn(n: int, n_pairs: int, rng: np.random.Generator) -> tuple[Coalitions, NDArray[np.float64]]:
    """Distinct coalitions without the two ends, and the weight of each in the regression.

    Sizes of which few coalitions exist are enumerated, the others drawn, always with the complement: what two players
    do together cancels in a pair, so the regression of a game of pairs is exact.
    """
    need("shapley", "kernel-shap", otherwise="take fewer players, whose coalitions are all asked, or occlusion")
    from shapiq.approximator.sampling import CoalitionSampler  # heavy: imported where it is used

    sizes = np.arange(1, n)
    chances = np.concatenate([[0.0], 1.0 / (sizes * (n - sizes)), [0.0]])
    sampler = CoalitionSampler(n, chances, pairing_trick=True, random_state=int(rng.integers(2**31)))
    sampler.sample(2 * n_pairs + 2)
    inner = (sampler.coalitions_size > 0) & (sampler.coalitions_size < n)
    coalitions = np.asarray(sampler.coalitions_matrix, dtype=np.bool_)[inner]
    size, is_drawn = sampler.coalitions_size[inner], sampler.is_coalition_sampled[inner]
    times = np.asarray(sampler.coalitions_counter[inner], dtype=np.float64)
    chance = np.where(is_drawn, sampler.coalitions_size_probability[inner] * times[is_drawn].sum(), 1.0)
    weights = np.where(is_drawn, times / chance / (size * (n - size)), 0.0)
    weights[~is_drawn] = _kernel(size[~is_drawn], n)
    return coalitions, weights


def _solve(
    coalitions: Coalitions, values: NDArray[np.float64], weights: NDArray[np.float64], gain: float
) -> tuple[Scores, int]:
    """Scores (n_players,) that sum to ``gain``, and the rank of their regression, n_players - 1 where it is sound."""
    n = coalitions.shape[1]
    if n == 1:
        return np.array([gain]), 0
    even = np.full(n, gain / n)
    basis = np.asarray(helmert(n)).T  # of the vectors whose entries sum to 0
    root = np.sqrt(weights / weights.max())[:, None]
    found, _, rank, _ = np.linalg.lstsq(root * (coalitions @ basis), root[:, 0] * (values - coalitions @ even))
    return even + basis @ found, int(rank)
