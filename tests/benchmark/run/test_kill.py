"""SIGKILL at random moments, resumed: the tables come out byte by byte as of an undisturbed run."""

import hashlib
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from support.toy_bench import ToyBench, spec, tables_digest

from toolkit.benchmark.run import outcomes
from toolkit.benchmark.run.runner import run_benchmark


def run_toys(folder: str, workers: int) -> None:
    """The child: one run, ready to die at any moment."""
    os.environ["TOY_SECONDS"] = "0.001"
    how = {"executor": "processes", "workers": workers} if workers > 1 else {}
    run_benchmark(
        spec(Path(folder), samples=8, explainers=["random", "oracle", "nan"], max_failed=1.0, **how), workspace=ToyBench
    )


def run_unblamed(folder: str, workers: int) -> None:
    """The kills come from outside, at moments that the units have no part in: none is given up."""
    outcomes.MAX_DEATHS = 10**6
    run_toys(folder, workers)


def run_child(context, folder, workers, *, kill_after=None):
    """Run to the end, or kill after so many seconds; True if it was killed."""
    child = context.Process(target=run_unblamed, args=(str(folder), workers))
    child.start()
    if kill_after is not None:
        child.join(kill_after)
        child.kill()
    child.join()
    assert child.exitcode in (0, -signal.SIGKILL)
    killed = child.exitcode != 0
    child.close()
    return killed


def records_digest(folder):
    tables = [(folder / f"{name}.parquet").read_bytes() for name in ("records", "samples")]
    return hashlib.sha256(b"".join(tables)).digest()


def kill_loop(tmp_path, n_kills, workers, seed):
    """Kill and resume until so many kills have landed; a run that finishes is compared and started over.

    The children are forked off a process that has imported everything, so that a kill hits the run, not its imports.
    Where the machine has become slower and ten kills in a row have let no run finish, the next ones come later.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["support.toy_bench", "toolkit.benchmark.run.runner"])
    run_child(context, tmp_path / "warm", workers)
    start = time.perf_counter()
    run_child(context, tmp_path / "undisturbed", workers)
    seconds = time.perf_counter() - start
    expected, records = tables_digest(tmp_path / "undisturbed"), records_digest(tmp_path / "undisturbed")
    rng = np.random.default_rng(seed)
    folder, kills, finished, stages, in_a_row = tmp_path / "run", 0, 0, set(), 0
    while kills < n_kills:
        if run_child(context, folder, workers, kill_after=rng.uniform(0, seconds)):
            kills, in_a_row = kills + 1, in_a_row + 1
            seconds *= 1.25 if in_a_row % 10 == 0 else 1.0
            stages.add(len(list((folder / "shards").glob("*.jsonl"))) if folder.exists() else -1)
        else:
            finished, in_a_row = finished + 1, 0
            assert records_digest(folder) == records
            shutil.rmtree(folder)
    run_child(context, folder, workers)
    assert tables_digest(folder) == expected
    return kills, finished, stages


@pytest.mark.parametrize("workers", [1, 2])
def test_a_few_kills(tmp_path, workers):
    kills, _, _ = kill_loop(tmp_path, 3, workers, seed=workers)
    assert kills == 3


@pytest.mark.slow
def test_two_hundred_kills(tmp_path):
    """Of the kills some come before the folder exists, some in mid-run, and often enough runs finish in between."""
    kills, finished, stages = kill_loop(tmp_path, 200, 1, seed=0)
    assert kills == 200
    assert finished >= 1
    assert len(stages) >= 3


def test_a_kill_while_the_specification_is_written_leaves_a_folder_that_resumes(tmp_path):
    folder = tmp_path / "run"
    (folder / "shards").mkdir(parents=True)
    (folder / ".spec.json.4242.tmp").write_text('{"schema"', encoding="utf-8")
    run_toys(str(folder), 1)
    assert (folder / "records.parquet").exists()
    assert not list(folder.glob(".spec.json.*"))
