"""The report's section on pairs of cells and words, where an explainer of the run gives some."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from toolkit.benchmark.report import run_tables as tables
from toolkit.benchmark.report.report_data import ReportData
from toolkit.benchmark.report.run_tables import CONTROLS, FinishedRun
from toolkit.reporting.page import Section, card, number, paragraph, table, text
from toolkit.stats.estimates import clustered_mean
from toolkit.synergy.pair_metrics import PAIR_GAIN, PAIR_R2, recovery

RECOVERY = "recovery AUC"


def pair_scores(run: FinishedRun) -> pd.DataFrame:
    """One row per record with scores: what it gives, and how well its pairs recover those of the oracle's record.

    Returns:
        Columns ``model, dataset, sample, image_id, explainer, gives, recovery AUC``, and those of ``pair-gain`` and
        ``pair-r2`` that the run measured; NaN where the sample has no oracle, or no pair or every pair is true.
    """
    known = [record for record in run.records if record["status"] == "ok" and record.get("n_image")]
    truths = {_sample(record): _pairs(_evidence(record)) for record in known if record["explainer"] == CONTROLS[0]}
    rows = []
    for record in known:
        truth = truths.get(_sample(record))
        row = {name: record[name] for name in ("model", "dataset", "sample", "image_id", "explainer")}
        row["gives"] = "pairs" if record.get("pairs") is not None else "a product"
        row[RECOVERY] = float("nan") if truth is None else recovery(_pairs(record), truth > 0)[0]
        metrics = {spec.name: record["metrics"].get(spec.name) for spec in (PAIR_GAIN, PAIR_R2)}
        rows.append(row | {name: value for name, value in metrics.items() if name in run.spec.metrics})
    return pd.DataFrame(rows)


def pairs(data: ReportData) -> list[Section]:
    """Recovery of the known pairs and the metrics of pairs on every board; nothing where no explainer gives pairs."""
    scores = pair_scores(data.run)
    if scores.empty or "pairs" not in set(scores["gives"]):
        return []
    cards = [
        card(f"{text(model)} · {text(dataset)}", _board(data.run, board))
        for (model, dataset), board in scores.groupby(["model", "dataset"], sort=False)
    ]
    body = paragraph(
        "Of explainers that give signed pairs of cells and words these are judged; of the others the product of their "
        "scores, which is the baseline that pairs have to beat. Recovery AUC is the chance that a pair of evidence "
        "(oracle: a cell with a word) is ranked above another pair; 0.5 is no information. It needs the oracle in the "
        "run. <code>pair-gain</code> is insertion minus deletion by pairs, <code>pair-r2</code> what pairs add to a "
        "surrogate on held-out coalitions; name them among the metrics of a run to have them. Oracle and random are "
        "the controls."
    ) + "".join(cards)
    return [Section("pairs", "Do explainers find what cells and words do together?", body, folded=True)]


def _board(run: FinishedRun, board: pd.DataFrame) -> str:
    """The explainers of a board, the best at recovery first."""
    columns = [name for name in (RECOVERY, PAIR_GAIN.name, PAIR_R2.name) if name in board]
    order = board.groupby("explainer", sort=False)[columns].mean().sort_values(columns, ascending=False).index
    rows = []
    for name in order:
        mine = board[board["explainer"] == name]
        shown = [_interval(run, mine, column) for column in columns]
        rows.append([text(name), text(mine["gives"].iloc[0]), *shown, number(mine["sample"].nunique())])
    classes = {i: "control" for i, name in enumerate(order) if name in (*CONTROLS, "random")}
    return table(["explainer", "gives", *columns, "n"], rows, numeric=range(2, 3 + len(columns)), classes=classes)


def _interval(run: FinishedRun, rows: pd.DataFrame, column: str) -> str:
    known = rows.dropna(subset=[column]).groupby("sample", sort=True).agg({"image_id": "first", column: "mean"})
    if known.empty:
        return "–"
    found = clustered_mean(
        known[column].astype(float), known["image_id"].astype(str), rng=tables.seeded(column),
        n_resamples=run.spec.bootstrap, level=run.spec.level,
    )  # fmt: skip
    ends = f" [{number(found.low, 2)}, {number(found.high, 2)}]" if np.isfinite(found.low) else ""
    return number(found.mean, 2) + ends


def _sample(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["model"], record["dataset"], record["sample"]


def _evidence(record: dict[str, Any]) -> dict[str, Any]:
    """The oracle's record with 1 for a player of evidence, that is half covered at least, and 0 for another."""
    return {**record, "scores": (np.asarray(record["scores"]) >= 0.5).astype(float), "pairs": None}


def _pairs(record: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Pairs (n_image, n_text) on record, or the products of the scores."""
    n_image = int(record["n_image"])
    if record.get("pairs") is not None:
        return np.asarray(record["pairs"], dtype=np.float64).reshape(n_image, -1)
    scores = np.asarray(record["scores"], dtype=np.float64)
    return np.outer(scores[:n_image], scores[n_image:])
