"""The report's sections about scores: corners, leaderboards, collapse, curves, speed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from toolkit.benchmark.report import run_tables as tables
from toolkit.benchmark.report.report_data import ReportData, limits_of, rows_of
from toolkit.benchmark.report.run_tables import CONTROLS, FinishedRun
from toolkit.reporting.page import (
    Section,
    card,
    grid,
    interval_bar,
    number,
    p_value,
    paragraph,
    table,
    text,
)
from toolkit.reporting.plots import Drawing, looks, rank_shift, tradeoff
from toolkit.reporting.plots.curve_charts import curve_charts

CURVES = (
    ("srg-image.insertion", "image inserted"), ("srg-image.deletion", "image deleted"),
    ("srg-text.insertion", "words inserted"), ("srg-text.deletion", "words deleted"),
    ("f-syn", "synergy, (ins + del) / 2"),
)  # fmt: skip


def _pick(frame: pd.DataFrame, model: str, dataset: str) -> pd.DataFrame:
    return frame[(frame["model"] == model) & (frame["dataset"] == dataset)]


def _interval(low: float, high: float, digits: int = 2) -> str:
    return f"[{number(low, digits)}, {number(high, digits)}]" if math.isfinite(low) and math.isfinite(high) else "–"


def corners(data: ReportData) -> Section:
    """How much of the answers comes from both modalities together."""
    rows = []
    shown = data.corners
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
    return Section("modalities", "Synergy or redundancy: do the models need both?", body)


def leaderboards(data: ReportData) -> Section:
    """One card per model and dataset."""
    spec = data.run.spec
    others = [name for name in ("srg-image", "srg-text") if name in spec.metrics and name != spec.headline]
    style = looks(list(spec.explainers))
    cards = []
    for model, dataset in tables.leaderboard_keys(data.run):
        board = data.board(model, dataset, spec.headline)
        limits = limits_of(board["low"], board["high"], board["mean"])
        more = {name: data.board(model, dataset, name) for name in others}
        place = board["rank"].rank(method="min")
        rows = []
        for name, row in [(str(key), row) for key, row in board.iterrows()]:
            label = f"{name}: {row['mean']:.3f}"
            bar = interval_bar(row["mean"], row["low"], row["high"], limits, style[name].colour, label)
            rows.append(
                [
                    number(place[name], 0) if math.isfinite(place[name]) else "", text(name) + _missing(row), bar,
                    number(row["mean"], sign=True), _interval(row["low"], row["high"]),
                    *(number(float(more[other]["mean"][name]), 2, sign=True) for other in others),
                    number(int(row["n_samples"])),
                ]
            )  # fmt: skip
        classes = {i: "control" for i, name in enumerate(board.index) if name in (*CONTROLS, "random")}
        head = ["#", "explainer", "", text(spec.headline), f"{spec.level:.0%} interval", *others, "n"]
        numbers, narrow = (0, *range(3, 6 + len(others))), range(4, 5 + len(others))
        board_table = table(head, rows, numeric=numbers, wide=narrow, classes=classes)
        cards.append(card(f"{text(model)} · {text(dataset)}", board_table))
    body = paragraph(
        f"Ranked by <code>{text(spec.headline)}</code>. Intervals resample pictures, not questions, because questions "
        "about one picture are not independent. Controls in italics are not ranked, except random, which is the floor. "
        "n counts samples; what failed, was skipped or is missing is counted under the explainer's name."
    ) + grid(cards)
    return Section("leaderboards", "Leaderboards", body)


def _missing(row: pd.Series) -> str:
    """What a mean does not cover, in small print under the explainer's name."""
    bad = [f"{int(row[name])} {name}" for name in ("failed", "skipped", "missing", "unscored") if row[name]]
    return f'<br><span class="bad">{", ".join(bad)}</span>' if bad else ""


def collapse(data: ReportData) -> Section:
    """The rankings by image and by text beside each other."""
    run = data.run
    wanted = [name for name in ("srg-image", run.spec.headline, "srg-text") if name in run.spec.metrics]
    cards = []
    for model, dataset in tables.leaderboard_keys(run):
        found = _pick(data.taus, model, dataset)
        boards = {name: data.board(model, dataset, name)["rank"].dropna() for name in wanted}
        shared = set.intersection(*(set(board.index) for board in boards.values())) if boards else set()
        if len(wanted) < 2 or len(shared) < 2:
            cards.append(card(f"{text(model)} · {text(dataset)}", paragraph("Too few scores for a ranking.", "none")))
            continue
        names = [name for name in tables.competitors(run) if name in shared]
        ranks = {
            metric: pd.Series({n: boards[metric][n] for n in names}).rank().to_dict() for metric in wanted
        }  # fmt: skip
        rows = [
            [
                f"{text(row.first)} and {text(row.second)}", number(row.tau, 2, sign=True),
                _interval(row.low, row.high), p_value(row.p), text(row.method),
            ]
            for row in rows_of(found) if row.first in wanted and row.second in wanted
        ]  # fmt: skip
        drawing = rank_shift({metric: {str(k): float(v) for k, v in r.items()} for metric, r in ranks.items()})
        shown = table(["rankings by", "tau", "interval", "p", "p-value is"], rows, numeric=(1, 2, 3), wide=(4,))
        cards.append(card(f"{text(model)} · {text(dataset)}", data.draw("ranks", (model, dataset), drawing) + shown))
    n = len(tables.competitors(run))
    body = paragraph(
        "If explainers that look good by the image metric look bad by the text metric, unimodal evaluation has "
        f"collapsed. Kendall's tau says how far two rankings agree: +1 the same, −1 reversed. With only {n} "
        "explainers a tau near zero means <em>no association</em>, not contradiction: read its exact p-value and its "
        "interval over pictures."
    ) + grid(cards)
    return Section("collapse", "Do the rankings agree?", body)


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
    """Insertion, deletion and synergy curves of every leaderboard."""
    run = data.run
    fractions = np.linspace(0, 1, run.spec.steps + 1)
    cards = []
    for model, dataset in tables.leaderboard_keys(run):
        charts: dict[str, dict[str, list[float]]] = {}
        for name, title in CURVES:
            lines = {e: mean_curve(run, model, dataset, e, name) for e in run.spec.explainers}
            drawn = {explainer: curve for explainer, curve in lines.items() if curve is not None}
            if drawn:
                charts[title] = drawn
        if charts:
            drawing = curve_charts(fractions, charts, order=list(run.spec.explainers))
            cards.append(card(f"{text(model)} · {text(dataset)}", data.draw("curves", (model, dataset), drawing)))
    body = paragraph(
        "Mean over samples. Insertion starts from nothing and adds the best-rated players first (good: rises early); "
        "deletion removes them first (good: falls early). The synergy curve starts at 0 and ends at the total "
        "interaction for <em>every</em> explainer; only the way between differs."
    ) + grid(cards)
    return Section("curves", "Curves", body)


def speed(data: ReportData) -> Section:
    """Seconds per attribution against the headline metric."""
    run, cards = data.run, []
    for model in run.spec.models:
        mine = data.costs[data.costs["model"] == model].set_index("explainer")
        found = data.leaderboards
        chosen = found[(found["model"] == model) & (found["metric"] == run.spec.headline)]
        means = chosen.groupby("explainer")["mean"].mean()
        names = [n for n in tables.competitors(run) if n in mine.index and math.isfinite(means.get(n, math.nan))]
        if names:
            drawing: Drawing = tradeoff(
                names, [float(mine["seconds"][n]) for n in names], [float(means[n]) for n in names],
                ylabel=f"{run.spec.headline}, mean over datasets", order=list(run.spec.explainers),
            )  # fmt: skip
            cards.append(card(text(model), data.draw("speed", (model,), drawing)))
    body = paragraph("Median time of one attribution on the machine of this run, without the scoring.") + grid(cards)
    return Section("speed", "Speed against faithfulness", body)
