"""A run with its tables, for the sections of the report."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from toolkit.benchmark.report import model_tables
from toolkit.benchmark.report import run_tables as tables
from toolkit.benchmark.report.run_tables import FinishedRun
from toolkit.benchmark.report.two_step import mixed_models
from toolkit.reporting.plots.drawing import Drawing, image_html
from toolkit.stats.estimates import Estimate


@dataclass(frozen=True)
class ReportData:
    """A run with its tables, each computed once, and the figures drawn so far.

    Attributes:
        run: The run.
        figures: SVG by file name without suffix.
    """

    run: FinishedRun
    figures: dict[str, str] = field(default_factory=dict)

    def draw(self, kind: str, names: tuple[str, ...], drawing: Drawing) -> str:
        """Keep a figure for the folder of figures and return its HTML."""
        name = "-".join([kind, *(re.sub(r"[^A-Za-z0-9.]+", "_", name) for name in names)])
        self.figures[name] = drawing.svg()
        width = round(drawing.figure.get_figwidth() * 96)
        return image_html(self.figures[name].encode(), "image/svg+xml", drawing.alt, width=width)

    leaderboards = cached_property(lambda self: tables.leaderboards(self.run))
    taus = cached_property(lambda self: tables.taus(self.run))
    rank_tests = cached_property(lambda self: tables.rank_tests(self.run))
    pairwise_tests = cached_property(lambda self: tables.pairwise_tests(self.run))
    mixed_models = cached_property(lambda self: mixed_models(self.run))
    controls = cached_property(lambda self: model_tables.controls(self.run))
    judgements = cached_property(lambda self: model_tables.judgements(self.run))
    corners = cached_property(lambda self: model_tables.corners(self.run))
    costs = cached_property(lambda self: model_tables.costs(self.run))
    failures = cached_property(lambda self: tables.failures(self.run))

    @cached_property
    def measured(self) -> list[tuple[str, str]]:
        """Boards with a score by the headline metric."""
        scored = self.leaderboards.query("metric == @self.run.spec.headline and n_samples > 0")
        found = set(zip(scored["model"], scored["dataset"], strict=True))
        return [key for key in tables.leaderboard_keys(self.run) if key in found]

    @cached_property
    def ranked(self) -> list[tuple[str, str]]:
        """Measured boards on which explainers may be ranked."""
        return [key for key in self.measured if self.judgements[key].may_rank]

    @cached_property
    def pooled(self) -> dict[str, Estimate]:
        """Difference to random of each explainer over the ranked boards."""
        return model_tables.pooled(self.run, self.ranked)

    def board(self, model: str, dataset: str, metric: str) -> pd.DataFrame:
        """One leaderboard, best first, by explainer."""
        found = self.leaderboards
        mine = found[(found["model"] == model) & (found["dataset"] == dataset) & (found["metric"] == metric)]
        return mine.sort_values("mean", ascending=False, na_position="last", kind="stable").set_index("explainer")


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """Rows as named tuples; a column's type is known to whoever made the table."""
    return list(frame.itertuples())


def limits_of(*columns: pd.Series) -> tuple[float, float]:
    """Smallest and largest of all values, zero included: the common axis of small drawings."""
    values = pd.concat(columns).dropna()
    if values.empty:
        return 0.0, 1.0
    return min(0.0, float(values.min())), max(0.0, float(values.max()))
