"""The same units on Ray's own multi-node test cluster."""

import pytest
from support.cluster import ray_cluster
from support.toy_bench import DeadlyOnce, Peaceful, ToyBench, spec, tables_digest

from toolkit.benchmark.report.run_tables import load_run
from toolkit.benchmark.run.ray_executor import check_address
from toolkit.benchmark.run.runner import run_benchmark
from toolkit.benchmark.run.spec import SpecError


@pytest.mark.parametrize("address", ["10.0.0.5:6379", "ray://head.example:10001"])
def test_a_remote_address_needs_a_token(monkeypatch, address):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(SpecError, match="RAY_AUTH_MODE=token"):
        check_address(address)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    check_address(address)


@pytest.mark.parametrize("address", [None, "127.0.0.1:6379", "local"])
def test_this_machine_needs_none(monkeypatch, address):
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    check_address(address)


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray", reason="extra `cluster` is not installed")
    with ray_cluster() as address:
        yield address


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_cluster_gives_the_same_tables(cluster, tmp_path, toy_spec):
    run_benchmark(toy_spec, workspace=ToyBench)
    wanted = spec(tmp_path / "ray", executor="ray", workers=3, ray_address=cluster)
    summary = run_benchmark(wanted, workspace=ToyBench)
    assert summary.ok == 48
    assert tables_digest(wanted.out) == tables_digest(toy_spec.out)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_worker_killed_in_mid_run_loses_and_doubles_nothing(cluster, tmp_path, monkeypatch):
    """The toy explainer kills its own worker with SIGKILL once; the unit is done again by another."""
    deadly = {"models": ["gate-and"], "explainers": ["random", "deadly"], "seeds": [0]}
    monkeypatch.setenv("TOY_MARKER", "/nonexistent/marker")
    wanted = spec(tmp_path / "ray", executor="ray", workers=2, ray_address=cluster, **deadly)
    summary = run_benchmark(wanted, workspace=DeadlyOnce)
    run = load_run(wanted.out)
    assert (summary.planned, summary.ok) == (12, 12)
    assert len({record["key"] for record in run.records}) == 12
    assert DeadlyOnce.marker(wanted).exists()
    quiet = spec(tmp_path / "quiet", **deadly)
    run_benchmark(quiet, workspace=Peaceful)
    assert tables_digest(wanted.out) == tables_digest(quiet.out)
