"""Which executor evaluates a benchmark fastest on this machine: the same units, in turn, within one run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from toolkit.benchmark.run.evaluate_unit import evaluate_unit
from toolkit.benchmark.run.records import Line
from toolkit.benchmark.run.runner import run_benchmark, toolkit_workspace
from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.benchmark.run.units import Unit, Workspace, WorkspaceFactory, plan_units
from toolkit.control_groups import usable_cores

Report = Callable[[str], None]


def run_threads(spec: BenchmarkSpec, factory: WorkspaceFactory) -> int:
    """Evaluate all units in ``spec.workers`` threads, each with models of its own; returns how many records failed.

    Not an executor of the toolkit: it is here to be measured.
    """
    benches: SimpleQueue[Workspace] = SimpleQueue()
    built = [factory(spec) for _ in range(spec.workers)]
    for bench in built:
        benches.put(bench)
    units = plan_units(spec, {dataset: list(built[0].samples(dataset)) for dataset in spec.datasets})

    def evaluate(unit: Unit) -> list[Line]:
        bench = benches.get()
        try:
            return evaluate_unit(unit, spec, bench)
        finally:
            benches.put(bench)

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // spec.workers))
    try:
        with ThreadPoolExecutor(spec.workers) as pool:
            lines = [line for found in pool.map(evaluate, units) for line in found]
    finally:
        torch.set_num_threads(before)
    return sum(line.get("status") == "failed" for line in lines)


def _run(spec: BenchmarkSpec, factory: WorkspaceFactory) -> int:
    return run_benchmark(spec, workspace=factory).failed


def executor_rows(
    spec: BenchmarkSpec, *, workers: Sequence[int], turns: int, report: Report, factory: WorkspaceFactory | None = None
) -> list[dict[str, Any]]:
    """Seconds of the serial executor, of processes and of threads on the same units.

    Args:
        spec: What to evaluate; its executor, workers and folder are set here.
        workers: Numbers of workers to try processes and threads with.
        turns: How often each is measured, one after the other, so that what else the machine does meets all.
        report: Called with a line of text whenever something new begins.
        factory: As for ``run_benchmark``.

    Returns:
        A row per executor and number of workers: the median seconds, starting up and loading included; how many times
        faster than serial, the median of the turns; records that failed.
    """
    factory = factory or toolkit_workspace()
    choices = [("serial", 1), *(("processes", n) for n in workers), *(("threads", n) for n in workers)]
    seconds: dict[tuple[str, int], list[float]] = {choice: [] for choice in choices}
    failed: dict[tuple[str, int], int] = {}
    for turn in range(turns):
        for name, n in choices:
            report(f"turn {turn + 1} of {turns}: {name}, {n} at once")
            with tempfile.TemporaryDirectory() as folder:
                chosen: dict[str, Any] = {"workers": n, "out": Path(folder, "run"), "progress": False}
                chosen["executor"] = "processes" if name == "processes" else "serial"
                wanted = spec.model_copy(update=chosen)
                start = time.perf_counter()
                failed[name, n] = run_threads(wanted, factory) if name == "threads" else _run(wanted, factory)
                seconds[name, n].append(time.perf_counter() - start)
    threads, cores = torch.get_num_threads(), usable_cores()
    alone = seconds["serial", 1]
    return [
        {
            "executor": name,
            "workers": n,
            "threads_each": {"serial": threads, "processes": cores // n, "threads": threads // n}[name] or 1,
            "seconds": statistics.median(took),
            "speed_up": statistics.median(one / many for one, many in zip(alone, took, strict=True)),
            "failed": failed[name, n],
        }
        for (name, n), took in seconds.items()
    ]
