"""Evaluation collapse: do the image metric, the text metric and F_syn rank explainers alike?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from toolkit.audit.metrics.model_checks import ranked, tau
from toolkit.stats.correlation import clustered_tau
from toolkit.stats.estimates import rank_rows

N_HALVES = 200


def _shared(table: pd.DataFrame, metrics: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Complete scores of the ranked explainers by every metric, on the samples that all metrics scored."""
    wide = {metric: ranked(table, metric) for metric in metrics}
    common = sorted(set.intersection(*(set(scores.index) for scores in wide.values())))
    return {metric: scores.loc[common] for metric, scores in wide.items()}


def collapse_table(
    tables: Mapping[str, pd.DataFrame], metrics: Sequence[str] = ("srg-image", "srg-text", "f-syn"), *, seed: int = 0
) -> pd.DataFrame:
    """Kendall's tau between the rankings of two metrics, per model and pooled per dataset.

    Columns: tau with its exact p-value, a bootstrap interval over samples, the standard deviation over random halves
    of the samples (each sample draws its own explainer seeds), and the numbers of concordant and discordant pairs. A
    contradiction is a tau below 0 whose p-value is small; a tau near 0 is no association, which is something else.
    """
    rows = []
    for model, table in tables.items():
        for dataset in (*sorted(table.loc[table["part"] == "explainers", "dataset"].unique()), "all"):
            chosen = table if dataset == "all" else table[table["dataset"] == dataset]
            wide = _shared(chosen, metrics)
            n = len(next(iter(wide.values())))
            if n < 3:
                continue
            for first, second in itertools.combinations(metrics, 2):
                x, y = (wide[m].to_numpy(dtype=np.float64) for m in (first, second))
                found = clustered_tau(x, y, rng=np.random.default_rng(seed))
                rows.append(
                    {
                        "model": model, "dataset": dataset, "first": first, "second": second, "tau": found.tau,
                        "p": found.p, "low": found.low, "high": found.high, "sd over halves": _spread(x, y, seed),
                        "concordant": found.concordant, "discordant": found.discordant, "n": n,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def _spread(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    rng = np.random.default_rng(seed)
    halves = (rng.permutation(len(x))[: max(1, len(x) // 2)] for _ in range(N_HALVES))
    drawn = np.array([tau(x[h].mean(axis=0), y[h].mean(axis=0)) for h in halves])
    drawn = drawn[np.isfinite(drawn)]
    return float(drawn.std(ddof=1)) if drawn.size > 1 else math.nan


def mean_ranks(table: pd.DataFrame, metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    """Rank of each explainer's mean score by each metric, 1 for the largest."""
    found: dict[str, dict[str, float]] = {}
    for metric, scores in _shared(table, metrics).items():
        if len(scores):
            ranks = rank_rows(scores.mean(axis=0).to_numpy(dtype=np.float64)[None])[0]
            found[metric] = dict(zip(map(str, scores.columns), ranks.tolist(), strict=True))
    return found
