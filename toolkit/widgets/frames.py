"""Curves of a trace as a chart with a moving line; axes are drawn once, curves and the line in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from toolkit.reporting.plots.style import FAINT, INK, MEANINGS, new_figure, styled
from toolkit.widgets.stage import Stage
from toolkit.widgets.trace import CURVES, Trace
from toolkit.widgets.views import png

SIZE = (7.6, 2.9)
"""Width and height in inches."""

LOOKS = {
    "image": (MEANINGS["image"], "o", "picture"),
    "text": (MEANINGS["words"], "s", "words"),
    "both": (MEANINGS["both"], "^", "both"),
}
SIDES = (("--", "insertion", "insertion side"), (":", "deletion", "deletion side"), ("-", "both", "their mean"))
LOWS, HIGHS = (-0.25, -0.6, -1.1, -2.1), (1.05, 2.1)
"""Ends of the synergy axis: few, so that figures can be compared and axes are seldom drawn anew."""


@dataclass(frozen=True)
class Chart:
    """A drawn chart on which a vertical line can stand at any step.

    Attributes:
        base: The chart without the line.
        columns: Shape (n_axes, K + 1): x pixel of each step in each axes.
        rows: Shape (n_axes, 2): top and bottom pixel of each axes.
        dots: Per axes and step, the (y pixel, colour) of each curve.
        alt: What the chart shows.
    """

    base: Image.Image = field(repr=False)
    columns: NDArray[np.float64] = field(repr=False)
    rows: NDArray[np.float64] = field(repr=False)
    dots: tuple[tuple[tuple[tuple[float, str], ...], ...], ...] = field(repr=False)
    alt: str

    def frame(self, step: int) -> bytes:
        """The chart with its line at a step, as PNG."""
        if step not in self._frames:
            image = self.base.copy()
            pen = ImageDraw.Draw(image)
            for x, (top, bottom), dots in zip(self.columns[:, step], self.rows, self.dots, strict=True):
                pen.line((x, top, x, bottom), fill=INK, width=1)
                for y, colour in dots[step]:
                    pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour, outline="white")
            self._frames[step] = png(image)
        return self._frames[step]

    @cached_property
    def _frames(self) -> dict[int, bytes]:
        return {}


class Charts:
    """Draws charts of traces, and keeps the axes for the next one.

    Args:
        synergy: Whether the synergy curve stands beside deletion and insertion.
    """

    def __init__(self, *, synergy: bool = True) -> None:
        self.synergy = synergy
        self._axes: dict[tuple[int, float, float], TraceAxes] = {}

    def draw(self, trace: Trace) -> Chart:
        """Deletion and insertion, and synergy where it is wanted, side by side."""
        sides = np.concatenate([trace.synergy.insertion, trace.synergy.deletion])
        low = next((end for end in LOWS if end <= sides.min()), LOWS[-1])
        high = next((end for end in HIGHS if end >= sides.max()), HIGHS[-1])
        key = (len(trace.fractions), low, high)
        if key not in self._axes:
            self._axes[key] = TraceAxes(trace.fractions, low, high, synergy=self.synergy)
        return self._axes[key].draw(trace)


class TraceAxes:
    """Two axes, or three with synergy, with curves that can take any trace's values.

    Args:
        fractions: Shape (K + 1,).
        low: Lower end of the synergy axis.
        high: Upper end of the synergy axis.
        synergy: Whether there is a third.
    """

    def __init__(self, fractions: NDArray[np.float64], low: float, high: float, *, synergy: bool = True) -> None:
        with styled():
            figure = new_figure(*SIZE)
            self.axes = figure.subplots(1, 3 if synergy else 2)
            left, middle = self.axes[:2]
            self.lines = [_curves(axes, fractions) for axes in (left, middle)]
            left.set(title="deletion: top k leaves", ylabel="probability of the answer", ylim=(-0.04, 1.04))
            middle.set(title="insertion: top k arrives", ylim=(-0.04, 1.04))
            self.sides: list[Line2D] = []
            self.value: Text | None = None
            if synergy:
                self.sides, self.value = _sides(self.axes[2], fractions, (low, high))
            for axes in self.axes:
                axes.set(xlabel="top fraction k", xlim=(-0.03, 1.03))
                axes.title.set_ha("left")
                axes.title.set_x(0)
            options = {"ncols": 3, "fontsize": 8, "handlelength": 1.8, "columnspacing": 1.2}
            figure.legend(handles=self.lines[0], loc="outside lower left", **options)
            moving: list[Artist] = [*self.lines[0], *self.lines[1], *self.sides]
            if self.value is not None:
                figure.legend(handles=self.sides, loc="outside lower right", **options)
                moving.append(self.value)
            self.stage = Stage(figure, moving)

    def draw(self, trace: Trace) -> Chart:
        """The chart of a trace."""
        for lines, curves in zip(self.lines, (trace.deletion, trace.insertion), strict=True):
            for line, name in zip(lines, CURVES, strict=True):
                line.set_ydata(curves[name])
        found = trace.synergy
        for line, side in zip(self.sides, (found.insertion, found.deletion, found.curve), strict=False):
            line.set_ydata(side)
        if self.value is not None:
            self.value.set_text(f"F_syn = {found.value:+.2f}")
        base = self.stage.image()
        shown = [
            [(trace.deletion[name], LOOKS[name][0]) for name in CURVES],
            [(trace.insertion[name], LOOKS[name][0]) for name in CURVES],
            [(found.curve, MEANINGS["both"])],
        ]
        columns, rows, dots = [], [], []
        for axes, marked in zip(self.axes, shown, strict=False):
            to_pixels = axes.transData.transform
            columns.append(to_pixels(np.column_stack([trace.fractions, np.zeros_like(trace.fractions)]))[:, 0])
            extent = axes.get_window_extent()
            rows.append((base.height - extent.y1, base.height - extent.y0))
            tall = [(base.height - to_pixels(np.column_stack([trace.fractions, c]))[:, 1], ink) for c, ink in marked]
            dots.append(tuple(tuple((float(y[step]), ink) for y, ink in tall) for step in range(len(trace.fractions))))
        return Chart(
            base, np.array(columns), np.array(rows), tuple(dots), describe(trace, synergy=self.value is not None)
        )


def _curves(axes: Axes, fractions: NDArray[np.float64]) -> list[Line2D]:
    nothing = np.zeros_like(fractions)
    looks = (LOOKS[name] for name in CURVES)
    return [
        axes.plot(fractions, nothing, color=colour, marker=marker, markersize=3.5, label=label)[0]
        for colour, marker, label in looks
    ]


def _sides(axes: Axes, fractions: NDArray[np.float64], ends: tuple[float, float]) -> tuple[list[Line2D], Text]:
    """The synergy curve with its sides, and a place for its area."""
    axes.set(title="synergy", ylim=ends)
    axes.axhline(0, color=FAINT, linewidth=0.9)
    nothing = np.zeros_like(fractions)
    lines = [axes.plot(fractions, nothing, style, color=MEANINGS[name], label=label)[0] for style, name, label in SIDES]
    return lines, axes.text(1, 1.03, "", transform=axes.transAxes, ha="right", va="bottom")


def describe(trace: Trace, *, synergy: bool = True) -> str:
    """The curves in words and numbers."""
    parts = [
        f"{LOOKS[name][2]}: deletion from {trace.deletion[name][0]:.2f} over {np.median(trace.deletion[name]):.2f} "
        f"(median) to {trace.deletion[name][-1]:.2f}, insertion from {trace.insertion[name][0]:.2f} to "
        f"{trace.insertion[name][-1]:.2f}"
        for name in CURVES
    ]
    return (
        f"Curves of {trace.attribution.explainer} for the answer '{trace.attribution.target}'. {'; '.join(parts)}. "
        f"Symmetric relevance gain {trace.srg['image']:+.2f} by the picture and {trace.srg['text']:+.2f} by the words"
        + (f"; signed F_syn {trace.synergy.value:+.2f}." if synergy else ".")
    )
