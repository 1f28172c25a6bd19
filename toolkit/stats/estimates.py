"""The statistics of the report, fixed before any result is seen.

Samples that share a picture are not independent: every interval resamples pictures, not samples, and paired tests
compare one number per picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]

FEW = 30
"""Below so many clusters or samples a percentile interval is corrected or replaced."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Attributes:
        mean: Mean over samples; NaN without samples.
        low: Lower end of the percentile interval; NaN with fewer than two clusters.
        high: Upper end.
        se: Standard error: standard deviation of the resampled means, below 30 clusters by its formula.
        n: Samples.
        n_clusters: Pictures.
    """

    mean: float
    low: float
    high: float
    se: float
    n: int
    n_clusters: int


def cluster_weights(n_clusters: int, n_resamples: int, rng: np.random.Generator) -> Floats:
    """How often each cluster is drawn in each resample, (n_resamples, n_clusters)."""
    return rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=n_resamples).astype(np.float64)


def clustered_mean(
    values: ArrayLike, clusters: ArrayLike, *, rng: np.random.Generator, n_resamples: int = 2000, level: float = 0.95
) -> Estimate:
    """Mean of samples with a percentile bootstrap interval over clusters; Student's below 30 clusters.

    With few clusters a percentile interval is too short: of ten it covers 90 % where 95 % are asked for. Student's uses
    the standard error of a ratio of cluster sums and never leaves the range of the values.

    Args:
        values: Shape (n,); NaN is refused, leave missing values out and count them.
        clusters: Shape (n,): which cluster each value belongs to.
        rng: Draws the resamples.
        n_resamples: Number of bootstrap resamples.
        level: Coverage, in (0, 1).

    Raises:
        ValueError: The shapes differ or a value is not finite.

    Reference: Field and Welsh, Bootstrapping clustered data, 2007.
    """
    x = np.asarray(values, dtype=np.float64)
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    if x.shape != index.shape or x.ndim != 1:
        raise ValueError(f"values and clusters must be two vectors of one length, got {x.shape} and {index.shape}")
    if not np.isfinite(x).all():
        raise ValueError("values must be finite; leave missing ones out and count them")
    if x.size == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0, 0)
    mean = float(x.mean())
    if len(names) < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, x.size, len(names))
    sums, counts = np.bincount(index, x), np.bincount(index).astype(np.float64)
    if len(names) < FEW:
        away, free = sums - mean * counts, len(names) - 1
        se = math.sqrt(len(names) / free * float(away @ away)) / x.size
        reach = float(stdtrit(free, (1 + level) / 2)) * se
        low, high = max(mean - reach, float(x.min())), min(mean + reach, float(x.max()))
        return Estimate(mean, low, high, se, x.size, len(names))
    drawn = cluster_weights(len(names), n_resamples, rng)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(mean, float(low), float(high), float(means.std(ddof=1)), x.size, len(names))


def pooled_mean(
    values: Sequence[ArrayLike], images: Sequence[ArrayLike], sources: Sequence[str], *, level: float = 0.95
) -> Estimate:
    """Mean over boards of each board's mean, with Student's interval for other boards and other images like these.

        se^2 = V + max(0, A - (G V_alone - V) / (G - 1)),   A = variance of the G board means / G

    V is the variance over images where boards that share images move together, V_alone what it were if they did not;
    A holds V_alone less what is shared, so no part counts twice. The degrees of freedom are Satterthwaite's, G - 1
    where boards differ by more than their images say. The interval never leaves the range of the values. A percentile
    bootstrap of boards, then images, covers 80 % where two boards of nine images differ and 89 % of one board.

    Args:
        values: Per board its finite values, one per image, shape (n_images,).
        images: Per board the images they belong to.
        sources: Per board where its images come from; boards of equal names share images.
        level: Coverage, in (0, 1).

    Returns:
        The estimate; ``n`` counts values and ``n_clusters`` images. A single board varies over its images alone.

    Reference: Satterthwaite, An approximate distribution of estimates of variance components, 1946.

    Example:
        >>> import numpy as np
        >>> from toolkit.stats.estimates import pooled_mean
        >>> images = np.arange(9)
        >>> found = pooled_mean([images * 0 + 1.0, images * 0 + 3.0], [images, images], ["a", "a"])
        >>> found.mean, found.low, found.high
        (2.0, 1.0, 3.0)
    """
    boards = [
        (np.asarray(x, dtype=np.float64), np.asarray(i, dtype=str), source)
        for x, i, source in zip(values, images, sources, strict=True)
        if np.size(x)
    ]
    if not boards:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0, 0)
    n_boards, means = len(boards), np.array([x.mean() for x, _, _ in boards])
    mean, n = float(means.mean()), sum(x.size for x, _, _ in boards)
    shared, alone, free, n_images = 0.0, 0.0, 0.0, 0
    for source in dict.fromkeys(source for _, _, source in boards):
        own = [(x, i) for x, i, name in boards if name == source]
        known = np.unique(np.concatenate([i for _, i in own]))
        n_images += len(known)
        if len(known) < 2:
            continue
        away = np.zeros((len(own), len(known)))
        for row, (x, i) in zip(away, own, strict=True):
            np.add.at(row, np.searchsorted(known, i), (x - x.mean()) / (x.size * n_boards))
        lost = len(known) / (len(known) - 1)
        variance = lost * float(np.square(away.sum(axis=0)).sum())
        shared, alone = shared + variance, alone + lost * float(np.square(away).sum())
        free += variance**2 / (len(known) - 1)
    if n_images < 2:
        return Estimate(mean, math.nan, math.nan, math.nan, n, n_images)
    between = float(means.var(ddof=1)) / n_boards if n_boards > 1 else 0.0
    excess = between - (n_boards * alone - shared) / (n_boards - 1) if n_boards > 1 else 0.0
    square = shared + max(0.0, excess)
    if square == 0:
        return Estimate(mean, mean, mean, 0.0, n, n_images)
    by_board = between**2 / (n_boards - 1) if n_boards > 1 else 0.0
    by_image = (square - between) ** 2 * free / shared**2 if shared > 0 else 0.0
    reach = float(stdtrit(square**2 / (by_board + by_image), (1 + level) / 2)) * math.sqrt(square)
    low, high = (float(end([x.min() if end is min else x.max() for x, _, _ in boards])) for end in (min, max))
    return Estimate(mean, max(mean - reach, low), min(mean + reach, high), math.sqrt(square), n, n_images)


def rank_rows(matrix: ArrayLike) -> Floats:
    """Ranks of the columns within each row, 1 for the largest; ties share their mean rank."""
    from scipy import stats

    return np.asarray(stats.rankdata(-np.asarray(matrix, dtype=np.float64), axis=1), dtype=np.float64)


@dataclass(frozen=True)
class RankTest:
    """Friedman's test over blocks, and the Nemenyi test between all pairs.

    Attributes:
        mean_ranks: Shape (k,); 1 is best.
        statistic: Friedman's chi-square; NaN where it is not defined.
        p: Its p-value.
        critical_difference: Mean ranks further apart than this differ at level ``alpha``.
        pairwise_p: Shape (k, k): Nemenyi p-values.
        n_blocks: Complete blocks (pictures).
        reason: Why there is no test, or None.
    """

    mean_ranks: Floats
    statistic: float
    p: float
    critical_difference: float
    pairwise_p: Floats
    n_blocks: int
    reason: str | None = None


def friedman_nemenyi(matrix: ArrayLike, *, alpha: float = 0.05) -> RankTest:
    """Do k explainers rank differently over n blocks, and which pairs do?

        CD = q_alpha sqrt(k (k + 1) / (6 n)),   q_alpha: studentised range for infinite degrees of freedom over sqrt(2)

    Args:
        matrix: Shape (n_blocks, k): larger is better; complete blocks only.
        alpha: Level of the critical difference.

    Reference: Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006.
    """
    x = np.asarray(matrix, dtype=np.float64)
    n, k = x.shape
    ranks = rank_rows(x).mean(axis=0) if n else np.full(k, math.nan)
    nothing = np.full((k, k), math.nan)
    if k < 3 or n < 2:
        reason = f"Friedman's test needs 3 explainers and 2 complete blocks, there are {k} and {n}"
        return RankTest(ranks, math.nan, math.nan, math.nan, nothing, n, reason)
    if np.ptp(x, axis=1).max() == 0:
        return RankTest(ranks, math.nan, math.nan, math.nan, nothing, n, "all explainers are tied in every block")
    from scipy import stats

    statistic, p = stats.friedmanchisquare(*x.T)
    spread = math.sqrt(k * (k + 1) / (12 * n))
    critical = float(stats.studentized_range.ppf(1 - alpha, k, np.inf)) * spread
    pairwise = stats.studentized_range.sf(np.abs(ranks[:, None] - ranks[None, :]) / spread, k, np.inf)
    return RankTest(ranks, float(statistic), float(p), critical, np.asarray(pairwise, dtype=np.float64), n)


def holm(p_values: ArrayLike) -> Floats:
    """P-values adjusted for multiple tests by Holm's step-down method; NaN stays NaN and is not counted."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, math.nan)
    valid = np.flatnonzero(np.isfinite(p))
    order = valid[np.argsort(p[valid], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors)) if len(order) else []
    return adjusted


@dataclass(frozen=True)
class PairedTest:
    """Two explainers on the same blocks.

    Attributes:
        difference: Mean of first minus second.
        p: Two-sided Wilcoxon signed-rank p-value; NaN where all differences are 0.
        rank_biserial: Matched-pairs rank-biserial correlation, in [-1, 1]: share of rank mass in favour minus against.
        cohens_dz: Mean difference over its standard deviation; NaN where that is 0.
        n_blocks: Blocks that have both.
    """

    difference: float
    p: float
    rank_biserial: float
    cohens_dz: float
    n_blocks: int


def paired_test(first: ArrayLike, second: ArrayLike) -> PairedTest:
    """Wilcoxon's signed-rank test with its effect sizes; blocks where one is NaN are left out.

    Reference: Kerby, The simple difference formula, 2014 (rank-biserial correlation).
    """
    d = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    d = d[np.isfinite(d)]
    if d.size == 0:
        return PairedTest(math.nan, math.nan, math.nan, math.nan, 0)
    sd = float(d.std(ddof=1)) if d.size > 1 else 0.0
    dz = float(d.mean()) / sd if sd > 0 else math.nan
    moved = d[d != 0]
    if moved.size == 0:
        return PairedTest(float(d.mean()), math.nan, 0.0, dz, d.size)
    from scipy import stats

    ranks = stats.rankdata(np.abs(moved))
    biserial = float((ranks * np.sign(moved)).sum() / ranks.sum())
    p = float(stats.wilcoxon(moved).pvalue)
    return PairedTest(float(d.mean()), p, biserial, dz, d.size)
