"""The validity report: panel, claims, collapse, surrogate, flaws, as one page and a few tables."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from toolkit.audit.metrics.claims import (
    claims_table,
    collapse_claims,
    explainer_claims,
    metric_claims,
    prior_claims,
    salience_claim,
    unimodal_claims,
)
from toolkit.audit.metrics.panel_figure import draw_panel
from toolkit.audit.metrics.rules import RULES
from toolkit.audit.metrics.two_player_macro import surrogate_table
from toolkit.audit.metrics.validity_panel import ValidityPanel
from toolkit.audit.panel_run import PanelRun
from toolkit.audit.paper.collapse import collapse_table, mean_ranks
from toolkit.reporting.page import frame_table, page
from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.ranks import rank_shift

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INTRODUCTION = (
    "Rules were fixed before any metric was run. A rule decides where the whole 95 % interval lies on one side of its "
    "bound, also after Holm's correction over the rules of the metric; elsewhere it is undecided. Guards are rules "
    "that every metric passed before: they are not counted."
)
_CAPTION = (
    "Passed of judged entries; 1? says that one is undecided. Blue: all pass, red: none, orange: some fail, grey: "
    "undecided, light: not judged."
)
COLLAPSE_METRICS = ("srg-image", "srg-text", "f-syn")


@dataclass(frozen=True)
class ValidityReport:
    """Everything that a validation found, as tables.

    Attributes:
        panel: Judged entries.
        claims: One line per claim of the paper.
        collapse: Kendall's tau between the metrics' rankings, per model and dataset.
        surrogate: Surrogate check, per model.
        flaws: What each flaw does.
        diagnosis: Redundancy quantities, per model and dataset.
        scores: The tidy table behind the panel.
        ranks: Rank of each explainer by each metric, per model.
        seconds: Wall-clock time of the run.
    """

    panel: ValidityPanel
    claims: pd.DataFrame = field(repr=False)
    collapse: pd.DataFrame = field(repr=False)
    surrogate: dict[str, pd.DataFrame] = field(repr=False)
    flaws: pd.DataFrame = field(repr=False)
    diagnosis: pd.DataFrame = field(repr=False)
    scores: pd.DataFrame = field(repr=False)
    ranks: dict[str, dict[str, dict[str, float]]] = field(repr=False)
    seconds: float

    @classmethod
    def of(cls, run: PanelRun) -> ValidityReport:
        """Everything that follows from what was measured."""
        tables = {name: study.scores for name, study in run.studies.items()}
        judged = set(run.panel.metrics)
        metrics = tuple(m for m in COLLAPSE_METRICS if m in judged)
        several = len(metrics) > 1
        collapse = collapse_table(tables, metrics) if several else pd.DataFrame()
        surrogates = {n: surrogate_table(s.surrogate) for n, s in run.studies.items() if len(s.surrogate)}
        diagnosis = _stack([study.diagnosis for study in run.studies.values()])
        scored = tuple(m for m in ("f-syn-paper", "f-syn-recovered") if m in judged)
        unimodal = unimodal_claims(tables, tuple(m for m in ("srg-image", "srg-text") if m in judged))
        claims = [*unimodal, *metric_claims(run.panel, surrogates), *explainer_claims(tables, scored)]
        if len(diagnosis):
            claims = [*prior_claims(diagnosis), *collapse_claims(collapse), *claims, salience_claim(tables)]
        return cls(
            run.panel,
            claims_table(claims),
            collapse,
            surrogates,
            _stack([study.flaws.reset_index() for study in run.studies.values() if len(study.flaws)]),
            diagnosis,
            _stack(list(tables.values())),
            {name: mean_ranks(table, metrics) for name, table in tables.items()} if several else {},
            run.seconds,
        )

    def table(self) -> pd.DataFrame:
        """The panel, one line per entry."""
        return self.panel.table()

    def drawing(self) -> Drawing:
        """The panel as one picture with its text."""
        return draw_panel(self.panel)

    def figure(self) -> Figure:
        """The panel as a matplotlib figure."""
        return self.drawing().figure

    def to_html(self) -> str:
        """The whole report as one self-contained page."""
        parts = [
            f"<p>{_INTRODUCTION}</p>",
            *(f"<p>{html.escape(self.panel.verdict(metric))}</p>" for metric in self.panel.metrics),
            self.drawing().html(_CAPTION),
            "<h2>The paper's claims</h2>", _table(self.claims, index=False),
            "<h2>Do the metrics rank explainers alike?</h2>",
            "<p>tau below 0 with a small p is a contradiction; tau near 0 is no association. low, high: 95 % interval "
            "over pictures. sd over halves: spread over random halves of the samples, each sample with its own "
            "explainer seed.</p>",
            _table(self.collapse, index=False), *self._shifts(),
            "<h2>Is F_syn a surrogate of the exact index?</h2>",
            *(f"<h3>{html.escape(name)}</h3>{_table(table)}" for name, table in self.surrogate.items()),
            "<h2>What each flaw does</h2>", *self._flaws(),
            "<h2>Redundancy, measured</h2>", _table(self._redundancy()),
            "<h2>Every entry</h2>", _table(self.table(), index=False),
            "<h2>Rules</h2>", _table(pd.DataFrame([vars(rule) for rule in RULES]), index=False),
            f"<p>Computed in {self.seconds:.0f} s.</p>",
        ]  # fmt: skip
        return page("Validity panel", body="\n".join(parts))

    def _shifts(self) -> list[str]:
        return [rank_shift(ranks, title=name).html() for name, ranks in self.ranks.items() if len(ranks) > 1]

    def _flaws(self) -> list[str]:
        """Kendall distances side by side, then every number."""
        if not len(self.flaws):
            return [_table(self.flaws)]
        names = {"number": "", "flaw": "", "what": ""}
        by_model = self.flaws.pivot_table(index=list(names), columns="model", values="Kendall distance", sort=False)
        chance = self.flaws.groupby("model", sort=False)["distance by chance"].first()
        by_model.loc[("", "", "the same samples, resampled: no flaw, chance alone"), :] = chance
        pairs, n = int(self.flaws["pairs"].max()), int(self.flaws["n"].max())
        return [
            f"<p>Kendall distance to the correct ranking: how many of {pairs} pairs of explainers swap, over {n} "
            "samples. A distance no larger than that of the last line is what chance does by itself.</p>",
            _table(by_model.reset_index(), index=False),
            "<p>The number that each flaw distorts, without and with it:</p>",
            _table(self.flaws.drop(columns=["distance by chance", "pairs"]), index=False),
        ]

    def _redundancy(self) -> pd.DataFrame:
        if not len(self.diagnosis):
            return self.diagnosis
        return self.diagnosis.pivot_table(index="name", columns=["model", "dataset"], values="value", sort=False)

    def write(self, out: Path | str) -> Path:
        """Write ``validity.html``, the tables as CSV and the panel as PNG into a folder; returns the page's path."""
        folder = Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        tables = {"panel": self.table(), "claims": self.claims, "collapse": self.collapse, "flaws": self.flaws,
                  "redundancy": self.diagnosis, "scores": self.scores}  # fmt: skip
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False)
        for name, table in self.surrogate.items():
            table.to_csv(folder / f"surrogate-{name}.csv")
        self.drawing().save(folder / "panel.png")
        path = folder / "validity.html"
        path.write_text(self.to_html(), encoding="utf-8")
        return path


def _stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _table(table: pd.DataFrame, *, index: bool = True) -> str:
    if not len(table):
        return "<p>Not measured: no embedded model that it needs is installed.</p>"
    return frame_table(table.reset_index() if index else table)
