"""Similarity of two attributions by their ranks, and means of such numbers with their standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata, spearmanr

from toolkit.games.attribution import Attribution
from toolkit.typing import Scores


def rank_correlation(one: Scores, two: Scores) -> float:
    """Spearman's rho of two score vectors, in [-1, 1]; NaN where either is constant (no ranking to compare).

    Raises:
        ValueError: They differ in length.
    """
    if one.shape != two.shape:
        raise ValueError(f"cannot compare scores of shapes {one.shape} and {two.shape}")
    if one.size < 2 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(one), rankdata(two))[0, 1])


def spearman(x: Scores, y: Scores) -> float:
    """The same by SciPy; NaN also for fewer than three values and where either is constant but for rounding."""
    return math.nan if len(x) < 3 or np.ptp(x) < 1e-12 or np.ptp(y) < 1e-12 else float(spearmanr(x, y).statistic)


def auroc(positive: Scores, negative: Scores) -> float:
    """Probability that a random positive exceeds a random negative, ties counting half; NaN where there are none."""
    n, m = positive.size, negative.size
    if not n or not m:
        return math.nan
    return float((rankdata(np.concatenate([positive, negative]))[:n].sum() - n * (n + 1) / 2) / (n * m))


def structural_similarity(one: Scores, two: Scores, shape: tuple[int, int], window: int = 3) -> float:
    """SSIM of two maps: the mean over all windows of a grid of how alike levels, spreads and patterns are, in [-1, 1].

        (2 m1 m2 + c1) (2 s12 + c2) / ((m1^2 + m2^2 + c1) (s1^2 + s2^2 + c2)),  c1 = (0.01 L)^2, c2 = (0.03 L)^2

    with the means m, variances s^2 and covariance s12 of a window. Each map is first divided by its largest size, so
    that 0 stays 0 and L = 2; a map that is 0 everywhere stays so. Two maps without any pattern are alike.

    Args:
        one: Shape (rows * columns,), in row-major order.
        two: Likewise.
        shape: Rows and columns.
        window: Side of a window; a smaller grid is one window.

    Raises:
        ValueError: The maps do not have this shape.

    Reference: Wang et al., Image quality assessment, 2004.
    """
    rows, columns = shape
    if one.shape != (rows * columns,) or two.shape != one.shape:
        raise ValueError(f"expected two maps of {rows} x {columns} cells, got shapes {one.shape} and {two.shape}")
    side = (min(window, rows), min(window, columns))
    scaled = [scores / max(float(np.abs(scores).max()), np.finfo(np.float64).tiny) for scores in (one, two)]
    first, second = (
        np.lib.stride_tricks.sliding_window_view(s.reshape(shape), side).reshape(-1, side[0] * side[1]) for s in scaled
    )
    m1, m2 = first.mean(axis=1), second.mean(axis=1)
    v1, v2 = first.var(axis=1), second.var(axis=1)
    shared = (first * second).mean(axis=1) - m1 * m2
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    return float(np.mean((2 * m1 * m2 + c1) * (2 * shared + c2) / ((m1**2 + m2**2 + c1) * (v1 + v2 + c2))))


def text_share(attribution: Attribution) -> float:
    """Share of the absolute attribution that lies on the question, in [0, 1]; NaN where all scores are 0."""
    total = float(np.abs(attribution.scores).sum())
    return float(np.abs(attribution.of("text")).sum()) / total if total > 0 else math.nan


def mean_and_error(values: Sequence[float]) -> tuple[float, float, int]:
    """Mean of the values that are not NaN, its standard error (NaN below two values), and how many there are."""
    known = np.array([value for value in values if not math.isnan(value)], dtype=np.float64)
    if len(known) == 0:
        return math.nan, math.nan, 0
    error = float(known.std(ddof=1) / math.sqrt(len(known))) if len(known) > 1 else math.nan
    return float(known.mean()), error, len(known)
