"""Critical-difference diagram: which mean ranks differ by more than chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import INK, looks, one_chart


def groups_within(mean_ranks: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """Maximal runs of neighbours, in order of rank, whose ranks differ by less than the critical difference.

    Returns:
        Pairs (first, last) of positions in the sorted order, only runs of two and more.
    """
    ranks = np.sort(np.asarray(mean_ranks, dtype=np.float64))
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.searchsorted(ranks, ranks[first] + critical, side="left")) - 1
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def critical_difference(
    names: Sequence[str], mean_ranks: Sequence[float], critical: float, *, title: str = "", width: float = 4.6
) -> Drawing:
    """Explainers on an axis of mean ranks, best at the left; bars join those that the Nemenyi test cannot separate.

    Args:
        names: The explainers.
        mean_ranks: Mean rank of each; 1 is best.
        critical: Critical difference; bars join ranks closer than this.
        title: Title above the axes.
        width: Inches.

    Reference: Demsar, Statistical comparisons of classifiers over multiple data sets, JMLR 2006.
    """
    ranks = np.asarray(mean_ranks, dtype=np.float64)
    ranked = np.argsort(ranks, kind="stable").tolist()
    bars = groups_within(mean_ranks, critical)
    style = looks(names)
    with one_chart(width, 1.1 + 0.24 * len(names) + 0.14 * len(bars), title) as (figure, axes):
        for place, i in enumerate(ranked):
            look, y = style[names[i]], -(len(bars) * 0.6 + place + 1.0)
            axes.plot([ranks[i], ranks[i]], [0, y], color=look.colour, linewidth=1.0, alpha=0.6)
            axes.plot(ranks[i], y, look.marker, color=look.colour, markersize=6)
            axes.annotate(
                f"{names[i]} {ranks[i]:.2f}", (ranks[i], y), xytext=(7, 0), textcoords="offset points", va="center",
                fontsize=8.5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
            )  # fmt: skip
        for level, (first, last) in enumerate(bars):
            y = -0.6 * (level + 1)
            axes.plot([ranks[ranked[first]] - 0.04, ranks[ranked[last]] + 0.04], [y, y], color=INK, linewidth=3.2)
        axes.plot([1, 1 + critical], [0.75, 0.75], color=INK, linewidth=1.4, marker="|", markersize=7)
        axes.text(1 + critical / 2, 0.95, f"critical difference {critical:.2f}", ha="center", va="bottom", fontsize=8)
        axes.set_xlim(0.8, len(names) + 0.45 * len(names))
        axes.set_ylim(-(len(bars) * 0.6 + len(names) + 0.7), 2.3)
        axes.xaxis.set_ticks_position("top")
        axes.set_xticks(range(1, len(names) + 1))
        axes.set_yticks([])
        axes.grid(visible=False, axis="y")
        axes.spines[["left", "bottom"]].set_visible(False)
    rows = "; ".join(f"{names[i]} {ranks[i]:.2f}" for i in ranked)
    joined = "; ".join(", ".join(names[ranked[i]] for i in range(a, b + 1)) for a, b in bars) or "none"
    return Drawing(
        figure,
        f"Critical-difference diagram{': ' + title if title else ''}. Mean ranks, best first: {rows}. "
        f"Critical difference {critical:.2f}. Groups that the test does not separate: {joined}.",
    )
