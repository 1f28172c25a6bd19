"""The benchmark: specification, runner, records, statistics and report; each part is imported when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.benchmark.report.write_report import write_report as write_report
    from toolkit.benchmark.run.presets import PRESETS as PRESETS
    from toolkit.benchmark.run.presets import preset as preset
    from toolkit.benchmark.run.records import DamagedRecordsError as DamagedRecordsError
    from toolkit.benchmark.run.runner import RunSummary as RunSummary
    from toolkit.benchmark.run.runner import run_benchmark as run_benchmark
    from toolkit.benchmark.run.spec import BenchmarkSpec as BenchmarkSpec
    from toolkit.benchmark.run.spec import SpecError as SpecError
    from toolkit.benchmark.run.spec import load_spec as load_spec
    from toolkit.benchmark.run.whole_files import FolderError as FolderError

_HOME = {
    "PRESETS": "run.presets",
    "BenchmarkSpec": "run.spec",
    "DamagedRecordsError": "run.records",
    "FolderError": "run.whole_files",
    "RunSummary": "run.runner",
    "SpecError": "run.spec",
    "load_spec": "run.spec",
    "preset": "run.presets",
    "run_benchmark": "run.runner",
    "write_report": "report.write_report",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that running needs no plotting and reporting needs no torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'toolkit.benchmark' has no attribute {name!r}")
    value = getattr(import_module(f"toolkit.benchmark.{_HOME[name]}"), name)
    globals()[name] = value
    return value
