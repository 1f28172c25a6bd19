"""What became of a unit that a worker was given, and which unit a free worker is given next."""

from __future__ import annotations

import json
import os
import signal
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolkit.benchmark.run.records import Line
from toolkit.benchmark.run.units import Unit, sample_key
from toolkit.benchmark.run.whole_files import FolderError

MAX_DEATHS = 3
"""A unit is given up when so many processes in a row died of it, with no other unit at work."""


@dataclass(frozen=True)
class Outcome:
    """A finished unit: its lines, or the reason why its workers never finished it."""

    unit: Unit
    worker: str
    lines: list[Line] | None
    reason: str | None = None


class WorkerError(RuntimeError):
    """A worker could not start its work at all, for example because a model cannot be loaded."""


def died_reason(unit: Unit, how: str = "") -> str:
    """Why a unit is given up, and what to do."""
    return (
        f"given up: the process that evaluated {unit.sample} died {MAX_DEATHS} times in a row"
        f"{f' ({how})' if how else ''}, with no other unit at work. Often memory is short: set max_tokens or take a "
        "larger machine; then --retry-failed takes it up again"
    )


def overdue_reason(seconds: float) -> str:
    """Why a unit that was stopped has no numbers, and what to do."""
    return f"stopped: not finished after time_limit = {seconds:g} s; raise it, then --retry-failed takes it up again"


def exit_words(code: int | None) -> str:
    """How a process ended."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


class UnitQueue:
    """The units that wait, and those at work.

    A unit whose worker died may be the victim of another one, for example where memory ran out. It waits until all
    others are done and is then tried alone, up to ``MAX_DEATHS`` times.
    """

    def __init__(self, units: Iterable[Unit]) -> None:
        self._fresh = deque(units)
        self._suspects = deque[Unit]()
        self._at_work = set[Unit]()
        self._deaths = dict[Unit, int]()
        self._while_loading = 0

    def __len__(self) -> int:
        return len(self._fresh) + len(self._suspects)

    def take(self) -> Unit | None:
        """The next unit for a free worker; None where it has to wait or nothing is left."""
        if self._fresh:
            unit = self._fresh.popleft()
        elif self._suspects and not self._at_work:
            unit = self._suspects.popleft()
        else:
            return None
        self._at_work.add(unit)
        return unit

    def begun(self) -> None:
        """A worker has loaded what its unit needs."""
        self._while_loading = 0

    def done(self, unit: Unit) -> None:
        """A unit is no longer at work."""
        self._at_work.discard(unit)

    def again(self, unit: Unit) -> None:
        """What is left of a unit that was stopped is next."""
        self._fresh.appendleft(unit)

    def died(self, unit: Unit, worker: str, how: str, *, begun: bool) -> Outcome | None:
        """Put the unit of a dead worker back, or give it up.

        Raises:
            WorkerError: Workers die before they can begin with any unit.
        """
        alone = len(self._at_work) == 1
        self.done(unit)
        if alone and not begun:
            self._while_loading += 1
            if self._while_loading >= MAX_DEATHS:
                raise WorkerError(
                    f"a worker died {MAX_DEATHS} times while it loaded {unit.model} and {unit.dataset} ({how}); often "
                    "memory is short: take a smaller dtype, fewer workers or a larger machine"
                )
        if alone and begun:
            self._deaths[unit] = self._deaths.get(unit, 0) + 1
            if self._deaths[unit] >= MAX_DEATHS:
                return Outcome(unit, worker, None, died_reason(unit, how))
        self._suspects.appendleft(unit) if alone else self._suspects.append(unit)
        return None


class UnitAtWork:
    """A note in the run's folder about the unit that this process evaluates; a process that dies leaves it behind.

    It need not survive a crash of the machine, so it is not synced.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "at-work.json"
        self._key, self._deaths = "", 0
        with suppress(OSError, ValueError, KeyError, TypeError):  # a note that cannot be read says nothing
            found = json.loads(self._path.read_text(encoding="utf-8"))
            self._key, self._deaths = str(found["unit"]), int(found["deaths"])

    def is_given_up(self, unit: Unit) -> bool:
        """Whether so many processes in a row died of this unit that it is not tried again."""
        return self._deaths >= MAX_DEATHS and self._key == sample_key(unit)

    def begin(self, unit: Unit) -> None:
        """Note the unit, and how many processes in a row have died of it if this one does.

        Raises:
            FolderError: The folder cannot be written.
        """
        key = sample_key(unit)
        self._deaths = self._deaths + 1 if key == self._key else 1
        self._key = key
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(json.dumps({"unit": key, "deaths": self._deaths}), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            raise FolderError(
                error.errno,
                f"cannot write {self._path}: {error.strerror}. What was recorded is kept; run again to resume",
            ) from error

    def clear(self) -> None:
        """This process ends alive."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
