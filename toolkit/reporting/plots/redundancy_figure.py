"""The figure of the redundancy report: where the samples lie between the gates, and where the information sits."""

from __future__ import annotations

import textwrap

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from toolkit.datasets.sample import Corners
from toolkit.redundancy.gates import GATES
from toolkit.redundancy.redundancy_report import RedundancyReport
from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import FAINT, MARKERS, MEANINGS, PALETTE, new_figure, styled

_COLOURS = {
    "synergy": MEANINGS["both"], "redundancy": PALETTE[3], "text-only": MEANINGS["words"],
    "image-only": MEANINGS["image"], "interference": PALETTE[5], "neither": FAINT,
}  # fmt: skip
_MARKERS = dict(zip(GATES, MARKERS, strict=False))
_CORNERS = {"synergy": (0.0, 0.0), "redundancy": (1.0, 1.0), "text-only": (0.0, 1.0), "image-only": (1.0, 0.0)}
_INFORMATION = ("redundancy", "unique image", "unique text", "synergy")


def draw_report(report: RedundancyReport) -> Drawing:
    """Three panels: the corner plot, the share of each gate, and the information of each kind in bits.

    In the corner plot a sample stands at (what the image alone recovers, what the text alone recovers), both as shares
    of what image and text together do; synergy is the lower left corner and redundancy the upper right one.
    """
    with styled():
        figure = new_figure(10.5, 3.6)
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
        _corner_plot(left, report)
        _bars(middle, report, [f"gate, {gate}" for gate in GATES], "Gates", "share of samples")
        _bars(right, report, [f"information, {name}" for name in _INFORMATION], "Information", "bits")
        figure.suptitle(f"{report.model} on {report.dataset}", x=0.01, ha="left", fontweight="bold")
    return Drawing(figure, f"Corner plot, gate shares and information decomposition. {report.verdict}")


def _corner_plot(axes: Axes, report: RedundancyReport) -> None:
    points = np.array([_place(record.corners) for record in report.records])
    counts = {gate: report.gates.count(gate) for gate in GATES if gate in report.gates}
    shown = {gate: f"{gate} ({n})" for gate, n in counts.items()}
    kinds = [shown[gate] for gate in report.gates]
    sns.scatterplot(
        x=points[:, 0], y=points[:, 1], hue=kinds, style=kinds, hue_order=list(shown.values()),
        style_order=list(shown.values()), palette={word: _COLOURS[gate] for gate, word in shown.items()},
        markers={word: _MARKERS[gate] for gate, word in shown.items()}, s=30, alpha=0.7, ax=axes,
    )  # fmt: skip
    for gate, (x, y) in _CORNERS.items():
        axes.annotate(gate, (x, y), xytext=(x, y + (0.09 if y else -0.12)), ha="center", color=FAINT, fontsize=8)
    axes.set(xlim=(-0.35, 1.35), ylim=(-0.35, 1.35))
    axes.set_xlabel("image alone recovers")
    axes.set_ylabel("text alone recovers")
    axes.set_title("Samples between the gates", loc="left")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)


def _place(corners: Corners) -> tuple[float, float]:
    """Marginal effects as shares of the whole contrast, kept inside the axes; the centre where there is no contrast."""
    contrast = corners.both - corners.empty
    if abs(contrast) < 1e-9:
        return 0.5, 0.5
    effects = corners.image - corners.empty, corners.text - corners.empty
    x, y = np.clip([effect / contrast for effect in effects], -0.3, 1.3)
    return float(x), float(y)


def _bars(axes: Axes, report: RedundancyReport, names: list[str], title: str, label: str) -> None:
    lines = [report[name] for name in names]
    values = np.nan_to_num([line.value for line in lines])
    low = np.clip(values - [line.low for line in lines], 0, None)
    high = np.clip([line.high for line in lines] - values, 0, None)
    axes.barh(range(len(lines)), values, xerr=np.nan_to_num([low, high]), color=PALETTE[4], ecolor=FAINT, height=0.6)
    axes.set_yticks(range(len(lines)), [name.split(", ")[1] for name in names])
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.set_title(title, loc="left")
    if lines[0].reason is None:
        axes.axvline(0, color=FAINT, linewidth=0.8)
        return
    axes.set_xticks([])
    told = textwrap.fill(f"not available: {lines[0].reason}", 32)
    note = axes.text(0.5, 0.5, told, transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=8)
    note.set_backgroundcolor("white")
