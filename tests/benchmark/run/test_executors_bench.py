"""The measurement behind the choice of an executor."""

import pytest
import torch
from support.toy_bench import TellsThreads, ToyBench, spec

from tests.speed import executors
from tests.speed.executors import executor_rows, run_threads


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def several(folder, workers, **changes):
    """The specification of so many threads, which no executor of the toolkit would take."""
    return spec(folder, **changes).model_copy(update={"workers": workers})


def test_every_executor_is_measured_in_every_turn_on_the_same_units(tmp_path, monkeypatch):
    lines, clock = [], iter(range(1000))
    monkeypatch.setattr(executors.time, "perf_counter", lambda: float(next(clock)))
    rows = executor_rows(
        spec(tmp_path / "unused", samples=3), workers=[2, 3], turns=2, report=lines.append, factory=ToyBench
    )
    assert [(row["executor"], row["workers"]) for row in rows] == [
        ("serial", 1), ("processes", 2), ("processes", 3), ("threads", 2), ("threads", 3)
    ]  # fmt: skip
    assert len(lines) == 2 * 5
    assert "turn 2 of 2: threads, 3 at once" in lines
    assert all(row["failed"] == 0 for row in rows)
    assert all(row["seconds"] > 0 for row in rows)
    assert rows[0]["speed_up"] == 1
    assert not (tmp_path / "unused").exists()


def test_a_speed_up_is_the_median_of_the_turns(tmp_path, monkeypatch):
    took = iter([8.0, 4.0, 2.0, 8.0, 1.0, 8.0, 8.0, 2.0, 2.0])  # per turn: serial, processes, threads
    now = [0.0]

    def later(*_):
        now[0] += next(took)
        return 0

    monkeypatch.setattr(executors.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(executors, "_run", later)
    monkeypatch.setattr(executors, "run_threads", later)
    rows = executor_rows(spec(tmp_path), workers=[2], turns=3, report=lambda _: None, factory=ToyBench)
    assert {row["executor"]: (row["seconds"], row["speed_up"]) for row in rows} == {
        "serial": (8.0, 1.0), "processes": (2.0, 4.0), "threads": (2.0, 4.0)
    }  # fmt: skip


def test_threads_share_the_machine_and_give_it_back(tmp_path):
    seen = set()

    class Watched(TellsThreads):
        def environment(self, vlm):
            found = super().environment(vlm)
            seen.add(found["threads"])
            return found

    assert run_threads(several(tmp_path, 2), Watched) == 0
    assert seen == {"1"}
    assert torch.get_num_threads() == 2


def test_threads_tell_what_failed(tmp_path):
    wanted = several(tmp_path, 2, explainers=["random", "nan"], seeds=[0], models=["gate-and"])
    assert run_threads(wanted, ToyBench) == 1


def test_a_failure_gives_the_threads_back_too(tmp_path):
    with pytest.raises(OSError, match="no such checkpoint"):
        run_threads(several(tmp_path, 2, models=["unloadable"]), ToyBench)
    assert torch.get_num_threads() == 2
