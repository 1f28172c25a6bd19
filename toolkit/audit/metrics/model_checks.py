"""The rules that need models, judged from the tidy tables of their studies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from toolkit.audit.metrics.controls import gap_between, kept_share
from toolkit.audit.metrics.study import FILLS, FLOOR, values
from toolkit.audit.metrics.validity_panel import JudgedEntry, judge
from toolkit.stats.estimates import FEW, clustered_mean, paired_test
from toolkit.stats.rank_agreement import auroc

N_RESAMPLES = 1000

Floats = NDArray[np.float64]


def interval(statistic: Callable[[NDArray[np.int64]], float], n: int, *, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic of sample indices; NaN where it cannot be computed.

    Below 30 samples it is bias-corrected and accelerated (BCa), and it never leaves out the statistic itself.

    Reference: Efron, Better bootstrap confidence intervals, 1987.
    """
    rng = np.random.default_rng(seed)
    drawn = np.array([statistic(rng.integers(n, size=n)) for _ in range(N_RESAMPLES)]) if n > 1 else np.array([])
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size < N_RESAMPLES // 2:
        return math.nan, math.nan
    value, levels = statistic(np.arange(n)), np.array([0.025, 0.975])
    if n < FEW:
        levels = _corrected(levels, drawn, value, np.array([statistic(np.delete(np.arange(n), i)) for i in range(n)]))
    low, high = np.quantile(drawn, levels).tolist()
    return min(low, value), max(high, value)


def _corrected(levels: Floats, drawn: Floats, value: float, without: Floats) -> Floats:
    """The levels of a BCa interval, from the resamples and the statistic without each sample in turn."""
    below = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2  # ties of a rank statistic count half
    shift = stats.norm.ppf(np.clip(below, 1 / drawn.size, 1 - 1 / drawn.size))
    away = np.mean(without) - without
    scale = 6 * float(np.sum(away**2)) ** 1.5
    speed = float(np.sum(away**3)) / scale if scale > 0 else 0.0
    z = shift + stats.norm.ppf(levels)
    return np.asarray(stats.norm.cdf(shift + z / (1 - speed * z)), dtype=np.float64)


def _wide(table: pd.DataFrame, metric: str, kinds: Sequence[str], part: str) -> pd.DataFrame:
    """Values of several explainers, one row per sample that all of them scored; means over an explainer's maps."""
    rows = table[(table["metric"] == metric) & (table["part"] == part) & table["explainer"].isin(kinds)]
    return rows.pivot_table(index="sample", columns="explainer", values="value", aggfunc="mean").dropna()


def _paired(table: pd.DataFrame, metric: str, kinds: Sequence[str], part: str = "controls") -> list[Floats]:
    """Values of several explainers on the samples that all of them scored; means over an explainer's several maps."""
    wide = _wide(table, metric, kinds, part)
    return [wide[kind].to_numpy(dtype=np.float64) if kind in wide else np.empty(0) for kind in kinds]


def one_sided_p(first: Floats, second: Floats) -> float:
    """p-value of Wilcoxon's signed-rank test that ``first`` is larger; 1 where all differences are 0."""
    differences = first - second
    moved = differences[differences != 0]
    return float(stats.wilcoxon(moved, alternative="greater").pvalue) if moved.size else 1.0


def controls_entry(table: pd.DataFrame, metric: str, model: str, part: str = "controls") -> JudgedEntry:
    """Oracle > random > anti-oracle on one model."""
    check = "controls" if part == "controls" else "redundant controls"
    found = _paired(table, metric, ("oracle", "random", "anti-oracle"), part)
    n = found[0].size
    if n < 2:
        return judge(metric, check, model, math.nan, math.nan, math.nan, n, "no scored samples")

    def gap(index: NDArray[np.int64]) -> float:
        oracle, random, anti = (float(f[index].mean()) for f in found)
        return gap_between(oracle, random, anti)

    oracle, random, anti = found
    first, second = paired_test(oracle, random), paired_test(random, anti)
    note = (
        f"means {oracle.mean():+.3f}, {random.mean():+.3f}, {anti.mean():+.3f}; rank-biserial "
        f"{first.rank_biserial:+.2f} and {second.rank_biserial:+.2f}"
    )
    return judge(metric, check, model, gap(np.arange(n)), *interval(gap, n), n, note)


def scored_entry(table: pd.DataFrame, metric: str, model: str) -> JudgedEntry:
    """Share of the control samples whose oracle has a score, with Wilson's interval."""
    scored = np.isfinite(values(table, metric, "controls", "oracle"))
    n = scored.size
    if not n:
        return judge(metric, "scored", model, math.nan, math.nan, math.nan, 0, "no samples")
    ends = stats.binomtest(int(scored.sum()), n).proportion_ci(method="wilson")
    share = float(scored.mean())
    low, high = (1.0, 1.0) if share == 1 else (float(ends.low), float(ends.high))
    return judge(metric, "scored", model, share, low, high, n)


def tied_entry(table: pd.DataFrame, metric: str, model: str, kind: str, part: str) -> JudgedEntry:
    """A map with ties against its mean over explicit orders, as a share of the size of oracle - random.

    Orders are keyed by the players' labels, so samples that ask the same question share them, and their luck: the
    interval resamples questions.
    """
    check, subject = f"{kind} map", model if part == "controls" else f"{model}, redundant"
    kinds = (kind, f"{kind}, ordered", "oracle", "random")
    wide = _wide(table, metric, kinds, part)
    n = len(wide)
    if n < 2:
        return judge(metric, check, subject, math.nan, math.nan, math.nan, n, "no scored samples")
    tied, ordered, oracle, random = (wide[name].to_numpy(dtype=np.float64) for name in kinds)
    away, gap = tied - ordered, oracle - random
    known = table.dropna(subset=["question"]).drop_duplicates("sample").set_index("sample")
    asked = known["question"].reindex(wide.index)
    groups = [np.flatnonzero(asked == question) for question in asked.unique()]

    def of(index: NDArray[np.int64]) -> float:
        drawn = np.concatenate([groups[i] for i in index])
        scale = abs(float(gap[drawn].mean()))
        return float(away[drawn].mean()) / scale if scale else math.nan

    value = of(np.arange(len(groups)))
    error = clustered_mean(away, asked, rng=np.random.default_rng(0)).se
    note = f"mean difference {away.mean():+.4f} ± {error:.4f}, {len(groups)} questions"
    return judge(metric, check, subject, value, *interval(of, len(groups)), n, note)


def halves_entry(table: pd.DataFrame, metric: str, model: str) -> JudgedEntry:
    """What half-right maps keep on one grounded model, beyond what the steps leave them on a pure gate."""
    kinds = ("words only", "cells only", "oracle", "anti-oracle")
    found = _paired(table, metric, kinds)
    floors = table.loc[table["metric"] == FLOOR, "value"].to_numpy(dtype=np.float64)
    floor = float(np.nanmean(floors)) if np.isfinite(floors).any() else 0.0
    n = found[0].size
    if n < 2:
        return judge(metric, "half right, models", model, math.nan, math.nan, math.nan, n, "no scored samples")

    def kept(index: NDArray[np.int64]) -> float:
        words, cells, oracle, anti = (f[index].tolist() for f in found)
        return kept_share(words, cells, oracle, anti) - floor

    low, high = interval(kept, n)
    words, cells, oracle, anti = (float(f.mean()) for f in found)
    note = f"means: words only {words:+.3f}, cells only {cells:+.3f}, oracle {oracle:+.3f}, anti-oracle {anti:+.3f}"
    note += f"; the steps leave {floor:.3f}"
    return judge(metric, "half right, models", model, kept(np.arange(n)), low, high, n, note)


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
    both = pd.concat(gaps, axis=1).reindex(asked).dropna(subset=["controls"])
    trained = both["controls"].to_numpy(dtype=np.float64)
    # A metric that scores nothing there, because nothing is joint, finds nothing.
    shuffled = both["weights"].fillna(0.0).to_numpy(dtype=np.float64)
    n = len(trained)

    def left(index: NDArray[np.int64]) -> float:
        scale = float(trained[index].mean())
        return float(shuffled[index].mean()) / scale if scale > 0 else math.nan

    value = left(np.arange(n)) if n else math.nan
    low, high = interval(left, n) if n else (math.nan, math.nan)
    note = f"gap {trained.mean():+.3f} before, {shuffled.mean():+.4f} after" if n else "no scored samples"
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
        "fills": ("default", *FILLS),
        "steps": ("default", "K 5", "K 20"),
        "granularity": ("default", "3 x 3 cells"),
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
            entries += [controls_entry(table, metric, grounded), scored_entry(table, metric, grounded)]
            entries += [controls_entry(table, metric, grounded, "redundant"), halves_entry(table, metric, grounded)]
            entries += [
                tied_entry(table, metric, grounded, kind, part)
                for kind in ("constant", "image-only")
                for part in ("controls", "redundant")
            ]
            entries += [weights_entry(table, metric, grounded), *agreement_entries(table, metric, grounded)]
            if biased in tables:
                entries.append(twins_entry(table, tables[biased], metric, f"{grounded} / {biased}"))
    return entries
