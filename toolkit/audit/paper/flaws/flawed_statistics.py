"""FLAWS ON PURPOSE: those of statistics and bookkeeping, which change no score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from toolkit.audit.metrics.two_player_macro import compare_with_exact, surrogate_table
from toolkit.audit.paper.flaws.case import FLAWS, STEPS, Case, Flaw, Floats, Spoiled, ranked_columns
from toolkit.explainers import explain
from toolkit.games.game import CachedGame
from toolkit.stats.correlation import Tau, clustered_tau
from toolkit.stats.estimates import clustered_mean
from toolkit.synergy.evaluate import plan_metrics
from toolkit.synergy.f_syn import synergistic_faithfulness, total_interaction
from toolkit.synergy.metrics import DEFAULT_METRICS, METRICS


def _pooled_rho(cases: Sequence[Case], right: Floats) -> Spoiled:
    """Rank correlation with the exact index over all samples and the shared end point, not within samples."""
    rows = [
        row
        for number, case in enumerate(cases)
        for row in compare_with_exact(
            case.vlm.name, case.sample, case.game, [case.attributions[i] for i in ranked_columns(case)],
            steps=5, n_background=2, seed=number,
        )
    ]  # fmt: skip
    found = surrogate_table(pd.DataFrame(rows))["value"]
    within, pooled = (float(found[name]) for name in ("within samples, interior points", "pooled over samples, areas"))
    return Spoiled(right, "rho with the exact index", within, pooled, "index with 2 background players, K = 5")


def known_tau(tau: Tau) -> float:
    """What is known of a tau: the end of its interval that is nearest to 0, and 0 where the interval holds it."""
    return 0.0 if tau.low <= 0 <= tau.high else min(tau.low, tau.high, key=abs)


def _bare_tau(cases: Sequence[Case], right: Floats) -> Spoiled:
    """Kendall's tau taken as it stands, whatever its interval."""
    image, text = (
        np.array([[METRICS[m](c.game, c.attributions[i], STEPS).value for i in ranked_columns(c)] for c in cases])
        for m in ("srg-image", "srg-text")
    )
    tau = clustered_tau(image, text, rng=np.random.default_rng(0))
    note = f"exact p {tau.p:.2g}, interval [{tau.low:+.2f}, {tau.high:+.2f}]"
    return Spoiled(right, "tau of image and text ranking", known_tau(tau), tau.tau, note)


def _unclustered(cases: Sequence[Case], right: Floats, *, more: int = 2) -> Spoiled:
    """Questions on one picture counted as independent: each picture is asked some other pictures' questions too."""
    columns = ranked_columns(cases[0])
    order = sorted(columns, key=lambda i: right[:, i].mean())
    first, last = (cases[0].attributions[i].explainer for i in (order[-1], order[0]))
    differences, images = [], []
    for number, case in enumerate(cases):
        differences.append(float(right[number, order[-1]] - right[number, order[0]]))
        images.append(number)
        others = [cases[(number + step) % len(cases)].sample for step in range(1, more + 1)]
        for step, other in enumerate(others):
            # The truth that comes along is the other picture's; neither of the two explainers reads it.
            asked = replace(other, image=case.sample.image, id=f"{case.sample.id}+{step}")
            game = CachedGame(case.vlm.game(asked))
            maps = [explain(name, case.vlm, asked, seed=number) for name in (first, last)]
            best, worst = (synergistic_faithfulness(game, a, STEPS).value for a in maps)
            differences.append(best - worst)
            images.append(number)
    honest = clustered_mean(differences, images, rng=np.random.default_rng(0)).se
    naive = float(np.std(differences, ddof=1) / np.sqrt(len(differences)))
    note = f"{len(differences)} questions on {len(cases)} pictures"
    return Spoiled(right, f"standard error of {first} - {last}", honest, naive, note)


def _no_cache(cases: Sequence[Case], right: Floats) -> Spoiled:
    plans = [plan_metrics(list(case.attributions), DEFAULT_METRICS, STEPS) for case in cases]
    asked, distinct, images = (
        float(np.mean([getattr(plan, name) for plan in plans])) for name in ("n_requested", "n_coalitions", "n_images")
    )
    return Spoiled(right, "cells asked per sample", distinct, asked, f"over {images:.0f} distinct pictures")


def _no_corners(cases: Sequence[Case], right: Floats) -> Spoiled:
    redundant = sum(total_interaction(case.game).value < 0 for case in cases)
    note = f"{redundant} of them redundant (total interaction below 0)"
    return Spoiled(right, "samples whose total interaction is known", float(len(cases)), 0.0, note)


def _complete_cases(cases: Sequence[Case], right: Floats) -> Spoiled:
    """The lowest of the ranked explainers fails on its worst quarter of samples, which its mean then leaves out."""
    last = min(ranked_columns(cases[0]), key=lambda i: right[:, i].mean())
    wrong = right.copy()
    wrong[np.argsort(right[:, last])[: len(right) // 4], last] = np.nan
    quantity = f"mean score of {cases[0].attributions[last].explainer}"
    return Spoiled(wrong, quantity, float(right[:, last].mean()), float(np.nanmean(wrong[:, last])))


for _name, _number, _what, _spoil in (
    ("pooled-rho", 5, "rho pooled over samples, shared end point included", _pooled_rho),
    ("bare-tau", 6, "tau without its exact p-value and interval", _bare_tau),
    ("unclustered", 11, "questions on one picture treated as independent", _unclustered),
    ("no-cache", 12, "every cell computed again for every curve", _no_cache),
    ("no-corners", 13, "corner values computed and thrown away", _no_corners),
    ("complete-cases", 14, "an explainer's failures vanish: its worst quarter of samples", _complete_cases),
):
    FLAWS.add(_name, Flaw(_number, _what, _spoil))
