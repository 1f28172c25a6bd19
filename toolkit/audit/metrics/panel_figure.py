"""The validity panel as a figure: rules in rows, metrics in columns, every entry marked and lettered."""

from __future__ import annotations

import textwrap

import seaborn as sns
from matplotlib.colors import ListedColormap

from toolkit.audit.metrics.rules import RULES
from toolkit.audit.metrics.validity_panel import ValidityPanel
from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import PALETTE, new_figure, styled

PASS, FAIL, MIXED = PALETTE[0], PALETTE[1], PALETTE[5]
EMPTY, UNDECIDED = "#f1f3f5", "#c3c9d0"


def draw_panel(panel: ValidityPanel) -> Drawing:
    """Share of passed entries per rule and metric; blue passes everything, red nothing, grey is undecided."""
    metrics = panel.metrics
    with styled():
        figure = new_figure(max(6.0, 2.6 + 1.15 * len(metrics)), 0.9 + 0.3 * len(RULES))
        axes = figure.add_subplot()
        shares = panel.summary().loc[[rule.check for rule in RULES], list(metrics)].astype(str)
        sns.heatmap(
            shares.map(_kind), annot=shares.map(_word), fmt="", ax=axes, cbar=False, linewidths=2, vmin=0, vmax=4,
            cmap=ListedColormap([EMPTY, PASS, FAIL, MIXED, UNDECIDED]), annot_kws={"fontsize": 8},
            yticklabels=[rule.title + " (guard)" * rule.guard for rule in RULES],
            xticklabels=[textwrap.fill(m, 14) for m in metrics],
        )  # fmt: skip
        axes.xaxis.tick_top()
        axes.tick_params(axis="x", labelsize=8, rotation=0)
        axes.tick_params(axis="y", rotation=0)
        axes.set(xlabel="", ylabel="")
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
    return Drawing(figure, "Validity panel. " + " ".join(panel.verdict(metric) for metric in metrics))


def _kind(share: str) -> int:
    """Place in the colour map of a share such as ``"2/4 1?"``: not judged, all pass, none, some, else undecided."""
    counts, _, unclear = share.partition(" ")
    passed, _, judged = counts.partition("/")
    if not share:
        return 0
    if passed == judged:
        return 1
    if int(passed) + int(unclear.rstrip("?") or 0) == int(judged):
        return 4
    return 2 if passed == "0" else 3


def _word(share: str) -> str:
    return f"{'–✓✗✗?'[_kind(share)]} {share}".rstrip()
