"""Tables of measurements, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TITLES = {
    "aims": "Aims, on two quiet cores or on one GPU, and the worst that was measured",
    "metrics": "Metrics (image and text curves, F_syn; K = 10), seconds per (sample, explainer)",
    "macro_game": "Exact Shapley interaction index of the macro-game (8 players, 11 steps), seconds per sample",
    "orders": "All 2^14 coalitions of ten groups of cells and four of words, seconds per sample",
    "pairs": "Pair matrix of banzhaf-interaction, mirrored, by sampling; the largest standard error of the samples",
    "released": "At released token counts, narrow random layers; bound: 118 (V+P+S) / (20 (V+P) + 76 S), and for nine",
    "occlusion": "Occlusion on a grid and on every cell, with the images that each needs",
    "ideas": "What each idea is worth, seconds per (sample, explainer)",
    "scaling": "Scaling over samples and explainers",
    "answers": "Explaining every token of a 20-word answer against explaining one token, seconds",
    "exactness": "Engine against the plain path: distribution of |difference| of values",
    "grid": "Extrapolated time of the full grid: scoring alone, without the explainers' own passes",
    "executors": "The same units with each executor, starting up and loading included",
    "loading": "Loading, in loads of model and processor by transformers alone; files in the system's memory",
    "explainers": "Explainers at a released model's token count, in plain passes of it, by processor time",
    "ties": "Orders of tied players: evaluations of one mean over them, and its root mean square error",
    "demo": "The demonstration of version 0.1 here and in another checkout, starting up and loading included",
    "records": "Compacting and reporting by the number of records: CPU seconds, memory beyond imports, page",
    "left_out": "Not measured",
}


def field_text(value: object) -> str:
    """A number with three significant digits, anything else as it is."""
    if isinstance(value, float):
        if value == 0 or 1e-3 <= abs(value) < 1e4:
            return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
        return f"{value:.1e}"
    return str(value)


def as_text(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """All tables, one under the other, columns aligned."""
    parts = []
    for name, rows in tables.items():
        if not rows:
            continue
        header = list(rows[0])
        lines = [header, *([field_text(row[key]) for key in header] for row in rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
        body = "\n".join("  ".join(text.rjust(w) for text, w in zip(line, widths, strict=True)) for line in lines)
        parts.append(f"{TITLES.get(name, name)}\n{body}")
    return "\n\n".join(parts) + "\n"


def write(out: Path, tables: Mapping[str, Sequence[Mapping[str, Any]]], environment: Mapping[str, Any]) -> list[Path]:
    """Write ``speed.json`` and ``speed.txt`` into a folder, which is made; returns their paths.

    Raises:
        OSError: The folder cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    content = {"environment": dict(environment), "tables": {name: list(rows) for name, rows in tables.items()}}
    paths = [out / "speed.json", out / "speed.txt"]
    paths[0].write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    where = "\n".join(f"{key}: {value}" for key, value in environment.items())
    paths[1].write_text(f"{where}\n\n{as_text(tables)}", encoding="utf-8")
    return paths
