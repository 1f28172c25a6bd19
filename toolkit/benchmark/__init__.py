"""The benchmark: specification, runner, records, statistics and report; each part is imported when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.benchmark.presets import PRESETS as PRESETS
    from toolkit.benchmark.presets import preset as preset
    from toolkit.benchmark.records import DamagedRecordsError as DamagedRecordsError
    from toolkit.benchmark.records import FolderError as FolderError
    from toolkit.benchmark.report import write_report as write_report
    from toolkit.benchmark.runner import RunSummary as RunSummary
    from toolkit.benchmark.runner import run_benchmark as run_benchmark
    from toolkit.benchmark.spec import BenchmarkSpec as BenchmarkSpec
    from toolkit.benchmark.spec import SpecError as SpecError
    from toolkit.benchmark.spec import load_spec as load_spec

_HOME = {
    "PRESETS": "presets",
    "BenchmarkSpec": "spec",
    "DamagedRecordsError": "records",
    "FolderError": "records",
    "RunSummary": "runner",
    "SpecError": "spec",
    "load_spec": "spec",
    "preset": "presets",
    "run_benchmark": "runner",
    "write_report": "report",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that running needs no plotting and reporting needs no torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'toolkit.benchmark' has no attribute {name!r}")
    value = getattr(import_module(f"toolkit.benchmark.{_HOME[name]}"), name)
    globals()[name] = value
    return value
