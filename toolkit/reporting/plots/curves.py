"""Curves over the fraction of players removed, inserted or kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import FAINT, draw_line, looks, new_figure, styled


def curves(
    fractions: ArrayLike,
    values: Mapping[str, ArrayLike],
    *,
    xlabel: str = "fraction k of the players",
    ylabel: str = "probability of the answer",
    title: str = "",
    limits: tuple[float, float] | None = None,
    width: float = 4.6,
) -> Drawing:
    """One line per explainer over k in [0, 1].

    Args:
        fractions: Shape (K + 1,).
        values: One curve (K + 1,) per explainer.
        xlabel: What k is a fraction of.
        ylabel: What the curves measure, with its unit.
        title: Title above the axes.
        limits: Ends of the vertical axis, for several charts on one scale.
        width: Inches.

    Raises:
        ValueError: A curve has another length than the fractions.
    """
    k = np.asarray(fractions, dtype=np.float64)
    found = {name: np.asarray(curve, dtype=np.float64) for name, curve in values.items()}
    wrong = [name for name, curve in found.items() if curve.shape != k.shape]
    if wrong:
        raise ValueError(f"curve {wrong[0]!r} has shape {found[wrong[0]].shape}, expected {k.shape}")
    columns = 2
    rows = -(-len(found) // columns)
    with styled():
        figure = new_figure(width, 2.7 + 0.19 * rows)
        axes = figure.add_subplot()
        for name, look in looks(list(found)).items():
            draw_line(axes, k, found[name], look, label=name, size=4.5)
        if found and min(curve.min() for curve in found.values()) < 0:
            axes.axhline(0, color=FAINT, linewidth=0.9)
        axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.02, 1.02))
        if limits is not None:
            axes.set_ylim(limits)
        axes.set_title(title, loc="left")
        figure.legend(loc="outside lower center", ncols=columns)
    ends = "; ".join(
        f"{name} from {curve[0]:.2f} over {curve[len(curve) // 2]:.2f} at the middle to {curve[-1]:.2f}"
        for name, curve in found.items()
    )
    return Drawing(figure, f"Line chart{': ' + title if title else ''}. {ylabel} over {xlabel}. {ends}.")
