"""The panel as one picture: rules in rows, metrics in columns, every cell marked and lettered."""

from __future__ import annotations

import textwrap

from matplotlib.patches import Rectangle

from toolkit.audit.metrics.rules import RULES
from toolkit.audit.metrics.validity_panel import Panel
from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import PALETTE, new_figure, styled

PASS, FAIL, MIXED, EMPTY = PALETTE[0], PALETTE[1], PALETTE[5], "#f1f3f5"


def draw_panel(panel: Panel) -> Drawing:
    """Share of passed cells per rule and metric; blue passes everything, red nothing, grey was not judged."""
    metrics = panel.metrics
    with styled():
        figure = new_figure(2.6 + 1.15 * len(metrics), 0.9 + 0.3 * len(RULES))
        axes = figure.add_subplot()
        summary = panel.summary()
        for row, rule in enumerate(RULES):
            for column, metric in enumerate(metrics):
                text = str(summary.loc[rule.check, metric])
                passed, _, judged = text.partition("/")
                colour = EMPTY if not text else PASS if passed == judged else FAIL if passed == "0" else MIXED
                axes.add_patch(_box(column, row, colour))
                word = "–" if not text else f"{'✓' if passed == judged else '✗'} {text}"
                axes.text(column, row, word, ha="center", va="center", color="white" if text else "black", fontsize=8)
        axes.set_xlim(-0.5, len(metrics) - 0.5)
        axes.set_ylim(len(RULES) - 0.5, -0.5)
        axes.set_yticks(range(len(RULES)), [rule.title for rule in RULES])
        axes.set_xticks(range(len(metrics)), [textwrap.fill(m, 14) for m in metrics], fontsize=8)
        axes.xaxis.tick_top()
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
    return Drawing(figure, "Validity panel. " + " ".join(panel.verdict(metric) for metric in metrics))


def _box(column: int, row: int, colour: str) -> Rectangle:
    return Rectangle((column - 0.47, row - 0.44), 0.94, 0.88, color=colour)
