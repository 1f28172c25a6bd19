"""Two figures of a whole run: where each explainer stands against random, and how much joint part there is to find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import FAINT, INK, new_figure, one_chart, styled
from toolkit.stats.verdict import ABOVE, BELOW, Judgement

RANDOM_MAP = LinearSegmentedColormap.from_list("below-above", ["#8C510A", "#F7F7F7", "#084594"])
"""Brown (below random) over white (random) to navy (above): not the colours of a map, which mean something else."""
_WIDTH = 12.4
MARKS = {ABOVE: "▲", BELOW: "▼"}


def standings_map(differences: pd.DataFrame, boards: Mapping[tuple[str, str], Judgement], *, metric: str) -> Drawing:
    """Mean difference to random of each explainer (rows) on each board (columns), on one scale.

    Args:
        differences: Indexed by explainer, one column per (model, dataset); NaN where there is none.
        boards: Judgement of each column; a triangle marks what is separated from random, and a board whose control
            failed is grey.
        metric: Name of the metric.
    """
    keys: list[Any] = list(differences.columns)
    values = differences.to_numpy(dtype=np.float64)
    shown = np.where([boards[key].may_rank for key in keys], values, np.nan)
    limit = float(np.nanmax(np.abs(shown))) if np.isfinite(shown).any() else 1.0
    rows, columns = values.shape
    with one_chart(_WIDTH, 1.9 + 0.24 * rows) as (figure, axes):
        image = axes.imshow(shown, cmap=RANDOM_MAP, vmin=-limit, vmax=limit, aspect="auto")
        figure.colorbar(image, ax=axes, label=f"{metric} minus random's", pad=0.01, shrink=0.85)
        for x, key in enumerate(keys):
            if not boards[key].may_rank:
                axes.add_patch(Rectangle((x - 0.5, -0.5), 1, rows, facecolor="#d5d8dd", hatch="///", edgecolor="white"))
            for y, name in enumerate(differences.index):
                mark = MARKS.get(boards[key].standings.get(str(name), ""), "")
                ink = "white" if abs(values[y, x]) > 0.55 * limit else INK
                axes.text(x, y, mark, ha="center", va="center", color=ink, fontsize=9)
        axes.set_xticks(range(columns), [dataset for _, dataset in keys], rotation=38, ha="right")
        axes.set_yticks(range(rows), [str(name) for name in differences.index])
        for model in dict.fromkeys(model for model, _ in keys):
            places = [place for place, key in enumerate(keys) if key[0] == model]
            axes.text(places[0] - 0.45, -0.62, model, ha="left", va="bottom", fontsize=7.5)
            axes.axvline(places[-1] + 0.5, color="white", linewidth=4)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    failed = [" on ".join(key) for key, found in boards.items() if not found.may_rank]
    told = [
        f"{' on '.join(key)}: {', '.join(f'{n} {differences.loc[n, key]:+.2f}' for n in differences.index)}"
        for key in keys
        if boards[key].may_rank
    ]
    grey = f" Grey, since the control failed: {', '.join(failed)}." if failed else ""
    return Drawing(figure, f"Heat map of {metric} minus random's, {rows} explainers. {'; '.join(told)}.{grey}")


def joint_part_chart(corners: pd.DataFrame) -> Drawing:
    """Total interaction of every model (rows) on every dataset (panels), with intervals, on one scale.

    Args:
        corners: Columns model, dataset, total_interaction, low, high.
    """
    models, datasets = (list(dict.fromkeys(corners[name])) for name in ("model", "dataset"))
    with styled():
        figure = new_figure(_WIDTH, 0.95 + 0.26 * len(models))
        panels = figure.subplots(1, len(datasets), sharex=True, sharey=True, squeeze=False)[0]
        for axes, dataset in zip(panels, datasets, strict=True):
            mine = corners[corners["dataset"] == dataset].set_index("model").reindex(models)
            mean, low, high = (mine[name].to_numpy(dtype=float) for name in ("total_interaction", "low", "high"))
            axes.hlines(range(len(models)), low, high, color=INK, linewidth=2.2, alpha=0.45)
            axes.plot(mean, range(len(models)), "o", color=INK, markersize=6)
            axes.axvline(0, color=FAINT, linewidth=0.9)
            axes.set_title(dataset, loc="left")
            axes.set_yticks(range(len(models)), models)
            axes.set_ylim(len(models) - 0.5, -0.5)
        figure.supxlabel("total interaction: below 0 either is enough, above 0 both are needed", fontsize=9)
    said = [f"{r['model']} on {r['dataset']} {r['total_interaction']:+.2f}" for r in corners.to_dict("records")]
    return Drawing(figure, f"Dot chart of the total interaction of image and words: {'; '.join(said)}.")
