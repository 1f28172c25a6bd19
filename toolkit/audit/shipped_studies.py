"""The studies that travel with the toolkit: their rows, and what the page of the studies says that they found.

``data/studies`` holds the rows of one run of every ``python -m toolkit study NAME``, what was asked, the checksums of
the weights and of the rows; the page's sections between the marks are made from them, and a test says so where they
differ.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from toolkit.audit.dose_study import DoseStudy
from toolkit.audit.explainers.pair_recovery import PairReport
from toolkit.audit.masking_study import MaskingStudy
from toolkit.audit.metrics.shipped_panel import measured
from toolkit.audit.order_study import OrderStudy
from toolkit.paths import data_dir
from toolkit.reporting.page import with_intervals

STUDIES = ("pairs", "orders", "masking", "dose")
ASKED, SUMS = "asked.json", "SHA256SUMS"

Study: TypeAlias = PairReport | OrderStudy | MaskingStudy | DoseStudy


def load(name: str, folder: Path | None = None) -> Study:
    """The rows of a shipped study; without a folder, those of ``data/studies``."""
    folder = data_dir() / "studies" if folder is None else folder
    rows, asked = pd.read_csv(folder / f"{name}.csv"), json.loads((folder / ASKED).read_text(encoding="utf-8"))[name]
    if name == "pairs":
        return PairReport(rows, asked["units"])
    kinds: dict[str, Callable[[pd.DataFrame], Study]] = {
        "orders": OrderStudy, "masking": MaskingStudy, "dose": DoseStudy
    }  # fmt: skip
    return kinds[name](rows)


def adopt(runs: Path, into: Path | None = None) -> Path:
    """Keep the studies of a folder that holds ``NAME/NAME.jsonl`` and ``NAME/NAME.csv`` of each that was run.

    Raises:
        FileNotFoundError: There is none.
    """
    into = data_dir() / "studies" if into is None else into
    into.mkdir(parents=True, exist_ok=True)
    asked = json.loads((into / ASKED).read_text(encoding="utf-8")) if (into / ASKED).exists() else {}
    found = [name for name in STUDIES if (runs / name / f"{name}.csv").exists()]
    if not found:
        raise FileNotFoundError(
            f"{runs} holds no study; expected {runs / STUDIES[0] / STUDIES[0]}.csv or another of them"
        )
    for name in found:
        rows = pd.read_csv(runs / name / f"{name}.csv")
        rows.to_csv(into / f"{name}.csv", index=False, float_format="%.6g")
        head, *units = (runs / name / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        what = json.loads(head)
        models = what["models"] if "models" in what else [what["model"]]
        asked[name] = what | {"units": len(units)} | measured(models)
    (into / ASKED).write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(into.glob("*.csv"))]
    (into / SUMS).write_text("".join(sums), encoding="utf-8")
    return into


def section(name: str, folder: Path | None = None) -> str:
    """What the page says that a study found, between its marks."""
    study = load(name, folder)
    rows = study.rows
    tables = [study.fills(), study.wide()] if isinstance(study, MaskingStudy) else [study.table()]
    tables += [study.by_family()] if isinstance(study, OrderStudy) else []
    n, time = rows["sample"].nunique(), "cpu_seconds" if "cpu_seconds" in rows else "seconds"
    minutes = (
        f", {rows[time].sum() / 60:.0f} minutes" + " of one core" * (time == "cpu_seconds") if time in rows else ""
    )
    parts = [f"*Found* on {n} samples{minutes}. {study.verdict()}", *map(_markdown, tables)]
    return "\n\n".join([start(name), *parts, END])


def _markdown(table: pd.DataFrame) -> str:
    """A table of the page; a mean stands with its interval in one column."""
    shown = with_intervals(table)
    lines: list[list[Any]] = [list(shown), ["---"] * shown.shape[1], *shown.to_numpy(object).tolist()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def start(name: str) -> str:
    """The mark above what a study found."""
    return f"<!-- found by python -m toolkit study {name} -->"


END = "<!-- end of what was found -->"


def with_sections(page: str, folder: Path | None = None) -> str:
    """The page with what every shipped study found in its place."""
    folder = data_dir() / "studies" if folder is None else folder
    for name in json.loads((folder / ASKED).read_text(encoding="utf-8")):
        before, _, rest = page.partition(start(name))
        page = before + section(name, folder) + rest.partition(END)[2]
    return page


def main(runs: str, page: str) -> None:
    """Keep the studies of a folder, and put what they found into the page."""
    path = Path(page)
    adopt(Path(runs))
    path.write_text(with_sections(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(
            "usage: python -m toolkit.audit.shipped_studies RUNS PAGE, for example results notebooks/site/studies.md"
        )
    try:
        main(sys.argv[1], sys.argv[2])
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
