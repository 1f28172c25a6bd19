"""Leaderboard explorer: metric, model and dataset by dropdown; means with intervals, and the critical differences."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from pathlib import Path

import ipywidgets as w

from toolkit.benchmark.report.run_tables import FinishedRun, image_means, leaderboards, load_run, rank_test
from toolkit.reporting.plots import critical_difference, leaderboard
from toolkit.stats.verdict import judge
from toolkit.widgets.base_widget import (
    BaseWidget,
    ImageView,
    column,
    dropdown,
    figure_html,
    on_change,
    row,
    status_html,
    table_html,
)
from toolkit.widgets.stage import DPI, rendered

WIDTH, HEIGHT = 430, 300
COLUMNS = ("explainer", "mean", "low", "high", "samples", "failed")


@dataclass(frozen=True)
class View:
    """Figures of one metric, model and dataset, as PNG and in words; no diagram where the test says nothing."""

    ranking_alt: str
    ranking: bytes = field(repr=False)
    differences_alt: str
    differences: bytes = field(repr=False)
    note: str


class LeaderboardExplorer(BaseWidget):
    """Look at a finished or running benchmark from any side.

    Args:
        run: A run, or the folder of one.

    Raises:
        FolderError: The folder is not that of a run.
    """

    def __init__(self, run: FinishedRun | Path | str) -> None:
        self.run = run if isinstance(run, FinishedRun) else load_run(run)
        self.table = leaderboards(self.run)
        self._drawn: dict[tuple[str, str, str], View] = {}
        spec = self.run.spec
        self.metric = dropdown("Metric", list(spec.metrics), spec.headline, width="270px")
        self.model = dropdown("Model", list(spec.models), width="270px")
        self.dataset = dropdown("Dataset", list(spec.datasets), width="270px")
        self.ranking, self.differences = ImageView(WIDTH, HEIGHT), ImageView(WIDTH, HEIGHT)
        self.rows, self.note = w.HTML(), w.HTML()
        for control in (self.metric, self.model, self.dataset):
            on_change(control, self.show)
        figures = row(self.ranking, self.differences)
        self.box = column(row(self.metric, self.model, self.dataset), figures, self.rows, self.note)
        self.show()

    @property
    def view(self) -> View:
        """What the dropdowns ask for, drawn once."""
        key = self.metric.value, self.model.value, self.dataset.value
        if key not in self._drawn:
            self._drawn[key] = self._draw(*key)
        return self._drawn[key]

    def _draw(self, metric: str, model: str, dataset: str) -> View:
        table = self.table
        chosen = table[(table["metric"] == metric) & (table["model"] == model) & (table["dataset"] == dataset)]
        names = [str(name) for name in chosen["explainer"]]
        means, lows, highs = ([float(value) for value in chosen[column]] for column in ("mean", "low", "high"))
        inches = WIDTH / DPI
        title = f"{model}, {dataset}"
        ranking = leaderboard(names, means, lows, highs, xlabel=metric, title=title, width=inches)
        part, test = rank_test(self.run, model, dataset, metric)
        means_by_image = image_means(self.run, model, dataset, metric, self.run.spec.explainers)
        verdict = judge({str(name): means_by_image[name].to_numpy(float) for name in means_by_image}).sentence()
        note = verdict + " " + (test.reason or f"Friedman's test over {test.n_blocks} pictures: p = {test.p:.3g}.")
        if math.isnan(test.critical_difference):
            return View(ranking.alt, rendered(ranking.figure), "", b"", note)
        ranks = [float(rank) for rank in test.mean_ranks]
        diagram = critical_difference(
            part.names, ranks, test.critical_difference, title="mean ranks, best at the left", width=inches
        )
        return View(ranking.alt, rendered(ranking.figure), diagram.alt, rendered(diagram.figure), note)

    def show(self) -> None:
        """Bring figures and table up to date with the controls."""
        view = self.view
        self.ranking.show(view.ranking, view.ranking_alt)
        self.differences.show(view.differences, view.differences_alt)
        self.rows.value = table_html(COLUMNS, self.lines())
        self.note.value = status_html(html.escape(view.note))

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
        view = self.view
        figures = figure_html(view.ranking, view.ranking_alt, width=WIDTH)
        if view.differences:
            figures += figure_html(view.differences, view.differences_alt, width=WIDTH)
        return f"<div>{figures}{self.rows.value}<p>{html.escape(view.note)}</p></div>"
