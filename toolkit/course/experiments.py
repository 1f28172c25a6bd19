"""Reading the table that ``toolkit.measure`` returns: by sample, by mean, by rank."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def by_sample(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per sample, one column per explainer.

    Raises:
        KeyError: The table has no such metric.
    """
    if metric not in set(table["metric"]):
        raise KeyError(f"the table has no metric {metric!r}; it has {', '.join(sorted(set(table['metric'])))}")
    chosen = table[table["metric"] == metric]
    return chosen.pivot(index="sample", columns="explainer", values="value")


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over samples: one row per explainer, in the order of the table, and one column per metric."""
    found = table.pivot_table(index="explainer", columns="metric", values="value", aggfunc="mean")
    return found.loc[list(dict.fromkeys(table["explainer"]))]


def ranks(table: pd.DataFrame, metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    """Rank of each explainer by its mean, 1 for the largest, for each metric."""
    placed = means(table)[list(metrics)].rank(ascending=False)
    return {metric: {str(name): float(rank) for name, rank in placed[metric].items()} for metric in metrics}
