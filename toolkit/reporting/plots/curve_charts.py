"""Several curve charts with one legend."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import FAINT, draw_line, looks, new_figure, styled


def curve_charts(
    fractions: ArrayLike,
    charts: Mapping[str, Mapping[str, list[float]]],
    *,
    title: str = "",
    width: float = 4.9,
) -> Drawing:
    """Two charts in a row, one line per explainer, over the fraction k of the players.

    Args:
        fractions: Shape (K + 1,).
        charts: Per chart title, one curve (K + 1,) per explainer.
        title: Named in the alternative text.
        width: Inches.

    Raises:
        ValueError: There is nothing to draw.
    """
    if not charts:
        raise ValueError("no curves to draw")
    k = np.asarray(fractions, dtype=np.float64)
    shown = list(dict.fromkeys(name for lines in charts.values() for name in lines))
    style = looks(shown)
    rows = -(-(len(charts) + 1) // 2)
    with styled():
        figure = new_figure(width, 1.75 * rows)
        axes = figure.subplots(rows, 2, sharex=True).ravel()
        for box, (name, lines) in zip(axes, charts.items(), strict=False):
            for explainer, curve in lines.items():
                draw_line(box, k, curve, style[explainer], label=explainer, size=3.6, width=1.2, every=len(k) // 2 or 1)
            if min(min(curve) for curve in lines.values()) < 0:
                box.axhline(0, color=FAINT, linewidth=0.9)
            box.set_title(name, loc="left")
            box.tick_params(labelbottom=True)
            box.set_xticks([0, 0.5, 1])
        for box in axes[len(charts) :]:
            box.axis("off")
        handles = {
            label: handle
            for box in axes[: len(charts)]
            for handle, label in zip(*box.get_legend_handles_labels(), strict=True)
        }
        legend = axes[len(charts)].legend(
            [handles[name] for name in shown], shown, loc="center left", fontsize=8 if len(shown) < 9 else 7,
            borderaxespad=0.0, labelspacing=0.2,
        )  # fmt: skip
        legend.set_in_layout(False)
        figure.supxlabel("fraction k of the players", fontsize=9)
    said = "; ".join(
        f"{name}: " + ", ".join(f"{explainer} {curve[len(curve) // 2]:.2f}" for explainer, curve in lines.items())
        for name, lines in charts.items()
    )
    middle = f"Values at the middle, k = {k[len(k) // 2]:.1f}"
    return Drawing(figure, f"Curves{': ' + title if title else ''}. {middle}. {said}.")
