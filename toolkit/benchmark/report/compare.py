"""Compare two runs: what changed, by how much, and whether it is more than chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from toolkit.benchmark.report.report_data import limits_of, rows_of
from toolkit.benchmark.report.run_tables import FinishedRun, load_run, seeded
from toolkit.benchmark.run.spec import changes
from toolkit.benchmark.run.whole_files import write_atomically
from toolkit.reporting.page import (
    Section,
    card,
    grid,
    interval_bar,
    number,
    p_value,
    page,
    paragraph,
    table,
    table_text,
    text,
)
from toolkit.reporting.plots import looks
from toolkit.stats.estimates import clustered_mean, holm, paired_test

KEYS = ["model", "dataset", "explainer"]


def compare_runs(first: FinishedRun, second: FinishedRun, metric: str) -> pd.DataFrame:
    """Second minus first on the samples that both have, per model, dataset and explainer.

    Seeds are averaged first; intervals resample pictures, p-values are Wilcoxon's over pictures with Holm's correction
    over all rows.

    Raises:
        ValueError: One of the runs does not have the metric, or they have no sample in common.
    """
    for run in (first, second):
        if metric not in run.spec.metrics:
            raise ValueError(f"the run in {run.folder} does not have {metric!r}; it has {', '.join(run.spec.metrics)}")
    parts = [
        run.frame.groupby([*KEYS, "sample", "image_id"], sort=True)[metric].mean().rename(name)
        for run, name in ((first, "first"), (second, "second"))
    ]
    joined = pd.concat(parts, axis=1).reset_index()
    if joined.dropna(subset=["first", "second"]).empty:
        raise ValueError(
            f"{first.folder} and {second.folder} have no scored sample of one model, dataset and explainer in common: "
            "there is nothing to compare"
        )
    rows: list[dict[str, Any]] = []
    for key, group in joined.groupby(KEYS, sort=True):
        both = group.dropna(subset=["first", "second"])
        change = (both["second"] - both["first"]).to_numpy(float)
        estimate = clustered_mean(
            change, both["image_id"].astype(str), rng=seeded(*map(str, key)), n_resamples=first.spec.bootstrap,
            level=first.spec.level,
        )  # fmt: skip
        images = both.groupby("image_id")[["first", "second"]].mean()
        test = paired_test(images["second"].to_numpy(float), images["first"].to_numpy(float))
        rows.append(
            {
                **dict(zip(KEYS, key, strict=True)), "first": float(both["first"].mean()),
                "second": float(both["second"].mean()), "change": estimate.mean, "low": estimate.low,
                "high": estimate.high, "p": test.p, "effect": test.rank_biserial, "n_samples": len(both),
                "only_first": int((group["first"].notna() & group["second"].isna()).sum()),
                "only_second": int((group["first"].isna() & group["second"].notna()).sum()),
            }
        )  # fmt: skip
    adjusted = holm([row["p"] for row in rows])
    return pd.DataFrame([{**row, "p_holm": float(p)} for row, p in zip(rows, adjusted, strict=True)])


def write_comparison(first: Path | str, second: Path | str, path: Path | str, *, metric: str | None = None) -> Path:
    """Write the comparison of two runs as one HTML page and a CSV of the same name.

    Args:
        first: Folder of the run to compare with.
        second: Folder of the other run.
        path: The page, ``.html``.
        metric: What to compare; None takes the first run's headline metric.

    Raises:
        FolderError: One of the folders is not a run, or the page cannot be written.
        ValueError: One of the runs does not have the metric.
    """
    runs = load_run(first), load_run(second)
    metric = metric or runs[0].spec.headline
    found = compare_runs(*runs, metric)
    path = Path(path)
    names = [run.folder.resolve().name for run in runs]
    title = f"{names[0]} against {names[1]}" if len(set(names)) == 2 else "Two runs compared"
    html = page(title, paragraph("What changed, and whether that is more than chance.", "lead"),
                [_differences(*runs), _section(found, metric, runs[0])], f"Metric: {text(metric)}.")  # fmt: skip
    write_atomically(path, html.encode())
    write_atomically(path.with_suffix(".csv"), found.to_csv(index=False, lineterminator="\n").encode())
    return path


def _differences(first: FinishedRun, second: FinishedRun) -> Section:
    """In what the runs themselves differ: settings, weights, contents, version."""
    found = changes(first.spec.content, second.spec.content) + changes(first.identities, second.identities)
    found += changes({"toolkit": first.toolkit}, {"toolkit": second.toolkit})
    rows = [[text(name), table_text(change)] for name, _, change in (line.partition(": ") for line in found)]
    body = table(["setting", "first -> second"], rows) if rows else paragraph("Nothing: settings and weights agree.")
    return Section("settings", "What differs between the runs", body)


def _section(frame: pd.DataFrame, metric: str, run: FinishedRun) -> Section:
    """One card per model and dataset, the explainers in the order of the first run."""
    limits = limits_of(frame["low"], frame["high"], frame["change"])
    order = list(dict.fromkeys([*run.spec.explainers, *frame["explainer"]]))
    style = looks(order)
    frame = frame.sort_values("explainer", key=lambda names: names.map(order.index), kind="stable")
    cards = []
    for (model, dataset), group in frame.groupby(["model", "dataset"]):
        rows = []
        for row in rows_of(group):
            label = f"{row.explainer}: {row.change:+.3f}"
            sides = ((row.only_first, "first"), (row.only_second, "second"))
            alone = [f"{n} only in the {which}" for n, which in sides if n]
            rows.append(
                [
                    text(row.explainer) + (f'<br><span class="bad">{", ".join(alone)}</span>' if alone else ""),
                    number(row.first, 2, sign=True), number(row.second, 2, sign=True),
                    interval_bar(row.change, row.low, row.high, limits, style[row.explainer].colour, label),
                    number(row.change, sign=True), f"[{number(row.low, 2)}, {number(row.high, 2)}]",
                    p_value(row.p_holm), number(row.effect, 2, sign=True), number(row.n_samples),
                ]
            )  # fmt: skip
        interval = f"{run.spec.level:.0%} interval"
        head = ["explainer", "first", "second", "", "change", interval, "p (Holm)", "effect", "n"]
        shown = table(head, rows, numeric=(1, 2, *range(4, 9)), wide=(1, 2, 5, 7))
        cards.append(card(f"{text(model)} · {text(dataset)}", shown))
    moved = frame[(frame["low"] > 0) | (frame["high"] < 0)]
    body = paragraph(
        f"{len(moved)} of {len(frame)} means of <code>{text(metric)}</code> moved by more than their interval; second "
        "minus first, on samples that both runs have. Intervals resample pictures; p is Wilcoxon's over pictures with "
        "Holm's correction over all rows; the effect is the matched-pairs rank-biserial correlation."
    )
    return Section("comparison", "Second minus first", body + grid(cards))
