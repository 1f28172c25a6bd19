"""Leaderboard explorer: metric, model and dataset by dropdown; means with intervals, and the critical differences."""

from __future__ import annotations

import math
from pathlib import Path

import ipywidgets as w

from toolkit.benchmark.tables import Run, leaderboards, load_run, rank_test
from toolkit.plots import critical_difference, leaderboard
from toolkit.plots.drawing import Drawing
from toolkit.widgets.panel import Panel, dropdown, figure_html, on_change, picture, status_html, table_html

WIDTH = 460
COLUMNS = ("explainer", "mean", "low", "high", "samples", "failed")


class LeaderboardExplorer(Panel):
    """Look at a finished or running benchmark from any side.

    Args:
        run: A run, or the folder of one.

    Raises:
        FolderError: The folder is not that of a run.
    """

    def __init__(self, run: Run | Path | str) -> None:
        self.run = run if isinstance(run, Run) else load_run(run)
        self.table = leaderboards(self.run)
        self._drawn: dict[tuple[str, str, str], tuple[Drawing, Drawing | None, str, bytes, bytes]] = {}
        spec = self.run.spec
        self.metric = dropdown("Metric", list(spec.metrics), spec.headline)
        self.model = dropdown("Model", list(spec.models))
        self.dataset = dropdown("Dataset", list(spec.datasets))
        self.ranking, self.differences = picture(b"", WIDTH, 320), picture(b"", WIDTH, 320)
        self.rows, self.note = w.HTML(), w.HTML()
        for control in (self.metric, self.model, self.dataset):
            on_change(control, self.show)
        controls = w.HBox([self.metric, self.model, self.dataset], layout={"flex_flow": "row wrap"})
        figures = w.HBox([self.ranking, self.differences], layout={"flex_flow": "row wrap"})
        self.box = w.VBox([controls, figures, self.rows, self.note])
        self.show()

    def _here(self) -> tuple[Drawing, Drawing | None, str, bytes, bytes]:
        metric, model, dataset = key = self.metric.value, self.model.value, self.dataset.value
        if key not in self._drawn:
            chosen = self.table[
                (self.table["metric"] == metric) & (self.table["model"] == model) & (self.table["dataset"] == dataset)
            ]
            names = [str(name) for name in chosen["explainer"]]
            lists = ([float(value) for value in chosen[column]] for column in ("mean", "low", "high"))
            means, lows, highs = lists
            order = list(self.run.spec.explainers)
            ranking = leaderboard(names, means, lows, highs, xlabel=metric, title=f"{model}, {dataset}", order=order)
            part, test = rank_test(self.run, model, dataset, metric)
            diagram = None
            said = test.reason or f"Friedman's test over {test.n_blocks} pictures: p = {test.p:.3g}."
            if not math.isnan(test.critical_difference):
                ranks = [float(rank) for rank in test.mean_ranks]
                critical = test.critical_difference
                diagram = critical_difference(part.names, ranks, critical, title="mean ranks", order=order)
            png = diagram.png(100) if diagram is not None else b""
            self._drawn[key] = ranking, diagram, said, ranking.png(100), png
        return self._drawn[key]

    def show(self) -> None:
        """Bring figures and table up to date with the controls."""
        _, _, said, ranking, diagram = self._here()
        self.ranking.value, self.differences.value = ranking, diagram
        self.rows.value = table_html(COLUMNS, self.lines())
        self.note.value = status_html(said)

    def lines(self) -> list[tuple[str, ...]]:
        """The leaderboard as texts, best first."""
        table = self.table
        here = table[
            (table["metric"] == self.metric.value)
            & (table["model"] == self.model.value)
            & (table["dataset"] == self.dataset.value)
        ].sort_values("mean", ascending=False)
        return [
            (
                str(row["explainer"]),
                *(f"{row[column]:+.3f}" for column in ("mean", "low", "high")),
                str(row["n_samples"]),
                str(row["failed"]),
            )
            for _, row in here.iterrows()
        ]

    def static(self) -> str:
        """Both figures and the table."""
        ranking, diagram, said, _, _ = self._here()
        figures = figure_html(self.ranking.value, ranking.alt, width=WIDTH)
        if diagram is not None:
            figures += figure_html(self.differences.value, diagram.alt, width=WIDTH)
        return f"<div>{figures}{self.rows.value}<p>{said}</p></div>"
