"""Rows of a study, kept unit by unit so that a stopped study goes on, and their means with intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.stats.estimates import clustered_mean

Watch = Callable[[int, int], None]

FEWEST = 6
"""Fewer samples decide nothing: five lie on one side of a bound by chance with p = 2 / 2^5, which is above .05."""


def study_rows(
    path: Path | None,
    head: Mapping[str, Any],
    units: Mapping[str, Callable[[], list[dict[str, Any]]]],
    watch: Watch | None = None,
) -> pd.DataFrame:
    """The rows of every unit of a study; those that a file holds already are not measured again.

    Args:
        path: A file of JSON lines, the study's head and then one unit each; None keeps nothing.
        head: What the study is.
        units: What measures each unit, by name.
        watch: Called as watch(done, total) after every unit.

    Raises:
        ValueError: The file holds a study with another head.

    Example:
        >>> study_rows(None, {}, {"a": lambda: [{"x": 1}], "b": lambda: [{"x": 2}]})["x"].tolist()
        [1, 2]
    """
    known: dict[str, list[dict[str, Any]]] = {}
    first = json.dumps(head)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if lines and lines[0] != first:
            raise ValueError(f"{path} holds another study: {lines[0]}, not {first}; give another folder")
        whole = [line for line in lines[1:] if line.endswith("]}")]  # a study that was killed ends in half a line
        known = {record["unit"]: record["rows"] for record in map(json.loads, whole)}
        path.write_text("\n".join([first, *whole]) + "\n", encoding="utf-8")
    found: list[dict[str, Any]] = []
    for done, (name, measure) in enumerate(units.items(), 1):
        rows = known[name] if name in known else measure()
        if path is not None and name not in known:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"unit": name, "rows": rows}) + "\n")
        found += rows
        if watch is not None:
            watch(done, len(units))
    return pd.DataFrame(found)


def mean_table(rows: pd.DataFrame, by: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Means per group with their 95 % intervals, clustered by ``image_id``; NaN entries are left out.

    Returns:
        One row per group, in the order of the rows: ``by``, then for every column ``x`` the columns ``x, x low,
        x high``, and ``n_samples``, the entries of the first column that are known.

    Example:
        >>> rows = pd.DataFrame({"explainer": "a", "image_id": range(4), "auc": [0.5, 0.7, 0.5, 0.7]})
        >>> mean_table(rows, ["explainer"], ["auc"]).round(2).values.tolist()
        [['a', 0.6, 0.5, 0.7, 4]]
    """
    found = []
    for names, group in rows.groupby(list(by), sort=False):
        row: dict[str, Any] = dict(zip(by, names, strict=True))
        for column in columns:
            known = group.dropna(subset=[column])
            estimate = clustered_mean(known[column], known["image_id"], rng=np.random.default_rng(0))
            row |= {column: estimate.mean, f"{column} low": estimate.low, f"{column} high": estimate.high}
        found.append(row | {"n_samples": int(group[columns[0]].notna().sum())})
    return pd.DataFrame(found)


def side(row: Mapping[Hashable, Any], column: str, bound: float) -> int:
    """Whether the interval of a mean lies above a bound (1), below it (-1) or holds it (0); 0 for too few samples."""
    if row["n_samples"] < FEWEST:
        return 0
    return int(row[f"{column} low"] > bound) - int(row[f"{column} high"] < bound)
