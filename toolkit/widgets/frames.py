"""Charts with a moving line: drawn once by matplotlib, then marked per step with a few pixels, in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from toolkit.plots.style import FAINT, PALETTE, new_figure, styled
from toolkit.widgets.trace import CURVES, Trace
from toolkit.widgets.views import png

DPI = 100
LOOKS = {"image": (PALETTE[0], "o", "picture"), "text": (PALETTE[1], "s", "words"), "both": (PALETTE[2], "^", "both")}


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
                pen.line((x, top, x, bottom), fill="#1f2430", width=1)
                for y, colour in dots[step]:
                    pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour, outline="white")
            self._frames[step] = png(image)
        return self._frames[step]

    @cached_property
    def _frames(self) -> dict[int, bytes]:
        return {}


def _panel(axes: Axes, fractions: NDArray[np.float64], curves: dict[str, NDArray[np.float64]], title: str) -> None:
    for name, curve in curves.items():
        colour, marker, label = LOOKS[name]
        axes.plot(fractions, curve, color=colour, marker=marker, markersize=3.5, label=label)
    axes.set_title(title, loc="left")
    axes.set(xlabel="top fraction k", xlim=(-0.03, 1.03))


def _synergy_panel(axes: Axes, trace: Trace) -> None:
    for curve, style, label in (
        (trace.synergy.insertion, "--", "insertion side"),
        (trace.synergy.deletion, ":", "deletion side"),
        (trace.synergy.curve, "-", "their mean"),
    ):
        axes.plot(trace.fractions, curve, style, color=PALETTE[6], label=label)
    axes.axhline(0, color=FAINT, linewidth=0.9)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.1), max(high, 0.1))
    axes.set_title(f"synergy, F_syn = {trace.synergy.value:+.2f}", loc="left")
    axes.set(xlabel="top fraction k", xlim=(-0.03, 1.03))


def trace_chart(trace: Trace, *, width: float = 7.6, height: float = 2.6) -> Chart:
    """Deletion, insertion and synergy curves of a trace, side by side."""
    with styled():
        figure = new_figure(width, height)
        left, middle, right = figure.subplots(1, 3)
        _panel(left, trace.fractions, trace.deletion, "deletion: top k leaves")
        _panel(middle, trace.fractions, trace.insertion, "insertion: top k arrives")
        for axes in (left, middle):
            axes.set_ylim(-0.04, 1.04)
        left.set_ylabel(f"probability of '{trace.attribution.target}'")
        _synergy_panel(right, trace)
        left.legend(loc="best", fontsize=7.5)
        right.legend(loc="best", fontsize=7.5)
        canvas = FigureCanvasAgg(figure)
        figure.set_dpi(DPI)
        canvas.draw()  # type: ignore[no-untyped-call]
        drawn = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    base = Image.fromarray(drawn[:, :, :3].copy())
    shown = [
        (left, [(trace.deletion[name], LOOKS[name][0]) for name in CURVES]),
        (middle, [(trace.insertion[name], LOOKS[name][0]) for name in CURVES]),
        (right, [(trace.synergy.curve, PALETTE[6])]),
    ]
    columns, rows, dots = [], [], []
    for axes, curves in shown:
        to_pixels = axes.transData.transform
        columns.append(to_pixels(np.column_stack([trace.fractions, np.zeros_like(trace.fractions)]))[:, 0])
        extent = axes.get_window_extent()
        rows.append((base.height - extent.y1, base.height - extent.y0))
        heights = [(base.height - to_pixels(np.column_stack([trace.fractions, c]))[:, 1], ink) for c, ink in curves]
        dots.append(tuple(tuple((float(y[step]), ink) for y, ink in heights) for step in range(len(trace.fractions))))
    return Chart(base, np.array(columns), np.array(rows), tuple(dots), describe(trace))


def describe(trace: Trace) -> str:
    """The curves in words and numbers."""
    parts = [
        f"{LOOKS[name][2]}: deletion from {trace.deletion[name][0]:.2f} over {np.median(trace.deletion[name]):.2f} "
        f"(median) to {trace.deletion[name][-1]:.2f}, insertion from {trace.insertion[name][0]:.2f} to "
        f"{trace.insertion[name][-1]:.2f}"
        for name in CURVES
    ]
    return (
        f"Curves of {trace.attribution.method} for the answer '{trace.attribution.target}'. {'; '.join(parts)}. "
        f"Symmetric relevance gain {trace.srg['image']:+.2f} by the picture and {trace.srg['text']:+.2f} by the words; "
        f"signed F_syn {trace.synergy.value:+.2f}."
    )
