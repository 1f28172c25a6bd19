"""Time and memory of compacting and reporting by the number of records."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.toy_bench import ToyBench, spec

from toolkit.benchmark.run.compact import recordable
from toolkit.benchmark.run.evaluate_unit import evaluate_unit
from toolkit.benchmark.run.growth import Generation
from toolkit.benchmark.run.records import Shard
from toolkit.benchmark.run.run_folder import locked, open_folder, read_folder
from toolkit.benchmark.run.units import jobs_of, plan_units, unit_keys

SIZES = (12_500, 25_000, 50_000)
EXPLAINERS = ("random", "oracle", "anti-oracle", "good", "better")

# VmHWM, as getrusage's ru_maxrss starts at the size that the parent had when it forked.
MEASURE = """
import json, re, sys, time
from pathlib import Path
import toolkit.benchmark.report.write_report as report, toolkit.benchmark.run.compact as compact
from toolkit.benchmark.run.run_folder import read_folder
from toolkit.benchmark.run.units import plan_units, unit_keys
import matplotlib.pyplot, seaborn
step, folder = sys.argv[1], Path(sys.argv[2])
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before, start = peak(), time.process_time()
if step == "compact":
    found = read_folder(folder)
    planned = [key for unit in plan_units(found.spec, found.ids) for key in unit_keys(unit, found.spec)]
    compact.compact(folder, planned, found.owner)
else:
    report.write_report(folder)
print(json.dumps({"seconds": time.process_time() - start, "mb": peak() - before}))
"""


def write_run(folder: Path, n_records: int) -> None:
    """A run with so many records, all but compacted: those of at most 200 samples under ever new names."""
    n_samples = n_records // len(jobs_of(spec(folder, explainers=EXPLAINERS)))
    wanted = spec(folder, models=["gate-and"], explainers=EXPLAINERS, samples=n_samples)
    n_made = min(200, n_samples)
    small = wanted.model_copy(update={"samples": n_made})
    bench = ToyBench(small)
    ids = {"toys": [f"toys-{i}" for i in range(n_samples)]}
    units = plan_units(small, {"toys": ids["toys"][:n_made]})
    made = [[recordable(line) for line in evaluate_unit(unit, wanted, bench)] for unit in units]
    with locked(folder):
        open_folder(folder, Generation(wanted, ids, bench.identities()))
        owner = read_folder(folder).owner
        header = {"toolkit": owner.toolkit, "spec": owner.fingerprints[-1]}
        lines = []
        for number, unit in enumerate(plan_units(wanted, ids)):
            for key, line in zip(unit_keys(unit, wanted), made[number % len(made)], strict=True):
                new = {"key": key, "sample": unit.sample, "image_id": f"image-{number // 2}"}
                new |= {} if number < wanted.images else {"drawing": None}
                lines.append({**line, **new})
        with Shard(folder / "shards" / "00001-worker0.jsonl", header) as shard:
            shard.append(lines)


def measured(step: str, folder: Path) -> dict[str, float]:
    """CPU seconds and peak memory of one step in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, step, str(folder)], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def scaling_rows(sizes: Sequence[int] = SIZES) -> list[dict[str, Any]]:
    """A row per number of records."""
    rows = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "run"
            write_run(folder, n)
            row: dict[str, Any] = {"records": n}
            for step in ("compact", "report"):
                found = measured(step, folder)
                row |= {f"{step} s": round(found["seconds"], 2), f"{step} MB": round(found["mb"])}
            row["report.html MB"] = round((folder / "report.html").stat().st_size / 1e6, 2)
            rows.append(row)
    return rows
