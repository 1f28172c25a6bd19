"""One look for all figures: the palette, the markers, the diverging colour map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A5195", "#8C6D31")
"""Okabe and Ito's colours, distinguishable with every common colour vision deficiency, without its yellow and black."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h", "p")
CONTROLS = {"random": ("#8A8A8A", "x"), "oracle": ("#222222", "+"), "anti-oracle": ("#B5B5B5", "1")}
"""Controls are grey: they are not in the competition."""

INK, FAINT = "#1f2430", "#6b7280"

DIVERGING = LinearSegmentedColormap.from_list("against-for", ["#5E3C99", "#B2ABD2", "#F7F7F7", "#FDB863", "#D9620A"])
"""Purple (against the answer) over white (nothing) to orange (for it); centre it on 0."""

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9.0, "axes.titlesize": 9.5, "axes.titleweight": "bold",
    "axes.edgecolor": FAINT, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e5e7eb",
    "grid.linewidth": 0.8, "axes.axisbelow": True, "legend.frameon": False, "legend.fontsize": 8.5,
    "svg.hashsalt": "toolkit", "svg.fonttype": "path", "figure.dpi": 100.0, "lines.linewidth": 1.6,
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How one explainer is drawn, everywhere the same."""

    colour: str
    marker: str
    style: str = "-"


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A colour, marker and line style per name, by its place in the list; controls are always grey."""
    found: dict[str, Look] = {}
    others = [name for name in names if name not in CONTROLS]
    for number, name in enumerate(others):
        style = "-" if number < len(PALETTE) else "--"
        found[name] = Look(PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)], style)
    for name in names:
        if name in CONTROLS:
            found[name] = Look(*CONTROLS[name], ":")
    return found


@contextmanager
def styled() -> Iterator[None]:
    """Draw inside of this: sets the style and restores what was set before."""
    with mpl.rc_context(_RC):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) that belongs to no window and no global list."""
    return Figure(figsize=(width, height), layout="constrained")


def draw_line(
    axes: Axes, x: ArrayLike, y: ArrayLike, look: Look, *, label: str, size: float, width: float = 1.6
) -> None:
    """One explainer's line with a marker at every point; it may turn back in x."""
    sns.lineplot(
        x=x, y=y, ax=axes, label=label, color=look.colour, marker=look.marker, markersize=size, linewidth=width,
        linestyle=look.style, markeredgecolor=look.colour, estimator=None, sort=False, legend=False,
    )  # fmt: skip
