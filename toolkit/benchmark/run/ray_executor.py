"""Units on a Ray cluster: one actor per model replica, the same units, the same lines.

Actors return their lines and the caller writes them, so the workers need no shared disk and nothing is written twice.
"""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from toolkit.benchmark.run.attempt_unit import attempt_unit
from toolkit.benchmark.run.outcomes import MAX_DEATHS, Outcome, UnitQueue, WorkerError, overdue_reason
from toolkit.benchmark.run.records import Line
from toolkit.benchmark.run.spec import BenchmarkSpec, SpecError
from toolkit.benchmark.run.units import Unit, Unreadable, Workspace, WorkspaceFactory
from toolkit.control_groups import usable_cores
from toolkit.measuring import reason_of

START_SECONDS = 600.0
"""So long a run waits for its first worker; a cluster that grows on demand needs minutes for a machine."""


class Replica:
    """One worker of the cluster; builds its workspace with its first unit, so that a failure to do so can be told."""

    def __init__(self, spec: BenchmarkSpec, factory: WorkspaceFactory) -> None:
        self.spec = spec
        self.factory = factory
        self.workspace: Workspace | None = None

    def ready(self) -> bool:
        """Answers as soon as the cluster has found room for this worker."""
        return True

    def load(self, unit: Unit) -> str | None:
        """Load what the unit needs; the message of an error that stops the run, or None."""
        try:
            self.workspace = self.workspace or self.factory(self.spec)
            if not isinstance(self.workspace.samples(unit.dataset)[unit.sample], Unreadable):
                self.workspace.model(unit.model)
        except (Exception, SystemExit) as error:  # handed to the caller, who stops the run with it
            return reason_of(error)
        return None

    def evaluate(self, unit: Unit) -> list[Line]:
        """Lines of a unit for which everything is loaded; none where that failed."""
        return attempt_unit(unit, self.spec, self.workspace, lambda: None) if self.workspace is not None else []


def is_here(host: str) -> bool:
    """Whether a host name or address is this machine: only an own address can be bound to."""
    if host == "local":
        return True
    try:
        family, kind, _, _, address = socket.getaddrinfo(host.strip("[]"), 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True


def check_address(address: str | None) -> None:
    """Refuse a cluster on another machine that anybody on its network could command.

    Raises:
        SpecError: A remote address without token authentication.
    """
    if address is None:
        return
    host = address.removeprefix("ray://").rsplit(":", 1)[0]
    if not is_here(host) and os.environ.get("RAY_AUTH_MODE") != "token":
        raise SpecError(
            f"ray_address {address!r} is not this machine: Ray's management endpoints are open by default. Start the "
            "cluster with RAY_AUTH_MODE=token and set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here too"
        )


@dataclass(frozen=True)
class _Work:
    """An actor with its unit, what it will return, and since when it evaluates it; None while it loads."""

    actor: Any
    name: str
    unit: Unit
    lines: Any
    since: float | None = None


@dataclass
class _Workers:
    """The actors of one run: those that wait for room on the cluster, those without work, those at work."""

    starting: dict[Any, tuple[Any, str]] = field(default_factory=dict)
    free: list[tuple[Any, str]] = field(default_factory=list)
    at_work: dict[Any, _Work] = field(default_factory=dict)
    failed_starts: int = 0

    def all(self) -> list[Any]:
        """Every actor."""
        waiting = [actor for actor, _ in (*self.starting.values(), *self.free)]
        return waiting + [work.actor for work in self.at_work.values()]


class RayExecutor:
    """One actor per worker; an actor that dies is replaced and its unit done again.

    Units go to workers that have started, so a cluster with room for fewer workers than asked for does the work with
    those, and a cluster that grows takes in the others when there is room.

    Args:
        spec: ``workers`` actors with one CPU and ``gpus_per_worker`` GPUs each; ``ray_address`` None starts Ray on
            this machine, on the loopback interface only and without its dashboard.
        factory: An importable callable, because it travels to the workers by name.

    Raises:
        ModuleNotFoundError: Ray is not installed (extra ``cluster``).
        SpecError: A remote address without token authentication.
    """

    def __init__(self, spec: BenchmarkSpec, factory: WorkspaceFactory) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "executor: ray needs Ray, which is not installed: pip install 'vlm-synergy-toolkit[cluster]'"
            ) from None
        check_address(spec.ray_address)
        self.ray = ray
        self.spec = spec
        self.factory = factory

    def _connect(self) -> bool:
        """Join or start a cluster; True where it is ours to shut down."""
        if self.ray.is_initialized():
            return False
        if self.spec.ray_address is not None:
            self.ray.init(address=self.spec.ray_address, log_to_driver=False)
        else:  # even where RAY_ADDRESS names one: nobody asked for it, or looked at how it is protected
            cores = max(self.spec.workers, usable_cores())
            self.ray.init(
                address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False,
                _node_ip_address="127.0.0.1",
            )  # fmt: skip
        return True

    def _start(self, name: str, workers: _Workers) -> None:
        actor = self.ray.remote(num_cpus=1, num_gpus=self.spec.gpus_per_worker, max_restarts=0)(Replica)
        started = actor.remote(self.spec, self.factory)
        workers.starting[started.ready.remote()] = (started, name)

    def _room(self) -> str:
        """What the workers ask for and what the cluster has, in words."""
        has = self.ray.cluster_resources()
        return (
            f"{self.spec.workers} workers need 1 CPU and {self.spec.gpus_per_worker:g} GPUs each; the cluster has "
            f"{has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs"
        )

    def _check_room(self, n_workers: int) -> None:
        has = self.ray.cluster_resources()
        share = self.spec.gpus_per_worker
        if has.get("CPU", 0) < n_workers or has.get("GPU", 0) < share * n_workers:
            warnings.warn(f"{self._room()}: some workers wait until there is room", stacklevel=2)
        if has.get("GPU", 0) and not share and self.spec.device == "auto":
            warnings.warn(f"{self._room()}: the workers run on CPUs; gpus_per_worker gives them GPUs", stacklevel=2)

    def run(self, units: Sequence[Unit]) -> Generator[Outcome, None, None]:
        """Hand out units in order to whoever is free."""
        ours = self._connect()
        queue, workers = UnitQueue(units), _Workers()
        wanted = min(self.spec.workers, len(units))
        limit = self.spec.time_limit
        try:
            self._check_room(wanted)
            for i in range(wanted):
                self._start(f"ray{i}", workers)
            while True:
                while workers.free and (unit := queue.take()) is not None:
                    self._give(workers, unit)
                if not (queue or workers.at_work):
                    return
                waiting = [*workers.at_work, *(workers.starting if queue else ())]
                tick = START_SECONDS if not workers.at_work else None if limit is None else min(1.0, limit / 4)
                done, _ = self.ray.wait(waiting, num_returns=1, timeout=tick)
                if not done and not workers.at_work:
                    raise WorkerError(f"no worker could start within {START_SECONDS:g} s: {self._room()}")
                outcomes = [self._collect(ref, workers, queue) for ref in done] + self._stop_overdue(workers, queue)
                yield from (outcome for outcome in outcomes if outcome is not None)
        finally:
            for actor in workers.all():
                self.ray.kill(actor)
            if ours:
                self.ray.shutdown()

    def _give(self, workers: _Workers, unit: Unit) -> None:
        """Have a free actor load and then evaluate a unit; an actor does one thing after the other."""
        actor, name = workers.free.pop()
        loaded = actor.load.remote(unit)
        workers.at_work[loaded] = _Work(actor, name, unit, actor.evaluate.remote(unit))

    def _stop_overdue(self, workers: _Workers, queue: UnitQueue) -> list[Outcome | None]:
        limit, found = self.spec.time_limit, list[Outcome | None]()
        for ref, work in list(workers.at_work.items()):
            if limit is None or work.since is None or time.monotonic() - work.since <= limit:
                continue
            if self.ray.wait([ref], num_returns=1, timeout=0)[0]:
                continue  # it has just come in
            del workers.at_work[ref]
            self.ray.kill(work.actor)
            self._start(work.name, workers)
            queue.done(work.unit)
            found.append(Outcome(work.unit, work.name, None, overdue_reason(limit)))
        return found

    def _collect(self, ref: Any, workers: _Workers, queue: UnitQueue) -> Outcome | None:
        """What came back: a worker that has started or loaded a model, a finished unit, or a death."""
        if ref in workers.starting:
            self._started(ref, workers)
            return None
        work = workers.at_work.pop(ref)
        is_load = work.since is None
        try:
            answer = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:  # its actor, process, node or memory is gone
            self.ray.kill(work.actor)
            self._start(work.name, workers)
            return queue.died(work.unit, work.name, type(error).__name__, begun=not is_load)
        if not is_load:
            workers.free.append((work.actor, work.name))
            queue.done(work.unit)
            return Outcome(work.unit, work.name, answer)
        if answer is not None:
            raise WorkerError(answer)
        queue.begun()
        workers.at_work[work.lines] = replace(work, since=time.monotonic())
        return None

    def _started(self, ref: Any, workers: _Workers) -> None:
        actor, name = workers.starting.pop(ref)
        try:
            self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            self.ray.kill(actor)
            workers.failed_starts += 1
            if workers.failed_starts > MAX_DEATHS * self.spec.workers:
                raise WorkerError(f"the workers cannot start: {type(error).__name__}: {error}") from error
            self._start(name, workers)
        else:
            workers.free.append((actor, name))
