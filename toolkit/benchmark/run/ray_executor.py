"""Units on a Ray cluster: one actor per model replica, the same units, the same lines.

Actors return their lines and the caller writes them, so the workers need no shared disk and nothing is written twice.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.benchmark.run.evaluate_unit import evaluate_unit
from toolkit.benchmark.run.outcomes import MAX_DEATHS, Outcome, WorkerError, after_death
from toolkit.benchmark.run.records import Line
from toolkit.benchmark.run.spec import BenchmarkSpec, SpecError
from toolkit.benchmark.run.units import Unit, Workspace, WorkspaceFactory

START_SECONDS = 600.0
"""So long a run waits for its first worker; a cluster that grows on demand needs minutes for a machine."""


class Replica:
    """One worker of the cluster; builds its bench with its first unit, so that a failure to do so can be told."""

    def __init__(self, spec: BenchmarkSpec, factory: WorkspaceFactory) -> None:
        self.spec = spec
        self.factory = factory
        self.workspace: Workspace | None = None

    def ready(self) -> bool:
        """Answers as soon as the cluster has found room for this worker."""
        return True

    def evaluate(self, unit: Unit) -> list[Line] | str:
        """Lines of a unit, or the message of an error that stops the run."""
        try:
            self.workspace = self.workspace or self.factory(self.spec)
            return evaluate_unit(unit, self.spec, self.workspace)
        except Exception as error:  # handed to the caller, who stops the run with it
            return f"{type(error).__name__}: {error}"


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


@dataclass
class _Workers:
    """The actors of one run: those that wait for room on the cluster, those without work, those at work."""

    starting: dict[Any, tuple[Any, str]] = field(default_factory=dict)
    free: list[tuple[Any, str]] = field(default_factory=list)
    running: dict[Any, tuple[Any, str, Unit]] = field(default_factory=dict)
    failed_starts: int = 0

    def all(self) -> list[Any]:
        """Every actor."""
        return [found[0] for found in (*self.starting.values(), *self.free, *self.running.values())]


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
        """Join or start a cluster; True where it is ours to shut down.

        Without an address a cluster is started even where the variable RAY_ADDRESS names another one: that one was
        not asked for, and nobody has looked at how it is protected.
        """
        if self.ray.is_initialized():
            return False
        if self.spec.ray_address is not None:
            self.ray.init(address=self.spec.ray_address, log_to_driver=False)
        else:
            cores = max(self.spec.workers, os.cpu_count() or 1)
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
        todo, deaths, workers = deque(units), dict[Unit, int](), _Workers()
        wanted = min(self.spec.workers, len(units))
        try:
            self._check_room(wanted)
            for i in range(wanted):
                self._start(f"ray{i}", workers)
            while todo or workers.running:
                while workers.free and todo:
                    actor, name = workers.free.pop()
                    unit = todo.popleft()
                    workers.running[actor.evaluate.remote(unit)] = (actor, name, unit)
                waiting = [*workers.running, *(workers.starting if todo else ())]
                done, _ = self.ray.wait(waiting, num_returns=1, timeout=None if workers.running else START_SECONDS)
                if not done:
                    raise WorkerError(f"no worker could start within {START_SECONDS:g} s: {self._room()}")
                outcome = self._collect(done[0], workers, todo, deaths)
                if outcome is not None:
                    yield outcome
        finally:
            for actor in workers.all():
                self.ray.kill(actor)
            if ours:
                self.ray.shutdown()

    def _collect(
        self, ref: Any, workers: _Workers, todo: deque[Unit], deaths: dict[Unit, int]
    ) -> Outcome | None:  # fmt: skip
        """What came back: a worker that has started, a finished unit, or a death."""
        if ref in workers.starting:
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
            return None
        actor, name, unit = workers.running.pop(ref)
        try:
            answer = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:  # its actor, process, node or memory is gone
            self.ray.kill(actor)
            self._start(name, workers)
            return after_death(unit, name, f"its worker died ({type(error).__name__})", todo, deaths)
        if isinstance(answer, str):
            raise WorkerError(answer)
        workers.free.append((actor, name))
        return Outcome(unit, name, answer)
