"""Two runs beside each other: what changed, by how much, and whether that is more than chance."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from toolkit.benchmark.page import Section, frame_table, page, paragraph, text
from toolkit.benchmark.records import write_atomically
from toolkit.benchmark.spec import changes
from toolkit.benchmark.statistics import clustered_mean, holm, paired_test
from toolkit.benchmark.tables import Run, load_run, seeded

KEYS = ["model", "dataset", "explainer"]


def compare_runs(first: Run, second: Run, metric: str) -> pd.DataFrame:
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
        pictures = both.groupby("image_id")[["first", "second"]].mean()
        test = paired_test(pictures["second"].to_numpy(float), pictures["first"].to_numpy(float))
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
    table = compare_runs(*runs, metric)
    path = Path(path)
    settings = changes(runs[0].spec.content, runs[1].spec.content)
    moved = table[(table["low"] > 0) | (table["high"] < 0)] if len(table) else table
    said = [
        paragraph(f"First: <code>{text(runs[0].folder)}</code>. Second: <code>{text(runs[1].folder)}</code>."),
        paragraph("Settings that differ: " + (text("; ".join(settings)) if settings else "none") + "."),
        paragraph(
            f"{len(moved)} of {len(table)} means of <code>{text(metric)}</code> moved by more than their interval; "
            "second minus first, on samples that both runs have."
        ),
    ]
    shown = table.replace({math.inf: math.nan})
    section = Section("comparison", "Second minus first", "".join(said) + frame_table(shown))
    html = page(f"{runs[0].spec.name} against {runs[1].spec.name}", "", [section], f"Metric: {text(metric)}.")
    write_atomically(path, html.encode())
    write_atomically(path.with_suffix(".csv"), table.to_csv(index=False, lineterminator="\n").encode())
    return path
