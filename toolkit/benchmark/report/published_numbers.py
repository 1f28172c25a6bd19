"""Published numbers to compare with, each with its source and status."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from toolkit.paths import data_dir

COLUMNS = ("model", "dataset", "explainer", "metric", "value", "source", "status")


def load_reference(folder: Path | None = None) -> pd.DataFrame:
    """All published numbers, from a folder of CSV files; None is the one that travels with the toolkit.

    Raises:
        ValueError: A file lacks a column or repeats an entry.
    """
    parts = []
    for path in sorted((folder or data_dir() / "reference").glob("*.csv")):
        part = pd.read_csv(path)
        lacking = [name for name in COLUMNS if name not in part.columns]
        if lacking:
            raise ValueError(f"{path} lacks the columns {', '.join(lacking)}")
        parts.append(part)
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    found = pd.concat(parts, ignore_index=True)
    repeated = found.duplicated(["model", "dataset", "explainer", "metric", "source"])
    if repeated.any():
        raise ValueError(f"published numbers repeat the entry {found[repeated].iloc[0].tolist()}")
    return found


def beside(ours: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Our means beside the published values of the same model, dataset, explainer and metric.

    A published mean over datasets (dataset ``mean``) is compared with the mean of our datasets, if we have several.

    Args:
        ours: The leaderboard table of a run.
        published: As ``load_reference`` gives it.
    """
    keys = ["model", "dataset", "explainer", "metric"]
    counted = ours.groupby(["model", "explainer", "metric"]).agg(mean=("mean", "mean"), n=("dataset", "nunique"))
    pooled = counted[counted["n"] == 3].reset_index().assign(dataset="mean")
    mine = pd.concat([ours[[*keys, "mean"]], pooled[[*keys, "mean"]]], ignore_index=True)
    joined = published.merge(mine.dropna(subset=["mean"]), on=keys, how="inner")
    return joined.rename(columns={"value": "published", "mean": "ours"})[
        [*keys, "published", "ours", "source", "status"]
    ]
