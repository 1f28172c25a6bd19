"""The demonstration of version 0.1 here and in another checkout: how long each takes, and whether the records agree."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

Report = Callable[[str], None]
SPEC = Path(__file__).with_name("demo_v1.yaml")
KEY = ["model", "dataset", "sample", "explainer", "seed"]


def run_demo(checkout: Path, folder: Path, samples: int) -> tuple[float, pd.DataFrame]:
    """Seconds and records of the specification, run by the code of a checkout in a process of its own."""
    spec = yaml.safe_load(SPEC.read_text(encoding="utf-8")) | {"samples": samples, "progress": False}
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(checkout), "SYNERGY_TOOLKIT_CACHE": str(folder / "cache")}
    words = [sys.executable, "-m", "toolkit", "benchmark", "run", "spec.yaml", "--out", "run"]
    start = time.perf_counter()
    subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start, pd.read_parquet(folder / "run" / "records.parquet")


def largest_differences(ours: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, float]:
    """Largest difference of every metric over all records; records that only one of them has are an error.

    Raises:
        ValueError: The two runs have other records, or miss other values.
    """
    one, other = (frame.set_index(KEY).sort_index() for frame in (ours, theirs))
    if not one.index.equals(other.index):
        raise ValueError(f"the records differ: {len(one)} here, {len(other)} there")
    found = {}
    for name in (column for column in other.columns if column.startswith(("metric.", "corner."))):
        if not one[name].isna().equals(other[name].isna()):
            raise ValueError(f"{name} is missing in other records here than there")
        found[name] = float((one[name] - other[name]).abs().max())
    return found


def both_ok(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What both versions scored: a later one refuses controls where it knows that their evidence is no ground truth."""
    keys = pd.merge(*(frame.loc[frame["status"] == "ok", KEY] for frame in (ours, theirs)), on=KEY)
    return ours.merge(keys, on=KEY), theirs.merge(keys, on=KEY)


def demo_rows(other: Path, *, samples: int, turns: int, report: Report) -> list[dict[str, Any]]:
    """A row with the ratio of the medians of the turns and the largest difference of any value.

    Args:
        other: A checkout of the version to compare with.
        samples: Samples per dataset and model.
        turns: How often each is run, one after the other.
        report: Called with a line of text whenever something new begins.
    """
    seconds: dict[str, list[float]] = {"here": [], "there": []}
    records = {}
    with tempfile.TemporaryDirectory() as kept:
        for turn in range(turns):
            for name, checkout in (("there", other), ("here", Path(__file__).parents[2])):
                report(f"turn {turn + 1} of {turns}: {name}")
                took, records[name] = run_demo(checkout, Path(kept) / f"{name}-{turn}", samples)
                seconds[name].append(took)
    scored = both_ok(records["here"], records["there"])
    differences = largest_differences(*scored)
    here, there = (statistics.median(seconds[name]) for name in ("here", "there"))
    worst = max(differences, key=lambda name: differences[name])
    return [
        {
            "records": len(records["here"]), "compared": len(scored[0]), "here_s": here, "there_s": there,
            "ratio": here / there, "largest_difference": differences[worst], "of": worst,
        }
    ]  # fmt: skip
