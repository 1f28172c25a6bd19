"""Who evaluates the units: this process, several processes, or a Ray cluster. Only the caller writes records."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, TypeAlias, cast

from toolkit.benchmark.run.attempt_unit import attempt_unit
from toolkit.benchmark.run.outcomes import Outcome, UnitQueue, WorkerError, exit_words, overdue_reason
from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.benchmark.run.units import Job, Unit, Workspace, WorkspaceFactory
from toolkit.control_groups import usable_cores
from toolkit.measuring import reason_of

_METHODS = multiprocessing.get_all_start_methods()
_GRACE = 5.0
"""Seconds that a worker has to end when it is asked to, before it is killed."""


Outcomes: TypeAlias = Generator[Outcome, None, None]
Executor: TypeAlias = Callable[[Sequence[Unit]], Outcomes]
"""Evaluates units in any order and hands over each outcome as it comes; closing the iterator stops the workers."""


def _serial(
    spec: BenchmarkSpec, workspace: Workspace, begin: Callable[[Unit], None], units: Sequence[Unit]
) -> Outcomes:
    """Everything in this process: no copies of the model, all threads for one forward pass."""
    for unit in units:
        yield Outcome(unit, "worker0", attempt_unit(unit, spec, workspace, partial(begin, unit)))


_BEGUN = "begun"


class _Telling:
    """A workspace that says which explainer is at work; all else is another workspace's."""

    def __init__(self, workspace: Workspace, tell: Callable[[Job | None], None]) -> None:
        self._workspace, self._tell = workspace, tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._workspace, name)

    def explain(self, explainer: str, *about: Any, seed: int, **more: Any) -> Any:
        self._tell((explainer, seed))
        return self._workspace.explain(explainer, *about, seed=seed, **more)

    def score(self, *about: Any) -> Any:
        self._tell(None)
        return self._workspace.score(*about)


def _work(pipe: Connection, spec: BenchmarkSpec, factory: WorkspaceFactory, variables: dict[str, str]) -> None:
    """Main loop of a worker process: ends when the caller closes the pipe, dies, or sends None."""
    os.environ.update(variables)  # the fork server remembers those of its first caller
    if "torch" in sys.modules:  # the arguments brought it along before the variables were set
        sys.modules["torch"].set_num_threads(int(variables["OMP_NUM_THREADS"]))
    try:
        workspace = cast(Workspace, _Telling(factory(spec), pipe.send))
        while (unit := pipe.recv()) is not None:
            pipe.send(attempt_unit(unit, spec, workspace, lambda: pipe.send(_BEGUN)))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return
    except (Exception, SystemExit) as error:  # handed to the caller, who stops the run with it
        pipe.send(reason_of(error))


@dataclass
class _Worker:
    name: str
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    unit: Unit | None = None
    since: float | None = None
    job: Job | None = None

    def is_overdue(self, limit: float | None) -> bool:
        """Whether its unit, once begun, has taken longer than allowed."""
        return limit is not None and self.since is not None and time.monotonic() - self.since > limit


class ProcessExecutor:
    """Several worker processes, each with its own model; a worker that dies is replaced and its unit done again.

    A unit that takes longer than ``time_limit`` is stopped with its worker. Where an explainer was at work, that one is
    recorded as failed and the unit is done again without it; else the whole unit is.

    Processes come from a fork server (spawned where there is none), never from a fork of this process: a fork of a
    process that runs PyTorch threads can hang.

    Args:
        spec: Its ``workers`` is the number of processes.
        factory: An importable callable, because it travels to the workers by name.
    """

    def __init__(self, spec: BenchmarkSpec, factory: WorkspaceFactory) -> None:
        self.spec = spec
        self.factory = factory
        spawn = multiprocessing.get_context("spawn")
        self._context = multiprocessing.get_context("forkserver") if "forkserver" in _METHODS else spawn
        # The server imports PyTorch and the like once, without running any of it; a worker is then there at once.
        self._context.set_forkserver_preload(["toolkit.benchmark.run.attempt_unit", factory.__module__])
        self._threads = max(1, usable_cores() // spec.workers)

    def _start(self, name: str) -> _Worker:
        ours, theirs = self._context.Pipe()
        threads = str(self._threads)
        variables = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        process = self._context.Process(
            target=_work, args=(theirs, self.spec, self.factory, variables), name=name, daemon=True
        )
        process.start()
        theirs.close()
        return _Worker(name, process, ours)

    def run(self, units: Sequence[Unit]) -> Outcomes:
        """Hand out units in order to whoever is free."""
        queue = UnitQueue(units)
        workers = [self._start(f"worker{i}") for i in range(min(self.spec.workers, max(1, len(units))))]
        tick = None if self.spec.time_limit is None else min(1.0, self.spec.time_limit / 4)
        try:
            while True:
                for worker in workers:
                    if worker.unit is None and (unit := queue.take()) is not None:
                        worker.unit, worker.job = unit, None
                        with suppress(BrokenPipeError, ConnectionResetError):  # dead: reading from its pipe says so
                            worker.pipe.send(unit)
                busy: dict[Connection, _Worker] = {worker.pipe: worker for worker in workers if worker.unit is not None}
                if not busy:
                    return
                for pipe in wait(list(busy), tick):
                    outcome = self._collect(busy.pop(pipe), queue)  # type: ignore[call-overload]  # as it was given
                    if outcome is not None:
                        yield outcome
                for worker in busy.values():
                    if worker.is_overdue(self.spec.time_limit) and not worker.pipe.poll():
                        yield self._stop(worker, queue)
        finally:
            for worker in workers:
                worker.pipe.close()  # who waits for a unit leaves by itself, and gives back what it holds
            for worker in workers:
                if worker.unit is None:
                    worker.process.join(_GRACE)
                worker.process.terminate()
                worker.process.join(_GRACE)
                worker.process.kill()
                worker.process.join()

    def _collect(self, worker: _Worker, queue: UnitQueue) -> Outcome | None:
        unit, begun = worker.unit, worker.since is not None
        if unit is None:
            return None
        try:
            answer = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            how = exit_words(self._replace(worker))
            return queue.died(unit, worker.name, how, begun=begun)
        if answer == _BEGUN:
            worker.since = time.monotonic()
            queue.begun()
            return None
        if answer is None or isinstance(answer, tuple):
            worker.job = answer
            return None
        if isinstance(answer, str):
            raise WorkerError(answer)
        worker.unit = worker.since = None
        queue.done(unit)
        return Outcome(unit, worker.name, answer)

    def _replace(self, worker: _Worker) -> int | None:
        """Put a new process in the place of a dead one; returns the exit code of that."""
        worker.pipe.close()
        worker.process.join()
        code = worker.process.exitcode
        fresh = self._start(worker.name)
        worker.process, worker.pipe, worker.unit, worker.since = fresh.process, fresh.pipe, None, None
        return code

    def _stop(self, worker: _Worker, queue: UnitQueue) -> Outcome:
        unit, limit = worker.unit, self.spec.time_limit
        assert unit is not None
        assert limit is not None
        worker.process.kill()
        self._replace(worker)
        queue.done(unit)
        others = tuple(job for job in unit.jobs if job != worker.job)
        if worker.job is not None and others:
            queue.again(replace(unit, jobs=others))
            unit = replace(unit, jobs=(worker.job,))
        return Outcome(unit, worker.name, None, overdue_reason(limit))


def make_executor(
    spec: BenchmarkSpec, factory: WorkspaceFactory, workspace: Workspace, begin: Callable[[Unit], None]
) -> Executor:
    """The executor that the specification names.

    Args:
        spec: What is evaluated. With a ``time_limit`` a serial run evaluates in a child that can be stopped.
        factory: Builds the workers' workspaces.
        workspace: This process's own.
        begin: Called right before this process evaluates a unit itself.
    """
    if spec.executor == "serial" and spec.time_limit is None:
        return partial(_serial, spec, workspace, begin)
    if spec.executor != "ray":
        return ProcessExecutor(spec, factory).run
    from toolkit.benchmark.run.ray_executor import RayExecutor

    return RayExecutor(spec, factory).run
