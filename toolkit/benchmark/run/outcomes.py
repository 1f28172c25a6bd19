"""What became of a unit that a worker was given."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from toolkit.benchmark.run.records import Line
from toolkit.benchmark.run.units import Unit

MAX_DEATHS = 2
"""A unit whose worker died so many times is given up and recorded as failed."""


@dataclass(frozen=True)
class Outcome:
    """A finished unit: its lines, or the reason why its workers never finished it."""

    unit: Unit
    worker: str
    lines: list[Line] | None
    reason: str | None = None


class WorkerError(RuntimeError):
    """A worker could not start its work at all, for example because a model cannot be loaded."""


def after_death(
    unit: Unit, worker: str, reason: str, todo: deque[Unit], deaths: dict[Unit, int]
) -> Outcome | None:  # fmt: skip
    """Put the unit of a dead worker back to the front, or give it up after ``MAX_DEATHS``."""
    deaths[unit] = deaths.get(unit, 0) + 1
    if deaths[unit] < MAX_DEATHS:
        todo.appendleft(unit)
        return None
    return Outcome(unit, worker, None, f"{reason}, {deaths[unit]} times")
