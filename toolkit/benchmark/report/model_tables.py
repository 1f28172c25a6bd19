"""Tables about the models and the metrics themselves: corners, controls, costs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from toolkit.benchmark.report.run_tables import FinishedRun, image_means, leaderboard_keys, seeded
from toolkit.datasets.sample import CORNERS
from toolkit.stats.estimates import Estimate, clustered_mean, paired_test, pooled_mean
from toolkit.stats.verdict import CONTROLS, Judgement, judge


def corners(run: FinishedRun) -> pd.DataFrame:
    """Per model and dataset: accuracy, mean value of the four corner coalitions, total interaction with interval.

    The value is the probability of the model's own answer; ``synergistic`` and ``redundant`` are the shares of samples
    whose total interaction is above +0.1 or below -0.1.
    """
    rows = []
    for model, dataset in leaderboard_keys(run):
        mine = [s for s in run.samples if s["model"] == model and s["dataset"] == dataset and s["status"] == "ok"]
        values = np.array([[s["corners"][name] for name in CORNERS] for s in mine], dtype=np.float64).reshape(-1, 4)
        total = values @ np.array([1.0, -1.0, -1.0, 1.0])
        known = [s["correct"] for s in mine if s["correct"] is not None]
        estimate = clustered_mean(
            total, [str(s["image_id"]) for s in mine], rng=seeded(model, dataset, "corners"),
            n_resamples=run.spec.bootstrap, level=run.spec.level,
        )  # fmt: skip
        middle = values.mean(axis=0).tolist() if mine else [math.nan] * 4
        rows.append(
            {
                "model": model, "dataset": dataset, "n_samples": len(mine), "n_images": estimate.n_clusters,
                "accuracy": float(np.mean(known)) if known else math.nan, **dict(zip(CORNERS, middle, strict=True)),
                "total_interaction": estimate.mean, "low": estimate.low, "high": estimate.high,
                "synergistic": float((total > 0.1).mean()) if mine else math.nan,
                "redundant": float((total < -0.1).mean()) if mine else math.nan,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def judgements(run: FinishedRun) -> dict[tuple[str, str], Judgement]:
    """Each board judged by the headline metric, see :func:`toolkit.stats.verdict.judge`."""
    found = {}
    for key in leaderboard_keys(run):
        table = image_means(run, *key, run.spec.headline, run.spec.explainers)
        found[key] = judge({str(name): table[name].to_numpy(float) for name in table.columns})
    return found


def pooled(run: FinishedRun, keys: list[tuple[str, str]]) -> dict[str, Estimate]:
    """Per explainer its difference to random by the headline metric, pooled over boards.

    Intervals over boards and images, see :func:`toolkit.stats.estimates.pooled_mean`; empty where random did not
    take part.
    """
    boards = {key: image_means(run, *key, run.spec.headline, run.spec.explainers) for key in keys}
    found = {}
    for name in (name for name in run.spec.explainers if name != "random" and "random" in run.spec.explainers):
        gaps = {key: (table[name] - table["random"]).dropna() for key, table in boards.items()}
        estimate = pooled_mean(
            [gap.to_numpy(float) for gap in gaps.values()], [gap.index.astype(str) for gap in gaps.values()],
            [dataset for _, dataset in gaps], level=run.spec.level,
        )  # fmt: skip
        if estimate.n:
            found[name] = estimate
    return found


def controls(run: FinishedRun, *, alpha: float = 0.05) -> pd.DataFrame:
    """Does each metric order the known answers: oracle > random > anti-oracle, each step with p < alpha?

    One row per model, dataset and metric; ``verdict`` and ``reason`` as :func:`toolkit.stats.verdict.judge` gives them.
    """
    names = CONTROLS
    rows = []
    for model, dataset in leaderboard_keys(run):
        for metric in run.spec.metrics:
            if metric == "total-interaction":
                continue
            table = image_means(run, model, dataset, metric, names)
            means = {name: float(table[name].mean()) for name in names}
            upper = paired_test(table["oracle"].to_numpy(float), table["random"].to_numpy(float))
            lower = paired_test(table["random"].to_numpy(float), table["anti-oracle"].to_numpy(float))
            found = judge({name: table[name].to_numpy(float) for name in names}, alpha=alpha)
            rows.append(
                {
                    "model": model, "dataset": dataset, "metric": metric, **means,
                    "p_oracle_random": upper.p, "effect_oracle_random": upper.rank_biserial,
                    "p_random_anti": lower.p, "effect_random_anti": lower.rank_biserial,
                    "n_images": min(upper.n_blocks, lower.n_blocks),
                    "verdict": found.control, "reason": found.reason or None,
                }
            )  # fmt: skip
    columns = ["p_oracle_random", "effect_oracle_random", "p_random_anti", "effect_random_anti"]
    columns = ["model", "dataset", "metric", *names, *columns, "n_images", "verdict", "reason"]
    return pd.DataFrame(rows, columns=columns)


def costs(run: FinishedRun) -> pd.DataFrame:
    """Median seconds and passes per attribution; these numbers differ from run to run."""
    rows = []
    for record in run.records:
        cost = record.get("cost")
        if record["status"] == "ok" and cost:
            rows.append({"model": record["model"], "explainer": record["explainer"], **cost})
    if not rows:
        return pd.DataFrame(columns=["model", "explainer", "seconds", "n_evaluations", "n_gradients"])
    return pd.DataFrame(rows).groupby(["model", "explainer"], sort=False).median(numeric_only=True).reset_index()
