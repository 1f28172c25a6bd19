"""The panel of version 0.1 here and in another checkout: what its rows cost on a grounded model, part by part."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from toolkit.audit.validation import JUDGED

Report = Callable[[str], None]
PARTS = Path(__file__).with_name("validate_parts.py")


def run_parts(checkout: Path, model: str) -> dict[str, float]:
    """CPU seconds of each part on one thread, by the code of a checkout in a process of its own, all metrics judged."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(checkout), "SYNERGY_TOOLKIT_CACHE": folder}
        words = [sys.executable, str(PARTS), model, ",".join(JUDGED)]
        done = subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def validate_rows(other: Path, models: Sequence[str], *, turns: int, report: Report) -> list[dict[str, Any]]:
    """A row per model and part, and one for the whole of each model, with medians of the turns and their ratio.

    Args:
        other: A checkout of the version to compare with.
        models: Names of grounded models.
        turns: How often each checkout is measured, one after the other.
        report: Called with a line of text whenever something new begins.
    """
    rows = []
    for model in models:
        taken: dict[str, list[dict[str, float]]] = {"here": [], "there": []}
        for turn in range(turns):
            for name, checkout in (("there", other), ("here", Path(__file__).parents[2])):
                report(f"{model}, turn {turn + 1} of {turns}: {name}")
                parts = run_parts(checkout, model)
                taken[name].append({**parts, "all": sum(parts.values())})
        for part in taken["here"][0]:
            here, there = (statistics.median(one[part] for one in taken[name]) for name in ("here", "there"))
            rows.append({"model": model, "part": part, "here_s": here, "there_s": there, "ratio": here / there})
    return rows
