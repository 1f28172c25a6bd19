"""How alike two attributions are, and how a table of such numbers is summarised."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from toolkit.explainers.attribution import Attribution
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
