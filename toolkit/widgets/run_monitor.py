"""Run monitor: a benchmark's cost, then run, watch, stop and resume it.

The run is a process of its own (``python -m toolkit benchmark run``), so that stopping it is safe, the notebook stays
alive, and everything that was finished is on the disk when the notebook's kernel dies.
"""

from __future__ import annotations

import html
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets as w

from toolkit.benchmark.run.records import read_shards
from toolkit.benchmark.run.runner import default_folder
from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.benchmark.run.units import jobs_of
from toolkit.benchmark.run.whole_files import write_atomically
from toolkit.widgets.base_widget import TIGHT, BaseWidget, button, column, on_click, row, status_html, table_html

PATIENCE = 10.0
"""Seconds that an interrupted run gets to end by itself."""

Command = Callable[[Path], Sequence[str]]
"""The command line that runs the specification in a file."""


def command_line(spec: Path) -> list[str]:
    """Run a specification with this interpreter."""
    return [sys.executable, "-m", "toolkit", "benchmark", "run", str(spec)]


def coalitions_per_sample(spec: BenchmarkSpec) -> int:
    """Distinct coalitions of the default metrics per model and sample: 8 K - 4, and 8 (K - 1) per further run.

    Of maps without tied scores: ties are averaged over several orders, which cost more.
    """
    return 8 * spec.steps - 4 + (len(jobs_of(spec)) - 1) * 8 * (spec.steps - 1)


def planned_records(spec: BenchmarkSpec) -> int | None:
    """Number of records that a run will write, or None where the size of a dataset is not known beforehand."""
    if spec.samples is None:
        return None
    return len(spec.models) * len(spec.datasets) * spec.samples * len(jobs_of(spec))


def cost_rows(spec: BenchmarkSpec) -> list[tuple[str, str]]:
    """What a run will do, before it does it."""
    records = planned_records(spec)
    per_sample = coalitions_per_sample(spec)
    total = None if spec.samples is None else per_sample * len(spec.models) * len(spec.datasets) * spec.samples
    return [
        ("models", ", ".join(spec.models)),
        ("datasets", ", ".join(spec.datasets)),
        ("explainers", ", ".join(spec.explainers)),
        ("samples per dataset", "all" if spec.samples is None else str(spec.samples)),
        ("explainer runs per sample, seeds included", str(len(jobs_of(spec)))),
        ("records", "as many as the datasets hold" if records is None else f"{records:,}"),
        ("coalitions of the default metrics per model and sample", f"{per_sample:,}"),
        ("the same in all, where no scores are tied", "depends on the datasets" if total is None else f"{total:,}"),
        ("folder", str(folder_of(spec))),
    ]


def folder_of(spec: BenchmarkSpec) -> Path:
    """Where a run keeps its records."""
    return default_folder(spec) if spec.out is None else spec.out


def finished(folder: Path) -> int:
    """Number of records on the disk, whoever wrote them."""
    if not (folder / "shards").is_dir():
        return 0
    return sum(line["kind"] == "record" for line in read_shards(folder))


def remaining(done: int, total: int, begun: int, seconds: float) -> str:
    """How long the rest will take at the pace of this session, in words."""
    new = done - begun
    if done >= total:
        return "closing the files"
    if new <= 0 or seconds <= 0:
        return "no estimate yet"
    left = (total - done) * seconds / new
    return f"about {left / 60:.0f} minutes left" if left >= 90 else f"about {left:.0f} seconds left"


class RunMonitor(BaseWidget):
    """Plan, run, stop and resume a benchmark.

    Args:
        spec: What to run.
        command: How to run it; replaced in tests.
        poll_seconds: Time between two looks at the folder.
    """

    def __init__(self, spec: BenchmarkSpec, *, command: Command = command_line, poll_seconds: float = 0.5) -> None:
        self.spec, self._command, self._poll = spec, command, poll_seconds
        self.folder = folder_of(spec)
        self.process: subprocess.Popen[str] | None = None
        self._watcher: threading.Thread | None = None
        self._begun, self._started, self._patience = 0, 0.0, math.inf
        self.run, self.stop = button("Run or resume"), button("Stop")
        total = planned_records(spec) or 1
        self.progress = w.IntProgress(value=0, min=0, max=total, description="Records", layout={"width": "420px"})
        self.plan, self.note = w.HTML(table_html(("plan", ""), cost_rows(spec))), w.HTML()
        on_click(self.run, self.start, self.note)
        on_click(self.stop, self.cancel, self.note)
        self.box = column(self.plan, row(self.run, self.stop, self.progress, gap=TIGHT), self.note)
        self.refresh()

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start, or go on where an earlier run stopped; does nothing while one is running."""
        if self.running:
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        path = self.folder.with_name(f"{self.folder.name}.spec.json")
        spec = self.spec.model_copy(update={"out": self.folder, "progress": False})
        write_atomically(path, spec.model_dump_json(indent=1, exclude_unset=False).encode())
        self._begun, self._started, self._patience = finished(self.folder), time.monotonic(), math.inf
        self.process = subprocess.Popen(
            list(self._command(path)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def cancel(self) -> None:
        """Interrupt the process; what it finished stays on the disk.

        A front end that was started in the background of a shell ignores interrupts, and so do its children: a process
        that is still there after ``PATIENCE`` seconds is terminated.
        """
        if self.process is not None and self.running:
            self.process.send_signal(signal.SIGINT)
            self._patience = time.monotonic() + PATIENCE

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for the run to end and return its exit status; None where there is none or the time is up."""
        if self._watcher is not None:
            self._watcher.join(seconds)
        return None if self.process is None else self.process.poll()

    def _watch(self) -> None:
        process = self.process
        if process is None or process.stdout is None:
            return
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
        reader.start()
        while process.poll() is None:
            if time.monotonic() > self._patience:
                process.terminate()
            self.refresh()
            time.sleep(self._poll)
        reader.join(5)
        process.stdout.close()
        self.refresh(status=process.returncode, output=lines[-1].strip() if lines else "")

    def refresh(self, *, status: int | None = None, output: str = "") -> None:
        """Bring the bar and the line below it up to date with the folder."""
        done = finished(self.folder)
        total = planned_records(self.spec)
        self.progress.max = max(total or done, 1)
        self.progress.value = done
        counted = f"{done:,} of {total:,} records" if total is not None else f"{done:,} records"
        if status is not None:
            ended = "Finished" if status == 0 else "Stopped; run again to resume"
            text = f"{ended}: {counted} (exit status {status}). {html.escape(output)}"
        elif self.running:
            left = remaining(done, total or done, self._begun, time.monotonic() - self._started)
            text = f"Running: {counted}, {left}."
        else:
            text = f"{counted} in {html.escape(str(self.folder))}."
        self.note.value = status_html(text)

    def static(self) -> str:
        """The plan and the state as a table and a line."""
        return f"<div>{self.plan.value}{self.note.value}</div>"
