"""Small experiments that the lessons run: scores of several explainers on several samples, as one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, explain, get_explainer
from toolkit.synergy.evaluate import evaluate_all
from toolkit.synergy.metrics import DEFAULT_METRICS
from toolkit.vlm.protocol import VLM

if TYPE_CHECKING:
    import pandas as pd

Watch = Callable[[int, int], None]
"""Called as watch(done, total) after every sample."""


def score_table(
    vlm: VLM,
    samples: Sequence[Sample],
    explainers: Sequence[ExplainerLike],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    steps: int = 10,
    baseline: str = "blur",
    seed: int = 0,
    watch: Watch | None = None,
) -> pd.DataFrame:
    """Score explainers on samples by metrics.

    Args:
        vlm: The model.
        samples: The samples.
        explainers: Registry names, explainer objects or functions.
        metrics: Registry names.
        steps: K.
        baseline: What a removed cell looks like.
        seed: Seed of everything random in the explainers.
        watch: Called after every sample.

    Returns:
        One row per sample, explainer and metric; columns sample, family, gate, target, explainer, metric, value.

    Raises:
        ValueError: No samples or no explainers.
    """
    import pandas as pd

    if not samples or not explainers:
        raise ValueError(f"nothing to score: {len(samples)} samples, {len(explainers)} explainers")
    names = [get_explainer(explainer).name for explainer in explainers]
    rows = []
    for done, sample in enumerate(samples, 1):
        attributions = [explain(one, vlm, sample, baseline=baseline, seed=seed) for one in explainers]
        target = attributions[0].target
        game = vlm.game(sample, target=target, baseline=baseline)
        found = evaluate_all(game, attributions, steps, metrics=metrics)
        gate = sample.truth.gate if sample.truth else ""
        rows += [
            (sample.id, sample.category, gate, target, name, metric, score.value)
            for name, scores in zip(names, found, strict=True)
            for metric, score in scores.items()
        ]
        if watch is not None:
            watch(done, len(samples))
    return pd.DataFrame(rows, columns=["sample", "family", "gate", "target", "explainer", "metric", "value"])


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
