"""Is F_syn a surrogate of the exact interaction index? Within a sample, over explainers, between the shared end points.

The paper reports rho = .92, pooled over samples. Two things make that number high without any surrogate quality: at
k = 1 both curves equal the sample's total interaction whatever the explainer, and samples differ in that total far
more than explainers differ on one sample. A metric that ranks explainers must agree with the index where explainers
differ: within one sample, at 0 < k < 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from toolkit.datasets.sample import Sample
from toolkit.games.attribution import Attribution
from toolkit.games.game import Game
from toolkit.stats.estimates import clustered_mean
from toolkit.stats.rank_agreement import spearman
from toolkit.synergy.f_syn import synergistic_faithfulness
from toolkit.synergy.macro_sii import macro_game_sii

PAPER_RHO = 0.92


STEPS, N_BACKGROUND = 2, 6
"""K of the curves that are compared, whose one interior point is k = 1/2; background players of the exact index."""


def compare_with_exact(
    model: str, sample: Sample, game: Game, attributions: Sequence[Attribution], *,
    steps: int = STEPS, n_background: int = N_BACKGROUND, seed: int | Sequence[int],
) -> list[dict[str, Any]]:  # fmt: skip
    """F_syn's curve and the exact index of one sample's attributions: one row per attribution and k, with their costs.

    All attributions see the same random background, and both numbers the same order of tied players.
    """
    rows: list[dict[str, Any]] = []
    for attribution in attributions:
        cheap = synergistic_faithfulness(game, attribution, steps, tie_seeds=(0,))
        exact = macro_game_sii(game, attribution, steps, rng=np.random.default_rng(seed), n_background=n_background)
        for k, fast, slow in zip(cheap.fractions, cheap.curve, exact.curve, strict=True):
            rows.append(
                {
                    "model": model, "sample": sample.id, "image_id": sample.image_id or sample.id,
                    "explainer": attribution.explainer, "k": float(k), "f-syn": float(fast), "exact": float(slow),
                    "f-syn area": cheap.value, "exact area": exact.value,
                    "f-syn cost": cheap.n_evaluations, "exact cost": exact.n_evaluations,
                }
            )  # fmt: skip
    return rows


def surrogate_table(rows: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """The paper's pooled number, the honest one, and what lies between them."""
    areas = rows.drop_duplicates(["sample", "explainer"])
    interior = rows[(rows["k"] > 0) & (rows["k"] < 1)]
    within = _within(interior)
    clusters = [str(rows.loc[rows["sample"] == sample, "image_id"].iloc[0]) for sample in within.index]
    finite = np.isfinite(within.to_numpy())
    honest = clustered_mean(within.to_numpy()[finite], np.array(clusters)[finite], rng=np.random.default_rng(seed))
    exact = areas.pivot_table(index="sample", columns="explainer", values="exact area")
    between = float(exact.mean(axis=1).var(ddof=0) / exact.to_numpy().var(ddof=0)) if exact.size else math.nan
    lines = [
        ("pooled over samples, areas", _pooled(areas, "f-syn area", "exact area"), math.nan, math.nan, len(areas),
         f"the paper's way ({PAPER_RHO} there): all samples and explainers together, shared end point included"),
        ("pooled, explainers shuffled within samples", _shuffled(areas, seed), math.nan, math.nan, len(areas),
         "the same after giving each explainer's exact value to another one of the sample: what samples alone explain"),
        ("pooled, interior points", _pooled(interior, "f-syn", "exact"), math.nan, math.nan, len(interior),
         "all samples together, without the end points"),
        ("within samples, interior points", honest.mean, honest.low, honest.high, honest.n,
         "mean over samples and 0 < k < 1 of the rank correlation over explainers: can it rank explainers?"),
        ("share of variance between samples", between, math.nan, math.nan, len(exact),
         "of the exact area: what no explainer can change"),
        ("cost ratio", float(areas["exact cost"].mean() / areas["f-syn cost"].mean()), math.nan, math.nan, len(areas),
         "distinct coalitions of the exact index over those of F_syn"),
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=["quantity", "value", "low", "high", "n", "meaning"]).set_index("quantity")


def _pooled(rows: pd.DataFrame, first: str, second: str) -> float:
    return spearman(rows[first].to_numpy(dtype=np.float64), rows[second].to_numpy(dtype=np.float64))


def _within(interior: pd.DataFrame) -> pd.Series[float]:
    """Per sample, the mean over k of Spearman's rho over explainers; NaN where no k tells them apart."""
    found: dict[str, float] = {}
    for sample, of_sample in interior.groupby("sample"):
        rhos = [_pooled(of_k, "f-syn", "exact") for _, of_k in of_sample.groupby("k")]
        finite = [rho for rho in rhos if math.isfinite(rho)]
        found[str(sample)] = float(np.mean(finite)) if finite else math.nan
    return pd.Series(found, dtype=float)


def _shuffled(areas: pd.DataFrame, seed: int, *, n: int = 200) -> float:
    rng = np.random.default_rng(seed)
    fast = areas["f-syn area"].to_numpy(dtype=np.float64)
    slow = areas["exact area"].to_numpy(dtype=np.float64)
    groups = [np.flatnonzero(areas["sample"].to_numpy() == sample) for sample in areas["sample"].unique()]
    drawn = []
    for _ in range(n):
        mixed = slow.copy()
        for group in groups:
            mixed[group] = slow[rng.permutation(group)]
        drawn.append(spearman(fast, mixed))
    return float(np.nanmean(drawn)) if np.isfinite(drawn).any() else math.nan
