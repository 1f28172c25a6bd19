"""Units on a Ray cluster: one actor per model replica, the same units, the same lines.

Actors return their lines and the caller writes them, so the workers need no shared disk and nothing is written twice.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

from toolkit.benchmark.executors import Outcome, WorkerError, after_death
from toolkit.benchmark.records import Line
from toolkit.benchmark.spec import BenchmarkSpec, SpecError
from toolkit.benchmark.units import Bench, BenchFactory, Unit, evaluate_unit


class Replica:
    """One worker of the cluster; builds its bench with its first unit, so that a failure to do so can be told."""

    def __init__(self, spec: BenchmarkSpec, factory: BenchFactory) -> None:
        self.spec = spec
        self.factory = factory
        self.bench: Bench | None = None

    def evaluate(self, unit: Unit) -> list[Line] | str:
        """Lines of a unit, or the message of an error that stops the run."""
        try:
            self.bench = self.bench or self.factory(self.spec)
            return evaluate_unit(unit, self.spec, self.bench)
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


class RayExecutor:
    """One actor per worker; an actor that dies is replaced and its unit done again.

    Args:
        spec: ``workers`` actors with ``gpus_per_worker`` GPUs each; ``ray_address`` None starts Ray on this machine,
            on the loopback interface only and without its dashboard.
        factory: An importable callable, because it travels to the workers by name.

    Raises:
        ModuleNotFoundError: Ray is not installed (extra ``cluster``).
        SpecError: A remote address without token authentication.
    """

    def __init__(self, spec: BenchmarkSpec, factory: BenchFactory) -> None:
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
        else:
            cores = max(self.spec.workers, os.cpu_count() or 1)
            self.ray.init(
                num_cpus=cores, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1"
            )  # fmt: skip
        return True

    def _start(self) -> Any:
        actor = self.ray.remote(num_cpus=1, num_gpus=self.spec.gpus_per_worker, max_restarts=0)(Replica)
        return actor.remote(self.spec, self.factory)

    def run(self, units: Sequence[Unit]) -> Generator[Outcome, None, None]:
        """Hand out units in order to whoever is free."""
        ours = self._connect()
        todo, deaths = deque(units), dict[Unit, int]()
        running: dict[Any, tuple[Any, str, Unit]] = {}
        try:
            free = [(self._start(), f"ray{i}") for i in range(min(self.spec.workers, len(units)))]
            while todo or running:
                while free and todo:
                    actor, name = free.pop()
                    unit = todo.popleft()
                    running[actor.evaluate.remote(unit)] = (actor, name, unit)
                done, _ = self.ray.wait(list(running), num_returns=1)
                actor, name, unit = running.pop(done[0])
                try:
                    answer = self.ray.get(done[0])
                except self.ray.exceptions.RayActorError as error:
                    free.append((self._start(), name))
                    outcome = after_death(unit, name, f"its worker died ({type(error).__name__})", todo, deaths)
                else:
                    if isinstance(answer, str):
                        raise WorkerError(answer)
                    free.append((actor, name))
                    outcome = Outcome(unit, name, answer)
                if outcome is not None:
                    yield outcome
        finally:
            for actor, _, _ in running.values():
                self.ray.kill(actor)
            if ours:
                self.ray.shutdown()
