"""Leaderboards with intervals, and the explainers' cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import NullFormatter

from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import FAINT, looks, one_chart


def leaderboard(
    names: Sequence[str], means: Sequence[float], lows: Sequence[float], highs: Sequence[float], *, xlabel: str,
    title: str = "", width: float = 4.6,
) -> Drawing:  # fmt: skip
    """Explainers from best (top) to worst, each a dot with its interval.

    Args:
        names: The explainers.
        means: One mean per explainer; larger is better. A NaN is listed last, without a dot.
        lows: Lower ends of the intervals; NaN draws none.
        highs: Upper ends.
        xlabel: The metric and its unit.
        title: Title above the axes.
        width: Inches.
    """
    mean = np.asarray(means, dtype=np.float64)
    ranked = sorted(range(len(names)), key=lambda i: (np.isnan(mean[i]), -mean[i], names[i]))
    style = looks(names)
    with one_chart(width, 0.85 + 0.25 * len(names), title) as (figure, axes):
        for place, i in enumerate(ranked):
            look = style[names[i]]
            axes.plot([lows[i], highs[i]], [place, place], color=look.colour, linewidth=2.2, alpha=0.75)
            axes.plot(mean[i], place, look.marker, color=look.colour, markersize=6.5)
        axes.axvline(0, color=FAINT, linewidth=0.9)
        axes.set_yticks(range(len(names)), [names[i] for i in ranked])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(xlabel)
    rows = "; ".join(f"{names[i]} {mean[i]:.3f} ({lows[i]:.3f} to {highs[i]:.3f})" for i in ranked)
    return Drawing(figure, f"Ranked dot chart{': ' + title if title else ''}. {xlabel}, best first: {rows}.")


def tradeoff(
    names: Sequence[str], seconds: Sequence[float], scores: Sequence[float], *, ylabel: str, title: str = "",
    width: float = 4.6,
) -> Drawing:  # fmt: skip
    """Score over seconds per sample (logarithmic): upper left is fast and good."""
    style = looks(names)
    with one_chart(width, 3.0 + 0.19 * -(-len(names) // 2), title) as (figure, axes):
        for name, x, y in zip(names, seconds, scores, strict=True):
            look = style[name]
            axes.plot(max(x, 1e-5), y, look.marker, color=look.colour, markersize=7.5, label=name, linestyle="none")
        axes.set_xscale("log")
        low, high = axes.get_xlim()
        if high < 10 * low:  # less than a decade has no labels of its own: show a whole one around the middle
            axes.set_xlim((low * high) ** 0.5 / 10**0.55, (low * high) ** 0.5 * 10**0.55)
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="seconds per sample (logarithmic)", ylabel=ylabel)
        figure.legend(loc="outside lower center", ncols=2)
    points = "; ".join(f"{n}: {x:.3g} s, {y:.3f}" for n, x, y in zip(names, seconds, scores, strict=True))
    return Drawing(figure, f"Scatter chart{': ' + title if title else ''}. {ylabel} over seconds per sample. {points}.")
