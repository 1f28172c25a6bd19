"""The picture of the architecture: the three rings, and the way of a sample from ``load_samples`` to a number."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import FAINT, INK, PALETTE, new_figure, styled

RINGS: dict[str, dict[str, str]] = {
    "Teach": {
        "widgets": "figures that one can touch",
        "course": "lessons, checkers, notebooks",
        "cli": "python -m toolkit",
    },
    "Judge": {
        "scenes": "a world whose truth is known",
        "reporting": "pages and drawings",
        "benchmark": "durable runs, their report",
        "audit": "metrics, explainers, the paper",
    },
    "Measure": {
        "datasets": "1  samples",
        "vlm": "2  a model, its engine",
        "games": "3  players, coalitions, values",
        "explainers": "4  one score per player",
        "synergy": "5  metrics of an explanation",
        "measuring": "6  one loop, one row",
        "redundancy": "7  diagnosis of a model",
        "stats": "8  intervals and tests",
    },
}
"""Ring -> room -> what it holds; the rooms of Measure in the order in which a sample meets them."""

_COLOURS = {"Teach": PALETTE[1], "Judge": PALETTE[5], "Measure": PALETTE[0]}


def architecture() -> Drawing:
    """Three bands, outer ring on top; arrows run downward only, and along the way of a sample inside Measure."""
    with styled():
        figure = new_figure(11.5, 4.4)
        axes = figure.add_subplot()
        for level, (ring, rooms) in enumerate(RINGS.items()):
            _band(axes, ring, rooms, y=-1.45 * level)
        for y in (-0.05, -1.5):
            axes.annotate("", (0.6, y - 0.4), xytext=(0.6, y), arrowprops={"arrowstyle": "-|>", "color": FAINT})
            axes.text(0.72, y - 0.2, "uses", va="center", fontsize=8.5, color=FAINT)
        axes.set_xlim(0, 11.5)
        axes.set_ylim(-3.05, 1.15)
        axes.axis("off")
    listed = [
        f"{ring}: {', '.join(f'{room} ({_plain(words)})' for room, words in rooms.items())}."
        for ring, rooms in RINGS.items()
    ]
    rule = "Three rings; Teach uses Judge and Measure, Judge uses Measure, Measure uses neither."
    return Drawing(figure, " ".join([rule, *listed]))


def _plain(words: str) -> str:
    return words.lstrip("12345678 ")


def _band(axes: Axes, ring: str, rooms: dict[str, str], *, y: float) -> None:
    colour = _COLOURS[ring]
    axes.add_patch(_box(0.05, y - 0.05, 11.4, 1.05, colour, alpha=0.10))
    axes.text(0.25, y + 0.5, ring, fontsize=13, fontweight="bold", color=colour, va="center")
    width = 9.75 / len(rooms)
    for number, (room, words) in enumerate(rooms.items()):
        x = 1.6 + number * width
        axes.add_patch(_box(x, y + 0.12, width - 0.16, 0.72, colour, alpha=0.28))
        title = f"{room}.py" if room == "measuring" else f"{room}/"
        axes.text(x + 0.1, y + 0.62, title, fontsize=8.6, fontweight="bold", color=INK, va="center")
        axes.text(x + 0.1, y + 0.33, _wrapped(words, width), fontsize=7.6, color=INK, va="center")
        if ring == "Measure" and number:
            axes.annotate(
                "", (x, y + 0.48), xytext=(x - 0.16, y + 0.48), arrowprops={"arrowstyle": "-|>", "color": colour}
            )


def _wrapped(words: str, width: float) -> str:
    """Two lines where one is too long for its box."""
    if len(words) < 15 * width:
        return words
    half = words.rindex(" ", 0, len(words) // 2 + 4)
    return f"{words[:half]}\n{words[half + 1 :]}"


def _box(x: float, y: float, width: float, height: float, colour: str, *, alpha: float) -> FancyBboxPatch:
    corners = "round,pad=0,rounding_size=0.08"
    return FancyBboxPatch((x, y), width, height, boxstyle=corners, facecolor=colour, edgecolor="none", alpha=alpha)
