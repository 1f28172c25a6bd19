"""Curves over the fraction of players removed, inserted or kept."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import FAINT, draw_line, looks, new_figure, one_chart, styled


def curves(
    fractions: ArrayLike, values: Mapping[str, ArrayLike], *, xlabel: str = "fraction k of the players",
    ylabel: str = "probability of the answer", title: str = "", limits: tuple[float, float] | None = None,
    width: float = 4.6,
) -> Drawing:  # fmt: skip
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
    with one_chart(width, 2.7 + 0.19 * -(-len(found) // 2), title) as (figure, axes):
        for name, look in looks(list(found)).items():
            draw_line(axes, k, found[name], look, label=name, size=4.5)
        if found and min(curve.min() for curve in found.values()) < 0:
            axes.axhline(0, color=FAINT, linewidth=0.9)
        axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.02, 1.02))
        if limits is not None:
            axes.set_ylim(limits)
        figure.legend(loc="outside lower center", ncols=2)
    ends = "; ".join(
        f"{name} from {curve[0]:.2f} over {curve[len(curve) // 2]:.2f} at the middle to {curve[-1]:.2f}"
        for name, curve in found.items()
    )
    return Drawing(figure, f"Line chart{': ' + title if title else ''}. {ylabel} over {xlabel}. {ends}.")


def curve_charts(fractions: ArrayLike, charts: Mapping[str, Mapping[str, list[float]]]) -> Drawing:
    """Two charts in a row with one legend, one line per explainer, over the fraction k of the players.

    Args:
        fractions: Shape (K + 1,).
        charts: Per chart title, one curve (K + 1,) per explainer.

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
        figure = new_figure(4.9, 1.75 * rows)
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
    return Drawing(figure, f"Curves. {middle}. {said}.")
