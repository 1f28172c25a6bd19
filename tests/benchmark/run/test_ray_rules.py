"""What the Ray executor does when workers wait, die or cannot start, on a Ray that is played by this file."""

import itertools
import sys
from types import SimpleNamespace

import pytest
from support.toy_bench import ToyBench, spec, tables_digest

from toolkit.benchmark.run import ray_executor
from toolkit.benchmark.run.outcomes import WorkerError
from toolkit.benchmark.run.runner import run_benchmark


class RayError(Exception):
    pass


class OutOfMemoryError(RayError):
    """As in Ray: no kind of actor error."""


class PlayedRay:
    """Actors in this process; a call is done when its answer is asked for.

    Args:
        room: So many actors start, the others wait until one is killed.
        trouble: Called with the number of the call before each evaluation (or what ``fatal`` names); may raise.
        broken: Actors die while they start.
    """

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, *, room=99, gpus=0, trouble=None, broken=False):
        self.room, self.gpus, self.trouble, self.broken = room, gpus, trouble, broken
        self.inits, self.options, self.living, self.downs = [], [], [], 0
        self.calls, self.evaluated, self.fatal = {}, itertools.count(), "evaluate"

    def is_initialized(self):
        return False

    def init(self, **options):
        self.inits.append(options)

    def shutdown(self):
        self.downs += 1

    def cluster_resources(self):
        return {"CPU": float(self.room), "GPU": float(self.gpus)}

    def remote(self, **options):
        self.options.append(options)
        return lambda kind: SimpleNamespace(remote=lambda *words: self.actor(kind(*words)))

    def actor(self, replica):
        found = SimpleNamespace()
        for name in ("ready", "load", "evaluate"):
            found.__dict__[name] = SimpleNamespace(remote=self.method(found, getattr(replica, name), name))
        self.living.append(found)
        return found

    def method(self, actor, work, name):
        def call(*words):
            ref = len(self.calls)
            self.calls[ref] = (actor, work, words, name)
            return ref

        return call

    def wait(self, refs, num_returns, timeout):
        done = [ref for ref in refs if self.calls[ref][0] in self.living[: self.room]]
        assert done or timeout is not None, "this would wait forever"
        return done[:num_returns], []

    def get(self, ref):
        _, work, words, name = self.calls[ref]
        if name == "ready" and self.broken:
            raise RayError("the module of the factory is not there")
        if name == self.fatal and self.trouble is not None:
            self.trouble(next(self.evaluated))
        return work(*words)

    def kill(self, actor):
        if actor in self.living:
            self.living.remove(actor)


@pytest.fixture
def play(monkeypatch, tmp_path):
    def start(**how):
        played = PlayedRay(**how)
        monkeypatch.setitem(sys.modules, "ray", played)
        return played

    return start


def on_ray(tmp_path, **changes):
    return spec(tmp_path / "ray", models=["gate-and"], executor="ray", **{"workers": 4, **changes})


def test_a_cluster_of_its_own_is_local_and_closed_again(play, tmp_path, monkeypatch, toy_spec):
    """Also where the environment names another cluster, which nobody asked for and nobody checked."""
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.5:6379")
    played = play()
    summary = run_benchmark(on_ray(tmp_path), workspace=ToyBench)
    assert (summary.ok, summary.failed) == (24, 0)
    (init,) = played.inits
    assert (init["address"], init["_node_ip_address"], init["include_dashboard"]) == ("local", "127.0.0.1", False)
    assert (played.living, played.downs) == ([], 1)
    quiet = toy_spec.model_copy(update={"models": ("gate-and",)})
    run_benchmark(quiet, workspace=ToyBench)
    assert tables_digest(summary.folder) == tables_digest(quiet.out)


def test_workers_that_find_no_room_hold_nothing_up(play, tmp_path):
    played = play(room=2)
    with pytest.warns(UserWarning, match="4 workers need 1 CPU and 0 GPUs each; the cluster has 2 CPUs and 0 GPUs"):
        summary = run_benchmark(on_ray(tmp_path), workspace=ToyBench)
    assert (summary.ok, summary.failed) == (24, 0)
    assert played.living == []


def test_a_cluster_without_any_room_is_an_error(play, tmp_path):
    played = play(room=0)
    with (
        pytest.warns(UserWarning, match="until there is room"),
        pytest.raises(WorkerError, match=r"no worker could start within 600 s: 4 workers need .* has 0 CPUs"),
    ):
        run_benchmark(on_ray(tmp_path), workspace=ToyBench)
    assert (played.living, played.downs) == ([], 1)


def test_shares_of_gpus_are_asked_for(play, tmp_path):
    played = play(gpus=2)
    run_benchmark(on_ray(tmp_path, gpus_per_worker=0.5), workspace=ToyBench)
    assert {options["num_gpus"] for options in played.options} == {0.5}


def test_gpus_that_nobody_asked_for_are_said(play, tmp_path):
    play(gpus=8)
    with pytest.warns(UserWarning, match="the workers run on CPUs; gpus_per_worker gives them GPUs"):
        run_benchmark(on_ray(tmp_path), workspace=ToyBench)


def test_a_worker_that_ran_out_of_memory_is_replaced_and_its_unit_done_again(play, tmp_path):
    def trouble(number):
        if number == 2:
            raise OutOfMemoryError

    play(trouble=trouble)
    summary = run_benchmark(on_ray(tmp_path), workspace=ToyBench)
    assert (summary.ok, summary.failed) == (24, 0)


def test_a_unit_that_ends_every_worker_is_given_up_and_counted(play, tmp_path):
    def trouble(number):
        if number in (0, *range(6, 8)):  # once in its turn, twice when all others are done
            raise OutOfMemoryError

    play(trouble=trouble)
    summary = run_benchmark(on_ray(tmp_path, workers=1), workspace=ToyBench)
    assert (summary.ok, summary.failed) == (20, 4)
    ((reason, number),) = summary.reasons
    assert number == 4
    assert "evaluated toys-0 died 3 times in a row (OutOfMemoryError), with no other unit at work" in reason


def test_a_unit_over_the_limit_is_stopped_with_its_worker(play, tmp_path, monkeypatch):
    """The played cluster never says that the third unit is done, and the clock runs on."""
    clock = itertools.count(0, 40)
    monkeypatch.setattr(ray_executor.time, "monotonic", lambda: float(next(clock)))
    played = play()
    wait = played.wait

    def slow(refs, num_returns, timeout):
        def hangs(ref):
            _, _, words, name = played.calls[ref]
            return name == "evaluate" and words[0].sample == "toys-2"

        return wait([ref for ref in refs if not hangs(ref)], num_returns, timeout)

    monkeypatch.setattr(played, "wait", slow)
    summary = run_benchmark(on_ray(tmp_path, workers=1, time_limit=100.0), workspace=ToyBench)
    assert (summary.ok, summary.failed) == (20, 4)
    assert "not finished after time_limit = 100 s" in summary.reasons[0][0]
    assert played.living == []


def test_workers_that_die_while_they_load_stop_the_run(play, tmp_path):
    def trouble(number):
        raise OutOfMemoryError

    played = play(trouble=trouble)
    played.fatal = "load"
    with pytest.raises(WorkerError, match="a worker died 3 times while it loaded gate-and and toys"):
        run_benchmark(on_ray(tmp_path), workspace=ToyBench)


def test_workers_that_cannot_start_stop_the_run(play, tmp_path):
    played = play(broken=True)
    with pytest.raises(WorkerError, match="the workers cannot start: RayError: the module of the factory"):
        run_benchmark(on_ray(tmp_path), workspace=ToyBench)
    assert len(played.options) < 20
    assert played.living == []


def test_the_wait_is_as_long_as_it_says(monkeypatch, play, tmp_path):
    monkeypatch.setattr(ray_executor, "START_SECONDS", 5.0)
    play(room=0)
    with pytest.warns(UserWarning), pytest.raises(WorkerError, match="within 5 s"):  # noqa: PT030 - said above
        run_benchmark(on_ray(tmp_path), workspace=ToyBench)
