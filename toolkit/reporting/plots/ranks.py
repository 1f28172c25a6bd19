"""Slope chart of ranks from one metric to the next."""

from __future__ import annotations

from collections.abc import Mapping

from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import draw_line, looks, one_chart


def rank_shift(
    ranks: Mapping[str, Mapping[str, float]], *, note: str = "", title: str = "", width: float = 4.6
) -> Drawing:
    """Slope chart: one column per metric, one line per explainer from rank to rank; rank 1 is at the top.

    Args:
        ranks: Per metric, the rank of each explainer (ties share a mean rank). All metrics rank the same explainers.
        note: Said under the chart, for example Kendall's tau with its p-value.
        title: Title above the axes.
        width: Inches.

    Raises:
        ValueError: Fewer than two metrics, or metrics that rank different explainers.
    """
    metrics = list(ranks)
    names = list(ranks[metrics[0]]) if metrics else []
    if len(metrics) < 2 or any(set(column) != set(names) for column in ranks.values()):
        raise ValueError("a rank shift needs at least two metrics that rank the same explainers")
    with one_chart(width, 1.05 + 0.27 * len(names), title) as (figure, axes):
        for name, look in looks(names).items():
            places = [ranks[metric][name] for metric in metrics]
            draw_line(axes, range(len(metrics)), places, look, label=name, size=6)
        _names_beside(axes, ranks[metrics[0]], -0.08, "right")
        _names_beside(axes, ranks[metrics[-1]], len(metrics) - 0.92, "left")
        axes.set_xticks(range(len(metrics)), metrics)
        axes.set_xlim(-1.0, len(metrics))
        axes.set_ylim(len(names) + 0.5, 0.5)
        axes.set_yticks([])
        axes.grid(visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xlabel(note)
    rows = "; ".join(f"{name} " + " to ".join(f"{ranks[m][name]:g}" for m in metrics) for name in names)
    return Drawing(figure, f"Slope chart{': ' + title if title else ''}. Ranks by {', '.join(metrics)}: {rows}. {note}")


def _names_beside(axes: object, places: Mapping[str, float], x: float, side: str) -> None:
    """Name each line at its end; explainers that share a rank share a label."""
    shared: dict[float, list[str]] = {}
    for name, place in places.items():
        shared.setdefault(place, []).append(name)
    for place, names in shared.items():
        axes.text(x, place, f"{', '.join(names)}", ha=side, va="center", fontsize=8.5)  # type: ignore[attr-defined]
