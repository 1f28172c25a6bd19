"""Who evaluates the units: this process, several processes, or a Ray cluster. Only the caller writes records."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Protocol

from toolkit.benchmark.run.evaluate_unit import evaluate_unit
from toolkit.benchmark.run.outcomes import Outcome, WorkerError, after_death
from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.benchmark.run.units import Unit, Workspace, WorkspaceFactory

_METHODS = multiprocessing.get_all_start_methods()


class Executor(Protocol):
    """Runs units in any order and hands over each outcome as it comes."""

    def run(self, units: Sequence[Unit]) -> Generator[Outcome, None, None]:
        """Yield one outcome per unit; closing the iterator stops the workers."""
        ...


class SerialExecutor:
    """Everything in this process: no copies of the model, all threads for one forward pass."""

    def __init__(self, spec: BenchmarkSpec, workspace: Workspace) -> None:
        self.spec = spec
        self.workspace = workspace

    def run(self, units: Sequence[Unit]) -> Generator[Outcome, None, None]:
        """Evaluate in order."""
        for unit in units:
            yield Outcome(unit, "worker0", evaluate_unit(unit, self.spec, self.workspace))


def _work(pipe: Connection, spec: BenchmarkSpec, factory: WorkspaceFactory, variables: dict[str, str]) -> None:
    """Main loop of a worker process: ends when the caller closes the pipe, dies, or sends None.

    The fork server remembers the environment variables of its first caller; ``variables`` are those of now. The
    arguments bring PyTorch with them before they are set, so its threads are set once more.
    """
    os.environ.update(variables)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(variables["OMP_NUM_THREADS"]))
    try:
        workspace = factory(spec)
        while (unit := pipe.recv()) is not None:
            pipe.send(evaluate_unit(unit, spec, workspace))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except Exception as error:  # handed to the caller, who stops the run with it
        pipe.send(f"{type(error).__name__}: {error}")


@dataclass
class _Worker:
    name: str
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    unit: Unit | None = None


class ProcessExecutor:
    """Several worker processes, each with its own model; a worker that dies is replaced and its unit done again.

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
        self._threads = max(1, (os.cpu_count() or 1) // spec.workers)

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

    def run(self, units: Sequence[Unit]) -> Generator[Outcome, None, None]:
        """Hand out units in order to whoever is free."""
        todo, deaths = deque(units), dict[Unit, int]()
        workers = [self._start(f"worker{i}") for i in range(min(self.spec.workers, max(1, len(units))))]
        try:
            for worker in workers:
                _give(worker, todo)
            while busy := {worker.pipe: worker for worker in workers if worker.unit is not None}:
                for pipe in wait(list(busy)):
                    worker = busy[pipe]  # type: ignore[index]  # wait() returns what it was given
                    outcome = self._collect(worker, todo, deaths)
                    if outcome is not None:
                        yield outcome
                    _give(worker, todo)
        finally:
            for worker in workers:
                worker.process.terminate()
                worker.process.join()
                worker.pipe.close()

    def _collect(self, worker: _Worker, todo: deque[Unit], deaths: dict[Unit, int]) -> Outcome | None:
        unit = worker.unit
        if unit is None:
            return None
        worker.unit = None
        try:
            answer = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.pipe.close()
            worker.process.join()
            code = worker.process.exitcode
            fresh = self._start(worker.name)
            worker.process, worker.pipe = fresh.process, fresh.pipe
            return after_death(unit, worker.name, f"its worker died (exit code {code})", todo, deaths)
        if isinstance(answer, str):
            raise WorkerError(answer)
        return Outcome(unit, worker.name, answer)


def _give(worker: _Worker, todo: deque[Unit]) -> None:
    if todo and worker.unit is None:
        worker.unit = todo.popleft()
        try:
            worker.pipe.send(worker.unit)
        except (BrokenPipeError, ConnectionResetError):
            return  # the worker is dead; reading from its pipe says so and the unit is done again


def make_executor(spec: BenchmarkSpec, factory: WorkspaceFactory, workspace: Workspace) -> Executor:
    """The executor of the specification; ``workspace`` is this process's own, ``factory`` builds the workers'."""
    if spec.executor == "serial":
        return SerialExecutor(spec, workspace)
    if spec.executor == "processes":
        return ProcessExecutor(spec, factory)
    from toolkit.benchmark.run.ray_executor import RayExecutor

    return RayExecutor(spec, factory)
