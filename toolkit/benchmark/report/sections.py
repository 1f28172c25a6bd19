"""The report's sections about scores: corners, leaderboards, collapse, curves, speed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from toolkit.benchmark.report import run_tables as tables
from toolkit.benchmark.report.report_data import ReportData, limits_of, rows_of
from toolkit.benchmark.report.run_tables import CONTROLS, FinishedRun
from toolkit.reporting.page import Section, card, grid, interval_bar, number, p_value, paragraph, table, text
from toolkit.reporting.plots import looks, tradeoff
from toolkit.reporting.plots.curves import curve_charts
from toolkit.reporting.plots.run_overview import MARKS
from toolkit.stats.verdict import name_boards
from toolkit.synergy.recovered import SURFACE_RECOVERED

CURVES = (
    ("srg-image.insertion", "image inserted"), ("srg-image.deletion", "image deleted"),
    ("srg-text.insertion", "words inserted"), ("srg-text.deletion", "words deleted"),
    ("f-syn", "synergy, (ins + del) / 2"),
)  # fmt: skip


def _interval(low: float, high: float, digits: int = 2) -> str:
    return f"[{number(low, digits)}, {number(high, digits)}]" if math.isfinite(low) and math.isfinite(high) else "–"


def corners(data: ReportData) -> Section:
    """How much of the answers comes from both modalities together."""
    rows = []
    shown = data.corners[data.corners["n_samples"] > 0]
    limits = limits_of(shown["low"], shown["high"], shown["total_interaction"])
    for row in rows_of(shown):
        bar = interval_bar(row.total_interaction, row.low, row.high, limits, "#0072B2", "total interaction")
        rows.append(
            [
                f"{text(row.model)}<br><span class=\"faint\">{text(row.dataset)}</span>", number(row.accuracy, 2),
                number(row.both, 2), number(row.image, 2), number(row.text, 2), number(row.empty, 2), bar,
                number(row.total_interaction, sign=True), _interval(row.low, row.high, 3),
                number(row.synergistic, 2), number(row.redundant, 2), number(row.n_samples),
            ]
        )  # fmt: skip
    body = paragraph(
        "Mean probability of the model's own answer with both modalities, with one, and with none. The total "
        "interaction v(both) − v(image) − v(text) + v(neither) is positive where the answer needs both (an AND gate: "
        "+1) and negative where either is enough (OR: −1). It belongs to the model and the questions; no explainer "
        "changes it. Synergistic and redundant are the shares of samples with a total interaction above 0.1 and below "
        "−0.1."
    ) + table(
        ["model<br>dataset", "accuracy", "both", "image only", "text only", "neither", "", "total interaction",
         f"{data.run.spec.level:.0%} interval", "synergistic", "redundant", "samples"],
        rows, numeric=(1, 2, 3, 4, 5, *range(7, 12)), wide=(1, 2, 3, 4, 5, 6, 8, 11),
    )  # fmt: skip
    return Section("modalities", "Synergy or redundancy: do the models need both?", body, folded=True)


def leaderboards(data: ReportData) -> Section:
    """One card per model and dataset, all on one scale; grey and unranked where the control failed."""
    spec, measured = data.run.spec, data.measured
    found = data.leaderboards[data.leaderboards["metric"] == spec.headline]
    limits = limits_of(found["low"], found["high"], found["mean"])
    cards = [_board(data, key, limits) for key in measured]
    absent = [key for key in tables.leaderboard_keys(data.run) if key not in measured]
    body = paragraph(
        f"Ranked by <code>{text(spec.headline)}</code>, every bar on the same scale. Intervals are over pictures, not "
        "questions, because questions about one picture are not independent. The column beside the score is its "
        "difference to random; ▲ and ▼ are separated from it (Wilcoxon over pictures, Holm within the board). "
        "Controls in italics are not ranked, except random, which is the floor. n counts samples; what failed, was "
        "skipped, is missing or did not converge is counted under the explainer's name."
    ) + grid(cards)
    if absent:
        where = name_boards(absent, tables.leaderboard_keys(data.run))
        body += paragraph(f"Not measured yet: {text(where)}.", "none")
    return Section("leaderboards", "Leaderboards", body, folded=True)


def _board(data: ReportData, key: tuple[str, str], limits: tuple[float, float]) -> str:
    """The card of one board: its verdict, then its explainers."""
    spec, judged = data.run.spec, data.judgements[key]
    board = data.board(*key, spec.headline)
    if not judged.may_rank:
        board = board.reindex(spec.explainers)
    others = ("f-syn", "f-syn-paper") if spec.headline == SURFACE_RECOVERED.name else ()
    beside = {name: data.board(*key, name)["mean"] for name in others if name in spec.metrics}
    place = board["rank"].rank(method="min")
    floor = float(board["mean"].get("random", math.nan))
    style, rows = looks(list(spec.explainers)), []
    for name, row in [(str(key), row) for key, row in board.iterrows()]:
        mark = MARKS.get(judged.standings.get(name, ""), "")
        bar = interval_bar(row["mean"], row["low"], row["high"], limits, style[name].colour, f"{row['mean']:.3f}")
        rows.append(
            [
                number(place[name], 0) if judged.may_rank and math.isfinite(place[name]) else "",
                text(name) + _missing(row), bar, number(row["mean"], sign=True),
                f"{mark} {number(row['mean'] - floor, 2, sign=True)}", _interval(row["low"], row["high"]),
                *(number(float(means[name]), 2, sign=True) for means in beside.values()), number(int(row["n_samples"])),
            ]
        )  # fmt: skip
    classes = {i: "control" for i, name in enumerate(board.index) if name in (*CONTROLS, "random")}
    head = ["#", "explainer", "", text(spec.headline), "vs random", f"{spec.level:.0%} interval", *beside, "n"]
    shown = table(head, rows, numeric=(0, *range(3, 7 + len(beside))), wide=(5,), classes=classes)
    refused = "" if judged.may_rank else " refused"
    title = f"{text(key[0])} · {text(key[1])}"
    return f'<div class="card{refused}"><h3>{title}</h3>{paragraph(text(judged.sentence()))}{shown}</div>'


def _missing(row: pd.Series) -> str:
    """What a mean does not cover, in small print under the explainer's name."""
    told = ("failed", "skipped", "missing", "unscored", "not converged")
    bad = [f"{int(row[name])} {name}" for name in told if row[name]]
    return f'<br><span class="bad">{", ".join(bad)}</span>' if bad else ""


def pooled_ranks(data: ReportData) -> dict[str, dict[str, float]]:
    """Rank of each explainer by the image metric, the headline and the text metric: mean over the ranked boards."""
    wanted = [name for name in ("srg-image", data.run.spec.headline, "srg-text") if name in data.run.spec.metrics]
    keys = pd.MultiIndex.from_tuples(data.ranked, names=["model", "dataset"])
    found = data.leaderboards.set_index(["model", "dataset"])
    found = found[found.index.isin(keys) & found["explainer"].isin(tables.competitors(data.run))]
    means = found.pivot_table(index="explainer", columns="metric", values="mean", sort=False).reindex(columns=wanted)
    ranks = means.dropna().rank(ascending=False)
    return {str(name): {str(k): float(v) for k, v in ranks[name].items()} for name in wanted if len(ranks) > 1}


def collapse(data: ReportData) -> Section:
    """How far the rankings by image, by text and by the headline agree on every board."""
    run = data.run
    wanted = [name for name in ("srg-image", run.spec.headline, "srg-text") if name in run.spec.metrics]
    rows = [
        [
            text(row.model), text(row.dataset), f"{text(row.first)} and {text(row.second)}",
            number(row.tau, 2, sign=True), _interval(row.low, row.high), p_value(row.p), text(row.method),
        ]
        for key in data.measured for row in rows_of(data.taus)
        if (row.model, row.dataset) == key and {row.first, row.second} <= set(wanted) and math.isfinite(row.tau)
    ]  # fmt: skip
    head = ["model", "dataset", "rankings by", "tau", "interval", "p", "p-value is"]
    body = paragraph(
        "If explainers that look good by the image metric look bad by the text metric, unimodal evaluation has "
        f"collapsed. Kendall's tau says how far two rankings agree: +1 the same, −1 reversed. With only "
        f"{len(tables.competitors(run))} explainers a tau near zero means <em>no association</em>, not contradiction: "
        "read its exact p-value and its interval over pictures."
    ) + (table(head, rows, numeric=(3, 4, 5), wide=(4, 6)) if rows else paragraph("Too few scores.", "none"))
    return Section("collapse", "Do the rankings agree?", body, folded=True)


def mean_curve(run: FinishedRun, model: str, dataset: str, explainer: str, name: str) -> list[float] | None:
    """Mean over a leaderboard's records of one curve, or None where there is none."""
    found = [
        record["curves"][name]
        for record in run.records
        if record["model"] == model and record["dataset"] == dataset and record["explainer"] == explainer
        and name in (record.get("curves") or {}) and None not in record["curves"][name]
    ]  # fmt: skip
    return np.mean(np.asarray(found, dtype=np.float64), axis=0).tolist() if found else None


def curves(data: ReportData) -> Section:
    """Insertion, deletion and synergy curves of every model, mean over its datasets."""
    run = data.run
    fractions = np.linspace(0, 1, run.spec.steps + 1)
    cards = []
    for model in run.spec.models:
        charts: dict[str, dict[str, list[float]]] = {}
        for name, title in CURVES:
            for explainer in run.spec.explainers:
                found = [mean_curve(run, model, dataset, explainer, name) for dataset in run.spec.datasets]
                known = [curve for curve in found if curve is not None]
                if known:
                    charts.setdefault(title, {})[explainer] = np.mean(known, axis=0).tolist()
        if charts:
            cards.append(card(text(model), data.draw("curves", (model,), curve_charts(fractions, charts))))
    body = paragraph(
        "Mean over samples, then over datasets. Insertion starts from nothing and adds the best-rated players first "
        "(good: rises early); deletion removes them first (good: falls early). The synergy curve starts at 0 and ends "
        "at the total interaction for <em>every</em> explainer; only the way between differs. A curve that ends "
        "elsewhere is a mean over fewer samples: its explainer was skipped or failed on the others."
    ) + grid(cards)
    return Section("curves", "Curves", body, folded=True)


def speed(data: ReportData) -> Section:
    """Seconds per attribution against the pooled difference to random."""
    costs = data.costs.groupby("explainer")["seconds"].median()
    names = [name for name in tables.competitors(data.run) if name in costs.index and name in data.pooled]
    body = paragraph(
        "Median time of one attribution over the models, on the machine of this run and without the scoring, against "
        f"<code>{text(data.run.spec.headline)}</code> minus random's, pooled as on the first screen."
    )
    if names:
        drawing = tradeoff(
            names, [float(costs[n]) for n in names], [data.pooled[n].mean for n in names],
            ylabel=f"{data.run.spec.headline} minus random's", width=6.4,
        )  # fmt: skip
        body += data.draw("speed", (), drawing)
    return Section("speed", "Speed against faithfulness", body, folded=True)
