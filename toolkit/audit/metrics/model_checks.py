"""The rules that need models, judged from the tidy tables of their studies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from toolkit.audit.metrics.controls import kept_share
from toolkit.audit.metrics.study import SETTINGS, values
from toolkit.audit.metrics.validity_panel import JudgedEntry, judge
from toolkit.stats.estimates import paired_test

N_RESAMPLES = 1000

Floats = NDArray[np.float64]


def interval(statistic: Callable[[NDArray[np.int64]], float], n: int, *, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a statistic of sample indices; NaN where it cannot be computed."""
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(rng.integers(n, size=n)) for _ in range(N_RESAMPLES)]) if n > 1 else np.array([])
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size < N_RESAMPLES // 2:
        return math.nan, math.nan
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return low, high


def _paired(table: pd.DataFrame, metric: str, kinds: Sequence[str], part: str = "controls") -> list[Floats]:
    """Values of several explainers on the samples that all of them scored."""
    rows = table[(table["metric"] == metric) & (table["part"] == part) & table["explainer"].isin(kinds)]
    wide = rows.pivot_table(index="sample", columns="explainer", values="value", aggfunc="first").dropna()
    return [wide[kind].to_numpy(dtype=np.float64) if kind in wide else np.empty(0) for kind in kinds]


def one_sided_p(first: Floats, second: Floats) -> float:
    """p-value of Wilcoxon's signed-rank test that ``first`` is larger; 1 where all differences are 0."""
    differences = first - second
    moved = differences[differences != 0]
    return float(stats.wilcoxon(moved, alternative="greater").pvalue) if moved.size else 1.0


def interval_of_p(differences: Sequence[Floats], *, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the larger of several one-sided p-values on the same samples.

    Resamples are tested by the normal approximation, all at once; one where all differences are 0 has p = 1. NaN below
    51 samples, where the test itself is exact and the rule does not judge.
    """
    n = differences[0].size
    if n <= 50:
        return math.nan, math.nan
    index = np.random.default_rng(seed).integers(n, size=(N_RESAMPLES, n))
    larger = np.zeros(N_RESAMPLES)
    for difference in differences:
        drawn = difference[index]
        moved = (drawn != 0).any(axis=1)
        p = np.ones(N_RESAMPLES)
        if moved.any():
            kept = stats.wilcoxon(drawn[moved], alternative="greater", method="asymptotic", axis=1, keepdims=True)
            p[moved] = kept.pvalue[:, 0]
        larger = np.maximum(larger, p)
    low, high = np.quantile(larger, [0.025, 0.975]).tolist()
    return low, high


def controls_entry(table: pd.DataFrame, metric: str, model: str) -> JudgedEntry:
    """Oracle > random > anti-oracle on one grounded model."""
    oracle, random, anti = _paired(table, metric, ("oracle", "random", "anti-oracle"))
    if oracle.size < 2:
        return judge(metric, "controls", model, math.nan, math.nan, math.nan, oracle.size, "no scored samples")

    p = max(one_sided_p(oracle, random), one_sided_p(random, anti))
    low, high = interval_of_p((oracle - random, random - anti))
    first, second = paired_test(oracle, random), paired_test(random, anti)
    note = (
        f"means {oracle.mean():+.3f}, {random.mean():+.3f}, {anti.mean():+.3f}; rank-biserial "
        f"{first.rank_biserial:+.2f} and {second.rank_biserial:+.2f}"
    )
    return judge(metric, "controls", model, p, low, high, oracle.size, note)


def halves_entry(table: pd.DataFrame, metric: str, model: str) -> JudgedEntry:
    """What half-right maps keep on one grounded model."""
    found = _paired(table, metric, ("words only", "cells only", "oracle", "anti-oracle"))
    n = found[0].size
    if n < 2:
        return judge(metric, "half right, models", model, math.nan, math.nan, math.nan, n, "no scored samples")

    def kept(index: NDArray[np.int64]) -> float:
        words, cells, oracle, anti = (f[index].tolist() for f in found)
        return kept_share(words, cells, oracle, anti)

    low, high = interval(kept, n)
    words, cells, oracle, anti = (float(f.mean()) for f in found)
    note = f"means: words only {words:+.3f}, cells only {cells:+.3f}, oracle {oracle:+.3f}, anti-oracle {anti:+.3f}"
    return judge(metric, "half right, models", model, kept(np.arange(n)), low, high, n, note)


def auroc(positive: Floats, negative: Floats) -> float:
    """Probability that a random positive exceeds a random negative, ties counting half."""
    if not positive.size or not negative.size:
        return math.nan
    ranks = stats.rankdata(np.concatenate([positive, negative]))[: positive.size].sum()
    return float((ranks - positive.size * (positive.size + 1) / 2) / (positive.size * negative.size))


def twins_entry(grounded: pd.DataFrame, biased: pd.DataFrame, metric: str, subject: str) -> JudgedEntry:
    """AUROC of the oracle's score between twins, on the samples that both were asked."""
    asked = set(grounded.loc[grounded["part"] == "controls", "sample"])
    shared = asked & set(biased.loc[biased["part"] == "controls", "sample"])
    high, low = (values(t[t["sample"].isin(shared)], metric, "controls", "oracle") for t in (grounded, biased))
    high, low = high[np.isfinite(high)], low[np.isfinite(low)]
    n = min(high.size, low.size)
    rng = np.random.default_rng(0)
    drawn = [auroc(rng.choice(high, high.size), rng.choice(low, low.size)) for _ in range(N_RESAMPLES if n > 1 else 0)]
    ends = np.quantile(drawn, [0.025, 0.975]).tolist() if drawn else [math.nan, math.nan]
    note = f"means {high.mean():+.3f} and {low.mean():+.3f}" if n else "no scored samples"
    return judge(metric, "twins", subject, auroc(high, low), ends[0], ends[1], n, note)


def weights_entry(table: pd.DataFrame, metric: str, model: str) -> JudgedEntry:
    """What is left of oracle - random when the model's weights are shuffled."""
    rows = table[(table["metric"] == metric) & (table["part"] == "weights")]
    asked = rows["sample"].unique()
    before = table[table["sample"].isin(asked) & (table["part"] == "controls")]
    gaps = []
    for part, source in (("controls", before), ("weights", rows)):
        wide = source[source["metric"] == metric].pivot_table(index="sample", columns="explainer", values="value")
        gaps.append((wide["oracle"] - wide["random"]) if {"oracle", "random"} <= set(wide) else pd.Series(dtype=float))
        gaps[-1].name = part
    both = pd.concat(gaps, axis=1).reindex(asked)
    trained = both["controls"].to_numpy(dtype=np.float64)
    # A metric that scores nothing there, because nothing is joint, finds nothing.
    shuffled = both["weights"].fillna(0.0).to_numpy(dtype=np.float64)
    n = int(np.isfinite(trained).sum())

    def left(index: NDArray[np.int64]) -> float:
        scale = float(np.nanmean(trained[index])) if np.isfinite(trained[index]).any() else 0.0
        return float(shuffled[index].mean()) / scale if scale > 0 else math.nan

    value = left(np.arange(len(trained))) if n else math.nan
    low, high = interval(left, len(trained)) if n else (math.nan, math.nan)
    note = f"gap {np.nanmean(trained):+.3f} before, {shuffled.mean():+.4f} after" if n else "no scored samples"
    if n and math.isnan(value):
        note += "; no positive gap to compare with"
    return judge(metric, "random weights", model, value, low, high, n, note)


def tau(first: Floats, second: Floats) -> float:
    """Kendall's tau-b of two score vectors, without a p-value; NaN where one is constant."""
    pairs = np.triu_indices(first.size, 1)
    a, b = (np.sign(x[pairs[0]] - x[pairs[1]]) for x in (first, second))
    scale = math.sqrt(float(np.abs(a).sum() * np.abs(b).sum()))
    return float(a @ b) / scale if scale > 0 else math.nan


def ranked(table: pd.DataFrame, metric: str, setting: str = "default") -> pd.DataFrame:
    """Scores of the ranked explainers, one row per sample, complete rows only."""
    rows = table[(table["metric"] == metric) & (table["part"] == "explainers") & (table["setting"] == setting)]
    return rows.pivot_table(index="sample", columns="explainer", values="value", aggfunc="first").dropna()


def _agreement(tables: Sequence[pd.DataFrame]) -> tuple[float, float, float, int]:
    """Smallest tau between the mean rankings of several settings on their common samples, with its interval."""
    shared = sorted(set.intersection(*(set(t.index) for t in tables)))
    arrays = [t.loc[shared].to_numpy(dtype=np.float64) for t in tables]

    def smallest(index: NDArray[np.int64]) -> float:
        means = [a[index].mean(axis=0) for a in arrays]
        return min(tau(x, y) for x, y in itertools.combinations(means, 2))

    if len(shared) < 2 or arrays[0].shape[1] < 3:
        return math.nan, math.nan, math.nan, len(shared)
    return smallest(np.arange(len(shared))), *interval(smallest, len(shared)), len(shared)


def agreement_entries(table: pd.DataFrame, metric: str, model: str) -> list[JudgedEntry]:
    """Rank agreement over baselines, steps, granularity, and over random halves of the samples."""
    wanted = {
        "baselines": ("default", *SETTINGS[:2]),
        "steps": ("default", *SETTINGS[2:4]),
        "granularity": ("default", SETTINGS[4]),
    }
    entries = []
    for check, settings in wanted.items():
        value, low, high, n = _agreement([ranked(table, metric, setting) for setting in settings])
        entries.append(
            judge(metric, check, model, value, low, high, n, "" if math.isfinite(value) else "too few samples")
        )
    scores = ranked(table, metric).to_numpy(dtype=np.float64)
    n = len(scores)
    rng = np.random.default_rng(0)
    taus = []
    for _ in range(200 if n >= 4 else 0):
        order = rng.permutation(n)
        halves = scores[order[: n // 2]].mean(axis=0), scores[order[n // 2 :]].mean(axis=0)
        taus.append(tau(*halves))
    finite = np.array(taus)[np.isfinite(taus)] if taus else np.array([])
    ends = np.quantile(finite, [0.025, 0.975]).tolist() if finite.size else [math.nan, math.nan]
    mean = float(finite.mean()) if finite.size else math.nan
    entries.append(judge(metric, "seeds", model, mean, ends[0], ends[1], n, "" if finite.size else "too few samples"))
    return entries


def model_entries(tables: dict[str, pd.DataFrame], pairs: dict[str, str], metrics: Sequence[str]) -> list[JudgedEntry]:
    """All entries of models.

    Args:
        tables: Tidy study tables by model name.
        pairs: Grounded model name to the name of its biased twin, which may be missing from ``tables``.
        metrics: Names of the judged metrics.
    """
    entries: list[JudgedEntry] = []
    for metric in metrics:
        for grounded, biased in pairs.items():
            if grounded not in tables:
                continue
            table = tables[grounded]
            entries += [controls_entry(table, metric, grounded), halves_entry(table, metric, grounded)]
            entries += [weights_entry(table, metric, grounded), *agreement_entries(table, metric, grounded)]
            if biased in tables:
                entries.append(twins_entry(table, tables[biased], metric, f"{grounded} / {biased}"))
    return entries
