"""From shards to tables: the same bytes whatever was interrupted, in whatever order and by how many workers.

``records.parquet`` and ``samples.parquet`` hold what was measured. What it cost (seconds, passes) differs from run to
run and is kept apart, in ``costs.parquet``.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.benchmark.run.growth import add_scores
from toolkit.benchmark.run.records import Line, Owner, encode, jsonable, plain_text, read_shards
from toolkit.benchmark.run.whole_files import write_atomically
from toolkit.datasets.sample import CORNERS

if TYPE_CHECKING:
    import pyarrow as pa

IDENTITY = ("model", "dataset", "sample", "explainer", "seed")
COMMON = ("image_id", "category", "gate", "family", "status", "reason", "target", "probability", "correct", "revision")
TYPES = {
    "seed": "int64", "probability": "double", "correct": "bool", "convergence_delta": "double", "n_image": "int64",
    "n_text": "int64",
}  # fmt: skip
"""Arrow types of the columns that are not text, as Arrow writes them; a trailing ``[]`` makes a list."""


def in_order(lines: Sequence[Line], planned: Sequence[str]) -> list[Line]:
    """The planned lines that exist, in the order of the plan; records hold what later metrics added."""
    found = {line["key"]: line for line in add_scores(lines)}
    return [found[key] for key in planned if key in found]


def recordable(line: Line) -> Line:
    """The line in plain JSON types that the tables can hold; where it cannot be recorded, the same line as failed."""
    try:
        plain: Line = jsonable(line)
        encode(plain)
        _check_columns(plain)
    except Exception as error:  # whatever somebody's explainer, metric or model put into it
        names = ("kind", "key", *IDENTITY, "image_id", "category")
        known = {name: line[name] for name in names if name in line}
        kept = {name: value if isinstance(value, int) else plain_text(str(value)) for name, value in known.items()}
        return {**kept, "status": "failed", "reason": f"it cannot be recorded: {plain_text(str(error))[:500]}"}
    return plain


def _check_columns(line: Line) -> None:
    """Refuse now what a table could not hold later."""
    if line["kind"] == "sample":
        _samples_table([line])
        _column(list((line.get("environment") or {}).values()))
    else:
        _records_table([line], {})
    for name, value in (line.get("cost") or {}).items():
        if not (value is None or isinstance(value, int | float) or line["kind"] == "sample"):
            raise TypeError(f"cost.{name} is {value!r}; expected a number")


def compact(folder: Path, planned: Sequence[str], owner: Owner | None = None) -> list[Line]:
    """Write the parquet tables of a run by atomic rename.

    Returns:
        All planned lines that exist, in the order of the plan.
    """
    lines = in_order(read_shards(folder, owner), planned)
    records = [line for line in lines if line["kind"] == "record"]
    samples = [line for line in lines if line["kind"] == "sample"]
    environments = {(line["model"], line["dataset"], line["sample"]): line.get("environment") or {} for line in samples}
    _write(folder / "records.parquet", _records_table(records, environments))
    _write(folder / "samples.parquet", _samples_table(samples))
    _write(folder / "costs.parquet", _costs_table(lines))
    return lines


def _write(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_atomically(path, buffer.getvalue())


def _column(values: list[Any], kind: str | None = None) -> pa.Array:
    import pyarrow as pa

    kind = kind or "string"
    of = pa.type_for_alias(kind.removesuffix("[]"))
    return pa.array(values, type=pa.list_(of) if kind.endswith("[]") else of)


def _table(columns: dict[str, pa.Array]) -> pa.Table:
    import pyarrow as pa

    return pa.table(columns)


def _names(records: Sequence[Line], field: str) -> list[str]:
    return sorted({name for record in records for name in record.get(field) or ()})


def _records_table(records: Sequence[Line], environments: dict[tuple[str, str, str], dict[str, str]]) -> pa.Table:
    columns = {
        name: _column([record.get(name) for record in records], TYPES.get(name))
        for name in (*IDENTITY, *COMMON, "checkpoint", "content", "n_image", "n_text", "convergence_delta")
    }
    for corner in CORNERS:
        values = [(record.get("corners") or {}).get(corner) for record in records]
        columns[f"corner.{corner}"] = _column(values, "double")
    for field, prefix, kind in (
        ("metrics", "metric", "double"), ("unscored", "unscored", "string"),
        ("curves", "curve", "double[]"), ("score_evaluations", "n_evaluations", "int64"),
    ):  # fmt: skip
        for name in _names(records, field):
            values = [(record.get(field) or {}).get(name) for record in records]
            columns[f"{prefix}.{name}"] = _column(values, kind)
    columns["scores"] = _column([record.get("scores") for record in records], "double[]")
    if any("pairs" in record for record in records):
        columns["pairs"] = _column([record.get("pairs") for record in records], "double[]")
    columns["details"] = _column([json.dumps(record.get("details") or {}, sort_keys=True) for record in records])
    owners = [environments.get((r["model"], r["dataset"], r["sample"]), {}) for r in records]
    for name in sorted({name for owner in owners for name in owner}):
        columns[f"environment.{name}"] = _column([owner.get(name) for owner in owners])
    return _table(columns)


def _samples_table(samples: Sequence[Line]) -> pa.Table:
    names = ("model", "dataset", "sample", *COMMON, "question", "instruction", "answer", "prior_answer")
    columns = {name: _column([sample.get(name) for sample in samples], TYPES.get(name)) for name in names}
    for name in ("choices", "labels"):
        columns[name] = _column([sample.get(name) for sample in samples], "string[]")
    for name in ("by_choice", "bayes", "corners"):
        columns[name] = _column([json.dumps(sample.get(name), sort_keys=True) for sample in samples])
    images = [(sample.get("drawing") or {}).get("png") for sample in samples]
    columns["image_png"] = _column([png and base64.b64decode(png) for png in images], "binary")
    return _table(columns)


def _costs_table(lines: Sequence[Line]) -> pa.Table:
    costs = [line.get("cost") or {} for line in lines]
    columns = {name: _column([line.get(name) for line in lines], TYPES.get(name)) for name in ("kind", *IDENTITY)}
    for name in _names(lines, "cost"):
        values = [cost.get(name) for cost in costs]
        is_text = any(isinstance(value, str) for value in values)
        texts = [None if value is None else str(value) for value in values]
        columns[name] = _column(texts) if is_text else _column(values, "double")
    return _table(columns)
