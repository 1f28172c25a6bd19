"""Kendall's tau between rankings: exact p-values, and intervals over pictures."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from toolkit.stats.estimates import cluster_weights


@dataclass(frozen=True)
class Tau:
    """Kendall's rank correlation (tau-b) of two rankings of the same methods.

    Attributes:
        tau: In [-1, 1]; NaN where a ranking is constant.
        p: Two-sided p-value under random order.
        method: ``"exact"``, ``"asymptotic"`` or ``"undefined"``.
        concordant: Pairs in the same order.
        discordant: Pairs in opposite order.
        low: Bootstrap interval over pictures, NaN where there is none.
        high: Its upper end.
    """

    tau: float
    p: float
    method: str
    concordant: int
    discordant: int
    low: float = math.nan
    high: float = math.nan


MAX_PERMUTED = 8
"""With ties in both rankings, the exact p-value enumerates all orders of up to so many methods."""


def _inversions(sizes: list[int]) -> list[int]:
    """How many orders of a multiset have 0, 1, 2, ... inversions: the coefficients of the q-multinomial.

    Args:
        sizes: Size of each group of equal items.
    """
    found, n = [1], 0
    for size in sizes:
        for i in range(1, size + 1):
            n += 1
            raised = found + [0] * n  # times (1 - q^n), then divided by (1 - q^i)
            for degree in range(len(found)):
                raised[degree + n] -= found[degree]
            for degree in range(i, len(raised)):
                raised[degree] += raised[degree - i]
            found = raised[: len(raised) - i]
    return found


def _exact_p(balance: float, sizes: list[int]) -> float:
    """Share of all orders whose concordant minus discordant pairs are at least as far from 0 as ``balance``."""
    counts = _inversions(sizes)
    pairs = len(counts) - 1
    extreme = sum(count for swapped, count in enumerate(counts) if abs(pairs - 2 * swapped) >= abs(balance) - 1e-9)
    return float(extreme / sum(counts))


def kendall_tau(first: ArrayLike, second: ArrayLike) -> Tau:
    """Kendall's tau-b with an exact p-value.

    By counting inversions where at most one of the rankings has ties; by enumeration where both have and there are few
    methods; else by the normal approximation, and ``method`` says so.

    Raises:
        ValueError: The vectors differ in length or hold a NaN.

    Reference: Kendall, A new measure of rank correlation, 1938.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"two finite vectors of one length are needed, got shapes {x.shape} and {y.shape}")
    pairs = np.triu_indices(x.size, 1)
    sx, sy = np.sign(x[:, None] - x)[pairs], np.sign(y[:, None] - y)[pairs]
    agree = sx * sy
    concordant, discordant = int((agree > 0).sum()), int((agree < 0).sum())
    if x.size < 2 or not sx.any() or not sy.any():
        return Tau(math.nan, math.nan, "undefined", concordant, discordant)
    tau = float(agree.sum() / math.sqrt(np.abs(sx).sum() * np.abs(sy).sum()))
    if (sx != 0).all() or (sy != 0).all():
        _, sizes = np.unique(x if (sx == 0).any() else y, return_counts=True)
        return Tau(tau, _exact_p(float(agree.sum()), sizes.tolist()), "exact", concordant, discordant)
    if x.size <= MAX_PERMUTED:
        orders = np.array(list(itertools.permutations(range(x.size))))
        shuffled = y[orders]
        signs = np.sign(shuffled[:, pairs[0]] - shuffled[:, pairs[1]])
        p = float((np.abs(signs @ sx) >= abs(agree.sum()) - 1e-9).mean())
        return Tau(tau, p, "exact", concordant, discordant)
    return Tau(tau, float(stats.kendalltau(x, y).pvalue), "asymptotic", concordant, discordant)


def clustered_tau(
    first: ArrayLike, second: ArrayLike, *, rng: np.random.Generator, n_resamples: int = 2000, level: float = 0.95
) -> Tau:
    """Tau between the mean scores of k methods, with a percentile interval over resampled pictures.

    Args:
        first: Shape (n_blocks, k): one metric, a row per picture; complete blocks only.
        second: The same for the other metric.
        rng: Draws the resamples.
        n_resamples: Number of resamples.
        level: Coverage.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    found = kendall_tau(x.mean(axis=0), y.mean(axis=0))
    if len(x) < 2 or math.isnan(found.tau):
        return found
    drawn = cluster_weights(len(x), n_resamples, rng) / len(x)
    pairs = np.triu_indices(x.shape[1], 1)
    sx, sy = (np.sign(m[:, pairs[0]] - m[:, pairs[1]]) for m in (drawn @ x, drawn @ y))
    with np.errstate(invalid="ignore"):
        taus = (sx * sy).sum(axis=1) / np.sqrt(np.abs(sx).sum(axis=1) * np.abs(sy).sum(axis=1))
    low, high = np.nanquantile(taus, [(1 - level) / 2, (1 + level) / 2])
    return Tau(found.tau, found.p, found.method, found.concordant, found.discordant, float(low), float(high))
