"""The mixed model of the report: score ~ explainer, with a random intercept per picture."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from toolkit.benchmark.report.run_tables import FinishedRun, competitors, leaderboard_frame, leaderboard_keys


def mixed_model(values: ArrayLike, explainers: ArrayLike, groups: ArrayLike, *, reference: str) -> dict[str, Any]:
    """Linear mixed model: score ~ explainer, with a random intercept per picture.

    Returns:
        ``{"converged": bool, "reason": str | None, "effects": {explainer: (difference to the reference, se, p)}}``.
        Where the model did not converge there are no effects: its p-values would mean nothing.
    """
    try:
        from statsmodels.regression.mixed_linear_model import MixedLM
    except ImportError:
        return {"converged": False, "reason": "statsmodels is not installed (extra `stats`)", "effects": {}}
    names = [name for name in dict.fromkeys(np.asarray(explainers).tolist()) if name != reference]
    if not names or len(set(np.asarray(groups).tolist())) < 3:
        return {"converged": False, "reason": "fewer than 2 explainers or 3 pictures", "effects": {}}
    design = np.column_stack([np.ones(len(np.asarray(values)))] + [np.asarray(explainers) == name for name in names])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fit = MixedLM(np.asarray(values, dtype=np.float64), design.astype(np.float64), np.asarray(groups)).fit()
        except (np.linalg.LinAlgError, ValueError) as error:
            return {"converged": False, "reason": f"{type(error).__name__}: {error}", "effects": {}}
    complaints = sorted({str(w.message) for w in caught})
    if not fit.converged or complaints:
        return {"converged": False, "reason": "; ".join(complaints) or "the optimiser did not converge", "effects": {}}
    effects = {
        name: (float(fit.fe_params[i]), float(fit.bse_fe[i]), float(fit.pvalues[i])) for i, name in enumerate(names, 1)
    }
    return {"converged": True, "reason": None, "effects": effects}


def mixed_models(run: FinishedRun) -> pd.DataFrame:
    """One row per model, dataset and explainer: difference to random, by the headline metric.

    Where random did not take part the first explainer is the reference. A model that did not converge has one row that
    says why, and no effects: its p-values would mean nothing.
    """
    names = competitors(run)
    reference = "random" if "random" in names else names[0] if names else ""
    rows = []
    for model, dataset in leaderboard_keys(run):
        board = leaderboard_frame(run, model, dataset)
        part = board[board["explainer"].isin(names)].dropna(subset=[run.spec.headline])
        images = part["image_id"].astype(str)
        found = mixed_model(part[run.spec.headline], part["explainer"], images, reference=reference)
        common = {"model": model, "dataset": dataset, "metric": run.spec.headline, "reference": reference}
        if not found["converged"]:
            nothing = dict.fromkeys(("effect", "se", "p"), math.nan)
            rows.append({**common, "explainer": None, **nothing, "note": found["reason"]})
        for name, (effect, error, p) in found["effects"].items():
            rows.append({**common, "explainer": name, "effect": effect, "se": error, "p": p, "note": None})
    return pd.DataFrame(rows)
