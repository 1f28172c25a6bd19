"""What the stress page shows, and a tenth of what it counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.cluster import ray_cluster

from tests.stress.counted import COUNTS, PAGE, page
from tests.stress.kills import STAGES, Killer
from tests.stress.mutate import ROOT, Mutation, mutations
from tests.stress.scaling import write_run
from toolkit.benchmark.report.run_tables import load_run


@pytest.mark.parametrize("mutation", mutations(), ids=lambda mutation: mutation.guarantee)
def test_every_patch_applies_and_names_a_test(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1
    file, name = mutation.test.split("::")
    assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_there_are_twenty_patches_and_the_page_has_them_all() -> None:
    found = json.loads(COUNTS.read_text(encoding="utf-8"))
    assert len(mutations()) == 20
    assert [row["guarantee"] for row in found["mutations"]] == [one.guarantee for one in mutations()]
    assert {row["outcome"] for row in found["mutations"]} == {"killed"}
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.slow
def test_a_tenth_of_the_odd_calls() -> None:
    from tests.stress.fuzz import fuzz

    _, faults = fuzz(200, number=1)
    assert faults == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"executor": "serial"}, {"executor": "processes", "workers": 2}], ids=str)
def test_a_tenth_of_the_kills(tmp_path: Path, how: dict[str, object]) -> None:
    _survives(Killer(tmp_path, how))


@pytest.mark.slow
def test_a_tenth_of_the_kills_on_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="extra `cluster` is not installed")
    with ray_cluster() as address:
        _survives(Killer(tmp_path, {"executor": "ray", "workers": 2, "ray_address": address}))


def _survives(killer: Killer) -> None:
    count = killer.kill(10)
    assert count.kills.total() == 10
    assert set(count.kills) <= set(STAGES.values())
    assert (count.lost, count.doubled, count.different) == (0, 0, 0)
    assert count.finished >= 1


def test_many_records_are_those_of_a_run(tmp_path: Path) -> None:
    write_run(tmp_path / "run", 64)
    found = load_run(tmp_path / "run")
    assert len(found.records) == 64
    assert {record["status"] for record in found.records} == {"ok"}
