"""The runner: nothing is lost, nothing is doubled, every failure is a record."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from support import toy_bench
from support.toy_bench import Peaceful, TellsThreads, ToyBench, spec, tables_digest

from toolkit.benchmark.report.run_tables import load_run
from toolkit.benchmark.run import run_folder as folder_module
from toolkit.benchmark.run.executors import ProcessExecutor
from toolkit.benchmark.run.outcomes import WorkerError
from toolkit.benchmark.run.records import DamagedRecordsError, read_shards
from toolkit.benchmark.run.runner import Terminated, default_folder, run_benchmark
from toolkit.benchmark.run.spec import SpecError
from toolkit.benchmark.run.whole_files import FolderError
from toolkit.control_groups import usable_cores
from toolkit.testing import FakeGame


def test_every_planned_record_is_there_once(toy_spec):
    summary = run_benchmark(toy_spec, workspace=ToyBench)
    rows = pq.read_table(summary.folder / "records.parquet").to_pylist()
    # 2 models x 6 samples x (random with 2 seeds + 2 deterministic controls)
    assert len(rows) == summary.planned == summary.ok == summary.new == 48
    identity = {(r["model"], r["dataset"], r["sample"], r["explainer"], r["seed"]) for r in rows}
    assert len(identity) == 48
    assert summary.exit_status == 0
    first = rows[0]
    assert first["metric.f-syn"] == pytest.approx(sum_of_trapezoids(first["curve.f-syn"]), abs=1e-12)
    assert (first["corner.both"], first["corner.image"], first["corner.text"], first["corner.empty"]) == (1, 0, 0, 0)
    assert first["environment.device"] == "cpu"


def test_columns_have_the_names_of_the_code(toy_spec):
    folder = run_benchmark(toy_spec, workspace=ToyBench).folder
    columns = {name for path in folder.glob("*.parquet") for name in pq.read_schema(path).names}
    assert {"explainer", "target", "answer", "image_id", "image_png"} <= columns
    assert not {"method", "truth", "picture_png"} & columns


def sum_of_trapezoids(curve):
    return sum((a + b) / 2 for a, b in pairwise(curve)) / (len(curve) - 1)


def test_rows_are_in_the_order_of_the_plan(toy_spec):
    rows = pq.read_table(run_benchmark(toy_spec, workspace=ToyBench).folder / "records.parquet").to_pylist()
    expected = [
        (model, f"toys-{number}", *job)
        for model in toy_spec.models
        for number in range(6)
        for job in (("random", 0), ("random", 1), ("oracle", 0), ("anti-oracle", 0))
    ]
    assert [(r["model"], r["sample"], r["explainer"], r["seed"]) for r in rows] == expected


def test_a_second_run_computes_nothing(toy_spec):
    first = run_benchmark(toy_spec, workspace=ToyBench)
    before = tables_digest(first.folder), sorted(p.name for p in (first.folder / "shards").iterdir())
    again = run_benchmark(toy_spec, workspace=ToyBench)
    assert (again.new, again.ok) == (0, 48)
    assert (tables_digest(first.folder), sorted(p.name for p in (first.folder / "shards").iterdir())) == before


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_do_not_change_a_byte(tmp_path, toy_spec, workers):
    run_benchmark(toy_spec, workspace=ToyBench)
    other = spec(tmp_path / "other", executor="processes", workers=workers)
    run_benchmark(other, workspace=ToyBench)
    assert tables_digest(toy_spec.out) == tables_digest(other.out)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="on one core a process has no more than its share anyway")
def test_processes_share_the_threads_of_the_machine(tmp_path):
    workers = os.cpu_count()
    wanted = spec(tmp_path / "run", executor="processes", workers=workers, models=["gate-and"])
    run_benchmark(wanted, workspace=TellsThreads)
    rows = pq.read_table(wanted.out / "records.parquet").to_pylist()
    assert {row["environment.threads"] for row in rows} == {"1"}


@pytest.mark.parametrize(("cores", "workers", "threads"), [(1, 1, 1), (1, 4, 1), (6, 4, 1), (8, 2, 4)])
def test_processes_have_at_least_one_thread_and_no_more_than_the_cores_they_may_use(
    monkeypatch, toy_spec, cores, workers, threads
):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    executor = ProcessExecutor(toy_spec.model_copy(update={"workers": workers}), ToyBench)
    assert executor._threads == threads
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_failures_are_records(tmp_path):
    wanted = spec(tmp_path / "run", explainers=["random", "nan", "hungry", "needs-truth"], seeds=[0])
    summary = run_benchmark(wanted, workspace=ToyBench)
    assert (summary.planned, summary.ok, summary.failed, summary.skipped) == (48, 32, 4, 12)
    assert summary.exit_status == 1
    reasons = {(r["explainer"], r["status"]): r["reason"] for r in load_run(summary.folder).records}
    assert reasons["nan", "failed"] == "ValueError: attribution of 'nan' has 1 non-finite scores"
    assert reasons["hungry", "failed"] == "out of memory"
    assert "ground truth" in reasons["needs-truth", "skipped"]


@pytest.mark.parametrize(("max_failed", "status"), [(0.0, 1), (0.04, 1), (4 / 48, 0), (0.5, 0)])
def test_the_threshold_decides_the_exit_status(tmp_path, max_failed, status):
    wanted = spec(
        tmp_path / "run", explainers=["random", "nan", "hungry", "needs-truth"], seeds=[0], max_failed=max_failed
    )
    assert run_benchmark(wanted, workspace=ToyBench).exit_status == status


def test_a_picture_that_cannot_be_decoded_is_counted(tmp_path):
    summary = run_benchmark(spec(tmp_path / "run", datasets=["torn"], models=["gate-and"]), workspace=ToyBench)
    assert (summary.planned, summary.ok, summary.failed) == (28, 24, 4)
    bad = [r for r in load_run(summary.folder).records if r["status"] == "failed"]
    assert {r["sample"] for r in bad} == {"torn-99"}
    assert all("cannot identify image file" in r["reason"] for r in bad)


def test_failed_records_are_done_again_only_on_request(tmp_path, monkeypatch):
    wanted = spec(tmp_path / "run", explainers=["random", "nan"], seeds=[0])
    assert run_benchmark(wanted, workspace=ToyBench).failed == 2
    monkeypatch.setattr(ToyBench, "_misbehave", lambda self, explainer, number: None)
    assert run_benchmark(wanted, workspace=ToyBench).failed == 2
    mended = run_benchmark(wanted.model_copy(update={"retry_failed": True}), workspace=ToyBench)
    assert (mended.failed, mended.ok, mended.new) == (0, 24, 2)


def test_an_empty_dataset_is_refused(tmp_path):
    with pytest.raises(SpecError, match="no samples in empty"):
        run_benchmark(spec(tmp_path / "run", datasets=["toys", "empty"]), workspace=ToyBench)


@pytest.mark.parametrize(
    ("settings", "bench", "said"),
    [
        ({"steps": 6}, {}, "steps: 5 -> 6"),
        ({}, {"samples": lambda self, name: {"x-1": toy_bench.make_sample("x", 1)}}, "the samples of toys"),
        ({}, {"identities": lambda self: {"model": "weights 2"}}, 'model: "weights 1" -> "weights 2"'),
    ],
)
def test_other_settings_samples_or_weights_in_one_folder_are_refused(toy_spec, settings, bench, said):
    run_benchmark(toy_spec, workspace=ToyBench)
    with pytest.raises(SpecError, match=f"holds a run with other settings: {said}"):
        run_benchmark(toy_spec.model_copy(update=settings), workspace=type("Other", (ToyBench,), bench))


def test_a_damaged_specification_of_a_folder_is_told(toy_spec):
    run_benchmark(toy_spec, workspace=ToyBench)
    stored = json.loads((toy_spec.out / "spec.json").read_text())
    del stored["samples"]
    (toy_spec.out / "spec.json").write_text(json.dumps(stored))
    with pytest.raises(SpecError, match="spec.json is damaged: it lacks samples"):
        run_benchmark(toy_spec, workspace=ToyBench)


def test_the_summary_says_why_records_failed(tmp_path):
    wanted = spec(tmp_path / "run", explainers=["random", "nan", "hungry"], seeds=[0])
    said = str(run_benchmark(wanted, workspace=ToyBench)).splitlines()
    assert said[0].startswith("36 records")
    assert sorted(said[1:]) == ["2 failed: ValueError: attribution of 'nan' has 1 non-finite scores",
                                "2 failed: out of memory"]  # fmt: skip


def test_a_model_whose_values_are_no_numbers_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeGame, "__call__", lambda self, coalitions: np.full(len(coalitions), np.nan))
    summary = run_benchmark(spec(tmp_path / "run", models=["gate-and"]), workspace=ToyBench)
    assert summary.failed == summary.planned
    assert "values are not finite" in summary.reasons[0][0]


def test_only_a_specification_is_run():
    with pytest.raises(TypeError, match="expected a BenchmarkSpec, got str; read a YAML file with load_spec"):
        run_benchmark("spec.yaml")


def test_another_version_in_one_folder_is_refused(toy_spec, monkeypatch):
    run_benchmark(toy_spec, workspace=ToyBench)
    monkeypatch.setattr(folder_module, "toolkit_version", lambda: "9.9.9")
    with pytest.raises(SpecError, match=r"was written by toolkit .* this is 9\.9\.9"):
        run_benchmark(toy_spec, workspace=ToyBench)


def test_execution_fields_may_change(toy_spec):
    run_benchmark(toy_spec, workspace=ToyBench)
    changed = toy_spec.model_copy(update={"executor": "processes", "workers": 2, "max_failed": 0.5})
    assert run_benchmark(changed, workspace=ToyBench).new == 0


def test_a_shard_of_another_run_is_refused_by_run_and_report(tmp_path, toy_spec):
    run_benchmark(toy_spec, workspace=ToyBench)
    other = run_benchmark(spec(tmp_path / "other", steps=6), workspace=ToyBench).folder
    shard = toy_spec.out / "shards" / "00002-worker0.jsonl"
    shutil.copy(other / "shards" / "00001-worker0.jsonl", shard)
    for use in (lambda: run_benchmark(toy_spec, workspace=ToyBench), lambda: load_run(toy_spec.out)):
        with pytest.raises(DamagedRecordsError, match=r"00002-worker0.jsonl belongs to another run .* move it back"):
            use()
    shard.unlink()
    (toy_spec.out / "shards" / "1a-notes.jsonl.bak").write_text("x")
    assert run_benchmark(toy_spec, workspace=ToyBench).new == 0


def test_two_runs_on_one_folder_are_refused(toy_spec):
    toy_spec.out.mkdir()
    with FileLock(toy_spec.out / "run.lock"), pytest.raises(FolderError, match="another run is writing"):
        run_benchmark(toy_spec, workspace=ToyBench)
    assert run_benchmark(toy_spec, workspace=ToyBench).exit_status == 0


def test_a_folder_with_other_things_in_it_is_refused(toy_spec):
    toy_spec.out.mkdir()
    (toy_spec.out / "thesis.tex").write_text("x")
    with pytest.raises(FolderError, match=r"is not empty and not a run \(found thesis.tex\)"):
        run_benchmark(toy_spec, workspace=ToyBench)


@pytest.mark.parametrize("where", ["/proc/run", "file"])
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, where):
    (tmp_path / "file").write_text("x")
    out = Path(where) if where.startswith("/") else tmp_path / where
    with pytest.raises(FolderError, match="cannot use"):
        run_benchmark(spec(out), workspace=ToyBench)


def test_ctrl_c_keeps_what_was_done(tmp_path):
    wanted = spec(tmp_path / "run", explainers=["random", "interrupted"], models=["gate-and"])
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(wanted, workspace=ToyBench)
    assert len({line["sample"] for line in read_shards(wanted.out)}) == 2
    assert len(load_run(wanted.out).frame.query("status == 'missing'")) == 4 * 4


def test_an_unloadable_model_stops_the_run(tmp_path):
    with pytest.raises(OSError, match="no such checkpoint"):
        run_benchmark(spec(tmp_path / "a", models=["unloadable"]), workspace=ToyBench)
    wanted = spec(tmp_path / "b", models=["unloadable"], executor="processes", workers=2)
    with pytest.raises(WorkerError, match="no such checkpoint"):
        run_benchmark(wanted, workspace=ToyBench)


def test_a_worker_that_dies_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_MARKER", str(tmp_path / "died"))
    wanted = spec(tmp_path / "run", explainers=["random", "deadly"], executor="processes", workers=2, seeds=[0])
    summary = run_benchmark(wanted, workspace=ToyBench)
    assert (tmp_path / "died").exists()
    assert (summary.ok, summary.failed) == (24, 0)


def test_a_unit_that_kills_every_worker_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_ALWAYS", "1")
    monkeypatch.setenv("TOY_MARKER", str(tmp_path / "died"))
    wanted = spec(tmp_path / "run", explainers=["random", "deadly"], executor="processes", workers=2, seeds=[0])
    summary = run_benchmark(wanted, workspace=ToyBench)
    assert (summary.ok, summary.failed) == (20, 4)
    ((reason, number),) = summary.reasons
    assert number == 4
    assert "evaluated toys-2 died 3 times in a row (killed by SIGKILL)" in reason
    assert "--retry-failed takes it up again" in reason


def run_deadly(folder):
    os.environ |= {"TOY_ALWAYS": "1", "TOY_MARKER": f"{folder}.died"}
    run_benchmark(deadly(folder), workspace=ToyBench)


def deadly(folder, **changes):
    return spec(Path(folder), explainers=["random", "deadly"], models=["gate-and"], seeds=[0], **changes)


def test_a_unit_that_kills_a_serial_run_is_given_up_at_the_fourth_start(tmp_path):
    """And the units behind it are done; a retry takes it up."""
    folder = tmp_path / "run"
    context = multiprocessing.get_context("forkserver")
    for start in range(4):
        child = context.Process(target=run_deadly, args=(str(folder),))
        child.start()
        child.join()
        assert child.exitcode == (-signal.SIGKILL if start < 3 else 0)
    summary = run_benchmark(deadly(folder), workspace=ToyBench)
    assert (summary.planned, summary.ok, summary.failed, summary.new) == (12, 10, 2, 0)
    assert "evaluated toys-2 died 3 times in a row, with no other unit at work" in summary.reasons[0][0]
    assert run_benchmark(deadly(folder, retry_failed=True), workspace=Peaceful).ok == 12


class Hangs(ToyBench):
    def _misbehave(self, explainer, number):
        if explainer == "oracle" and number == 2:
            time.sleep(3600)


def test_a_unit_that_hangs_is_stopped_and_recorded(tmp_path):
    """Of its sample the other explainers have the scores that they have without it."""
    wanted = spec(tmp_path / "run", models=["gate-and"], time_limit=1.0)
    summary = run_benchmark(wanted, workspace=Hangs)
    assert (summary.ok, summary.failed) == (23, 1)
    quiet = run_benchmark(spec(tmp_path / "quiet", models=["gate-and"]), workspace=ToyBench)
    hung, whole = (read_shards(run.folder) for run in (summary, quiet))
    kept = {line["key"]: line.get("metrics") for line in hung if line["status"] == "ok"}
    assert kept == {line["key"]: line.get("metrics") for line in whole if line["key"] in kept}
    assert len(kept) == len(whole) - 1
    assert "not finished after time_limit = 1 s; raise it, then --retry-failed" in summary.reasons[0][0]


def test_sigterm_ends_a_run_as_ctrl_c_does(tmp_path):
    class Asked(ToyBench):
        def _misbehave(self, explainer, number):
            if number == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    wanted = spec(tmp_path / "run", models=["gate-and"])
    with pytest.raises(Terminated):
        run_benchmark(wanted, workspace=Asked)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert not (wanted.out / "at-work.json").exists()
    assert len({line["sample"] for line in read_shards(wanted.out)}) == 3
    assert run_benchmark(wanted, workspace=ToyBench).new == 12


def test_a_disk_that_fills_up_stops_the_run_and_a_later_run_goes_on(tmp_path):
    """The operating system refuses to let any file of the run grow beyond 20 kB."""
    code = f"""
        import resource, signal, sys
        sys.path.insert(0, {str(Path(toy_bench.__file__).parents[1])!r})
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        from pathlib import Path
        from support.toy_bench import ToyBench, spec
        from toolkit.benchmark.run.runner import run_benchmark
        run_benchmark(spec(Path({str(tmp_path / "run")!r})), workspace=ToyBench)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "What was recorded is kept; run again to resume" in done.stderr
    kept = len(read_shards(tmp_path / "run"))
    assert kept > 0
    summary = run_benchmark(spec(tmp_path / "run"), workspace=ToyBench)
    undisturbed = run_benchmark(spec(tmp_path / "other"), workspace=ToyBench)
    assert 0 < summary.new < 48
    assert tables_digest(summary.folder) == tables_digest(undisturbed.folder)


def test_the_default_folder_follows_the_settings(toy_spec):
    assert default_folder(toy_spec) == default_folder(toy_spec.model_copy(update={"executor": "processes"}))
    assert default_folder(toy_spec) != default_folder(toy_spec.model_copy(update={"steps": 7}))
