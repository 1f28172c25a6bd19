"""SIGKILL at random moments of running, compacting and reporting; the same folder is resumed until it is done."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from support.toy_bench import Mortal, spec

from toolkit.benchmark.report.write_report import write_report
from toolkit.benchmark.run import outcomes, runner
from toolkit.benchmark.run.records import read_shard, shard_paths

RUNNING, COMPACTING, REPORTING, DONE = 1, 2, 3, 4
STAGES = {RUNNING: "running", COMPACTING: "compacting", REPORTING: "reporting"}


def work(folder: str, how: Mapping[str, Any], stage: Any) -> None:
    """The child: run and report, ready to die at any moment.

    The kills come from outside, at moments that the units have no part in: none is given up.
    """
    os.environ["TOY_SECONDS"] = "0.001"
    outcomes.MAX_DEATHS = 10**6

    def reaching(number: int, call: Any) -> Any:
        @wraps(call)
        def reached(*args: Any, **more: Any) -> Any:
            stage.value = max(stage.value, number)
            return call(*args, **more)

        return reached

    runner._new_shard = reaching(RUNNING, runner._new_shard)
    runner.compact = reaching(COMPACTING, runner.compact)
    wanted = spec(Path(folder), samples=8, explainers=["random", "oracle", "nan"], max_failed=1.0, **how)
    runner.run_benchmark(wanted, workspace=Mortal)
    reaching(REPORTING, write_report)(Path(folder))
    stage.value = DONE


@dataclass
class Count:
    """What came of so many kills.

    Attributes:
        kills: By the stage that was hit.
        deaths: Of workers, while the run went on.
        finished: Runs that came to their end between the kills, and were compared.
        lost: Records that are planned and missing in them.
        doubled: Records that are there twice.
        different: Runs whose tables are not those of an undisturbed one, byte by byte.
    """

    kills: Counter[str] = field(default_factory=Counter)
    deaths: int = 0
    finished: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0


def digest(folder: Path) -> bytes:
    """Of everything that must not depend on how a run went."""
    names = sorted(path for path in (folder / "tables").glob("*.csv") if path.name != "costs.csv")
    found = hashlib.sha256()
    for path in (folder / "records.parquet", folder / "samples.parquet", *names):
        found.update(path.read_bytes())
    return found.digest()


def keys(folder: Path) -> Counter[str]:
    """How often each record stands in the shards."""
    return Counter(line["key"] for path in shard_paths(folder) for line in read_shard(path))


class Killer:
    """Kills runs of one executor.

    The children are forked off a process that has imported everything, so that a kill hits the run, not its imports.
    Their first kill needs a record on the disk: there is something to lose.

    Args:
        folder: Where the runs lie.
        how: Executor, workers and address, as fields of a specification.
        number: Seed of the moments.
    """

    def __init__(self, folder: Path, how: Mapping[str, Any], *, number: int = 0) -> None:
        self.folder, self.how = folder, dict(how)
        self.rng = np.random.default_rng(number)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["tests.stress.kills", "matplotlib.pyplot", "seaborn"])
        self.count = Count()
        undisturbed = folder / "undisturbed"
        self.lasts = self._run(undisturbed, {})
        if self.how.get("executor", "serial") != "serial":
            self.lasts = self._run(folder / "timed", self.how)
        self.expected, self.keys = digest(undisturbed), keys(undisturbed)

    def _run(self, folder: Path, how: Mapping[str, Any]) -> dict[int, float]:
        """Seconds of each stage of a run that nobody kills."""
        child, stage = self._start(folder, how)
        times = {reached: self._wait(child, stage, reached) for reached in (*STAGES, DONE)}
        child.join()
        assert child.exitcode == 0
        return {at: times[at + 1] - times[at] for at in STAGES}

    def _start(self, folder: Path, how: Mapping[str, Any]) -> tuple[Any, Any]:
        stage = self.context.Value("i", 0)
        child = self.context.Process(target=work, args=(str(folder), how, stage))
        child.start()
        return child, stage

    @staticmethod
    def _wait(child: Any, stage: Any, reached: int) -> float:
        while stage.value < reached and child.is_alive():
            time.sleep(0.002)
        return time.perf_counter()

    def kill(self, n: int) -> Count:
        """Kill and resume until so many kills have landed; a run that finishes is compared and started over."""
        run, count = self.folder / "run", self.count
        while count.kills.total() < n:
            wanted = int(self.rng.choice(list(STAGES)))
            child, stage = self._start(run, self.how)
            self._wait(child, stage, wanted)
            if wanted == RUNNING and stage.value > RUNNING:  # all is on record: let it end, so that the next one runs
                child.join()
            child.join(self.rng.uniform(0, self.lasts[wanted]))
            hit = stage.value
            child.kill()
            child.join()
            assert child.exitcode in (0, -signal.SIGKILL), f"it ended by itself with {child.exitcode}"
            if child.exitcode:
                count.kills[STAGES.get(hit, "reporting")] += 1
            else:
                self._compare(run)
        child, stage = self._start(run, self.how)
        child.join()
        self._compare(run)
        count.deaths = len(list(self.folder.glob("death-*")))
        return count

    def _compare(self, run: Path) -> None:
        found = keys(run)
        self.count.finished += 1
        self.count.lost += len(self.keys.keys() - found.keys())
        self.count.doubled += sum(times > 1 for times in found.values())
        self.count.different += digest(run) != self.expected
        shutil.rmtree(run)
