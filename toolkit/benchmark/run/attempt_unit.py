"""Evaluate one unit, come what may: whatever it does becomes lines that can be recorded."""

from __future__ import annotations

from collections.abc import Callable

from toolkit.benchmark.run.compact import recordable
from toolkit.benchmark.run.evaluate_unit import evaluate_unit
from toolkit.benchmark.run.growth import recalled, scoring_lines
from toolkit.benchmark.run.records import Line
from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.benchmark.run.units import Unit, Unreadable, Workspace, failed_lines
from toolkit.measuring import reason_of


def attempt_unit(unit: Unit, spec: BenchmarkSpec, workspace: Workspace, begin: Callable[[], None]) -> list[Line]:
    """The lines of a unit, each of which can be written and put into a table.

    Args:
        unit: What to evaluate.
        spec: How.
        workspace: This worker's models and samples; a model that cannot be loaded is an error of the run.
        begin: Called when everything is loaded, right before the unit is evaluated.
    """
    sample = workspace.samples(unit.dataset)[unit.sample]
    if not isinstance(sample, Unreadable):
        workspace.model(unit.model)
    begin()
    try:
        lines = evaluate_unit(unit, spec, recalled(workspace, unit) if unit.known else workspace)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a record says what happened; the run goes on
        lines = failed_lines(unit, spec, sample, reason_of(error))
    return recorded(unit, spec, lines)


def recorded(unit: Unit, spec: BenchmarkSpec, lines: list[Line]) -> list[Line]:
    """The lines of a unit as they are recorded."""
    return [recordable(line) for line in (scoring_lines(lines, spec.metrics) if unit.known else lines)]
