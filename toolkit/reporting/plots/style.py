"""One look for all figures: the palette, the markers, the diverging colour map."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

PALETTE = ("#0072B2", "#B3123F", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#332288", "#8C6D31")
"""Mostly Okabe and Ito's colours, distinguishable with every common colour vision deficiency; none means anything by
itself, see ``MEANINGS``."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h", "p")
CONTROLS = {"random": ("#8A8A8A", "x"), "oracle": ("#222222", "+"), "anti-oracle": ("#B5B5B5", "1")}
"""Controls are grey: they are not in the competition."""

MEANINGS = {
    "for": "#D9620A", "against": "#5E3C99", "image": "#006D77", "words": "#A02C8A", "both": "#4A5568",
    "insertion": "#5B8C00", "deletion": "#7A1F10",
}  # fmt: skip
"""Colours that mean something; no other meaning and no explainer has the same."""

INK, FAINT = "#1f2430", "#6b7280"

DIVERGING = LinearSegmentedColormap.from_list(
    "against-for", [MEANINGS["against"], "#B2ABD2", "#F7F7F7", "#FDB863", MEANINGS["for"]]
)
"""Purple (against the answer) over white (nothing) to orange (for it); centre it on 0."""

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": 9.0, "axes.titlesize": 9.5, "axes.titleweight": "bold",
    "axes.edgecolor": FAINT, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e5e7eb",
    "grid.linewidth": 0.8, "axes.axisbelow": True, "legend.frameon": False, "legend.fontsize": 8.5,
    "svg.hashsalt": "toolkit", "svg.fonttype": "none", "figure.dpi": 100.0, "lines.linewidth": 1.6,
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How one explainer is drawn, everywhere the same."""

    colour: str
    marker: str
    style: str = "-"


EXPLAINERS = (
    "integrated-gradients", "attn-lrp", "rollout", "occlusion", "grad-cam", "tam", "grad-rollout", "llava-cam",
    "input-x-gradient", "smoothgrad", "attention-last", "kernel-shap", "shapley-interaction", "banzhaf-interaction",
    "faith-shapley-interaction", "gradient-interaction", "eagle", "optimised-mask", "atman", "attention-sinks",
    "attention-no-sinks", "word-to-cell-interaction", "cell-to-word-interaction", "proxyspex-interaction",
)  # fmt: skip
_FIXED = {
    **{name: Look(PALETTE[i % 8], MARKERS[i % 12], "-" if i < 8 else "--") for i, name in enumerate(EXPLAINERS)},
    **{name: Look(*look, ":") for name, look in CONTROLS.items()},
    "insertion": Look(MEANINGS["insertion"], "^"), "insertion side": Look(MEANINGS["insertion"], "^", "--"),
    "deletion": Look(MEANINGS["deletion"], "v"), "deletion side": Look(MEANINGS["deletion"], "v", ":"),
    "signed F_syn": Look(MEANINGS["both"], "o"),
}  # fmt: skip
_OTHERS = tuple(Look(PALETTE[i % 8], MARKERS[(i + 1) % 12], "-.") for i in range(24))
"""Other pairs of colour and marker than those of ``EXPLAINERS``, since a dot has no line style."""


def looks(names: Sequence[str]) -> dict[str, Look]:
    """The look of each name, everywhere the same: fixed for what is known, by a digest of its name for what is not.

    Two unknown names with one digest get neighbouring looks, so that no two names in a list of at most 24 look alike.
    """
    found = {name: _FIXED[name] for name in names if name in _FIXED}
    for name in (name for name in names if name not in _FIXED):
        first = zlib.crc32(name.encode()) % len(_OTHERS)
        free = (_OTHERS[(first + step) % len(_OTHERS)] for step in range(len(_OTHERS)))
        found[name] = next((look for look in free if look not in found.values()), _OTHERS[first])
    return found


@contextmanager
def styled() -> Iterator[None]:
    """Draw inside of this: sets the style and restores what was set before."""
    with mpl.rc_context(_RC):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) that belongs to no window and no global list."""
    return Figure(figsize=(width, height), layout="constrained")


@contextmanager
def one_chart(width: float, height: float, title: str = "") -> Iterator[tuple[Figure, Axes]]:
    """A figure (inches) of one chart to draw in our style, with its title."""
    with styled():
        figure = new_figure(width, height)
        axes = figure.add_subplot()
        yield figure, axes
        axes.set_title(title, loc="left")


def draw_line(
    axes: Axes, x: ArrayLike, y: ArrayLike, look: Look, *, label: str, size: float, width: float = 1.6, every: int = 1
) -> None:
    """One explainer's line with a marker at every so many points; it may turn back in x.

    A line that lies on earlier ones is broken and its markers are rings, wider for each of them: all can be seen.
    """
    under = _lines_below(axes, np.column_stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)]))
    ring = {"markerfacecolor": "none", "linestyle": (0, (2, 2 * under))} if under else {"linestyle": look.style}
    axes.plot(
        x, y, label=label, color=look.colour, marker=look.marker, markersize=size + 3 * under, linewidth=width,
        markeredgecolor=look.colour, markeredgewidth=1.2 if under else 0.75, markevery=every, **ring,
    )  # fmt: skip


def _lines_below(axes: Axes, points: NDArray[np.float64]) -> int:
    """How many lines of the axes share at least half the segments between these points (n, 2)."""
    found = 0
    for line in axes.get_lines():
        drawn = np.asarray(line.get_xydata(), dtype=np.float64)
        if len(drawn) == len(points) > 1:
            equal = np.all(np.isclose(drawn, points, rtol=1e-6, atol=1e-9), axis=1)
            found += int(np.mean(np.logical_and(equal[1:], equal[:-1])) >= 0.5)
    return found
