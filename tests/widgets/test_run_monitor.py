import sys
import time

import pytest

from toolkit.benchmark.run.records import Shard
from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.widgets import RunMonitor
from toolkit.widgets.run_monitor import coalitions_per_sample, cost_rows, finished, planned_records, remaining

WORKER = """
import json, sys, time
from pathlib import Path
from toolkit.benchmark.run.records import Shard
folder = Path(json.loads(Path(sys.argv[1]).read_text())["out"])
(folder / "shards").mkdir(parents=True, exist_ok=True)
number = len(list((folder / "shards").glob("*.jsonl")))
with Shard(folder / "shards" / f"{number:05d}-w.jsonl", {"toolkit": "t", "spec": "s"}) as shard:
    done = int(sys.argv[2])
    for i in range(done):
        shard.append([{"kind": "record", "key": f"{number}-{i}", "status": "ok"}])
    print("wrote", done)
    sys.stdout.flush()
    time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def spec(tmp_path):
    return BenchmarkSpec(
        models=["tiny-llava-grounded"],
        datasets=["scenes-existence"],
        explainers=["random", "occlusion"],
        samples=2,
        seeds=[0, 1],
        out=tmp_path / "run",
    )


def worker(tmp_path, n, seconds):
    path = tmp_path / "worker.py"
    path.write_text(WORKER, encoding="utf-8")
    return lambda spec: [sys.executable, str(path), str(spec), str(n), str(seconds)]


def test_the_plan_counts_records_and_coalitions(spec):
    assert planned_records(spec) == 2 * 3
    assert coalitions_per_sample(spec) == 76 + 2 * 72
    rows = dict(cost_rows(spec))
    assert rows["records"] == "6"
    assert "440" in rows["the same in all, where no scores are tied"]
    assert planned_records(spec.model_copy(update={"samples": None})) is None


def test_a_run_fills_the_bar_and_says_so(spec, tmp_path):
    panel = RunMonitor(spec, command=worker(tmp_path, 6, 0), poll_seconds=0.05)
    assert "0 of 6" in panel.note.value
    panel.run.click()
    assert panel.wait(120) == 0
    assert panel.progress.value == panel.progress.max == 6
    assert "Finished: 6 of 6 records" in panel.note.value
    assert "wrote 6" in panel.static()


def test_stop_keeps_what_is_done_and_run_goes_on(spec, tmp_path):
    panel = RunMonitor(spec, command=worker(tmp_path, 2, 600), poll_seconds=0.05)
    panel.start()
    deadline = time.monotonic() + 120
    while finished(panel.folder) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    panel.start()
    panel.stop.click()
    assert panel.wait(120) != 0
    assert not panel.running
    assert "Stopped; run again to resume: 2 of 6" in panel.note.value
    again = RunMonitor(spec, command=worker(tmp_path, 4, 0), poll_seconds=0.05)
    assert again.progress.value == 2
    again.start()
    assert again.wait(120) == 0
    assert again.progress.value == 6


def test_records_are_counted_and_samples_are_not(tmp_path):
    (tmp_path / "shards").mkdir()
    assert finished(tmp_path) == 0
    with Shard(tmp_path / "shards" / "00001-w.jsonl", {"toolkit": "t", "spec": "s"}) as shard:
        shard.append([{"kind": kind, "key": kind, "status": "ok"} for kind in ("sample", "record")])
    assert finished(tmp_path) == 1


def test_the_estimate_follows_the_pace():
    assert remaining(10, 30, 0, 10) == "about 20 seconds left"
    assert remaining(10, 610, 0, 10) == "about 10 minutes left"
    assert remaining(10, 30, 10, 10) == "no estimate yet"


def test_a_run_that_ignores_interrupts_is_terminated(spec, tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit.widgets.run_monitor.PATIENCE", 0.2)
    path = tmp_path / "deaf.py"
    path.write_text("import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)\n", "utf-8")
    panel = RunMonitor(spec, command=lambda spec: [sys.executable, str(path)], poll_seconds=0.05)
    panel.start()
    time.sleep(0.5)
    panel.stop.click()
    assert panel.wait(60) not in (None, 0)
    assert not panel.running
