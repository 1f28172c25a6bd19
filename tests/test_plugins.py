"""A package that somebody else installed, and a module beside a specification: known in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest

from toolkit.benchmark.run.spec import make_spec
from toolkit.benchmark.run.units import jobs_of
from toolkit.benchmark.run.workspace import check_spec
from toolkit.explainers import EXPLAINERS, explainer
from toolkit.registry import PluginError, UnknownNameError
from toolkit.synergy import METRICS
from toolkit.vlm.adapters.families import FAMILIES, adapter_class, family
from toolkit.vlm.adapters.llava import Llava

ROOT = Path(__file__).parents[1]
MODULE = """
    import numpy as np
    from toolkit.explainers import explainer
    from toolkit.synergy import MetricSpec, Score, metric

    @explainer("one-by-one", reference="none", cost="n + 1 forward rows", needs=["game"])
    def one_by_one(vlm, sample, target):
        game = vlm.game(sample, target=target)
        without = ~np.eye(game.players.n, dtype=bool)
        return game(np.ones((1, game.players.n), dtype=bool)) - game(without)

    def everybody(attribution, steps):
        return np.ones((1, attribution.players.n), dtype=bool)

    WHOLE = MetricSpec("whole", 1, (0.0, 1.0), "probability", "none")

    @metric(WHOLE, coalitions=everybody)
    def whole(values, attribution, steps):
        return Score(WHOLE, float(values[0]), np.ones(1), values)
"""
SPEC = {
    "models": ["tiny-llava-grounded"], "datasets": ["scenes-existence"], "samples": 2, "steps": 4, "seeds": [0, 1],
    "executor": "processes", "workers": 2, "progress": False, "headline": "f-syn", "images": 0,
}  # fmt: skip


def write_module(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(textwrap.dedent(MODULE), encoding="utf-8")
    return folder


def install(folder: Path, name: str) -> Path:
    """The module as pip leaves an installed package: with its metadata beside it."""
    write_module(folder, name)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[synergy_toolkit.plugins]\n{name} = {name}\n", encoding="utf-8")
    return folder


def run(folder: Path, spec: dict, where: Path) -> pd.DataFrame:
    """Run a specification in a process that finds the folder, and read its records."""
    (where / "spec.yaml").write_text(json.dumps(spec), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", "benchmark", "run", "spec.yaml", "--out", "run"],
        cwd=where, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "leaked" not in done.stderr, "workers end by themselves, and give back what they hold"
    return pd.read_parquet(where / "run" / "records.parquet")


def test_an_installed_package_adds_an_explainer_and_a_metric_to_every_process(tmp_path: Path) -> None:
    spec = SPEC | {"explainers": ["one-by-one", "occlusion"], "metrics": ["f-syn", "whole"]}
    records = run(install(tmp_path / "site", "guest_package"), spec, tmp_path)
    assert set(records["status"]) == {"ok"}
    assert records.groupby("explainer").size().to_dict() == {"occlusion": 2, "one-by-one": 2}  # one seed is all seeds
    scores = records.pivot(index="sample", columns="explainer", values="metric.f-syn")
    assert scores["one-by-one"].to_numpy() == pytest.approx(scores["occlusion"].to_numpy(), abs=1e-9)
    assert records["metric.whole"].between(0, 1).all()
    assert records[["checkpoint", "content"]].notna().all(axis=None)  # what the numbers are of stands in every record


@pytest.mark.parametrize("way", ["by path", "by plugins"])
def test_a_module_beside_the_specification_is_known_to_every_process(way: str, tmp_path: Path) -> None:
    write_module(tmp_path, "beside")
    named = {"explainers": ["beside:one_by_one"], "metrics": ["f-syn", "beside:whole"]}
    listed = {"explainers": ["one-by-one"], "metrics": ["f-syn", "whole"], "plugins": ["beside"]}
    records = run(tmp_path, SPEC | (named if way == "by path" else listed), tmp_path)
    assert set(records["status"]) == {"ok"}
    assert len(records) == 2


def test_a_family_is_registered_above_its_adapter() -> None:
    with pytest.raises(PluginError, match="expected a class derived from Adapter"):
        family("mine")(dict)
    family("mine")(Llava)
    try:
        assert adapter_class("mine") is Llava
        with pytest.raises(ValueError, match="registered already"):
            family("mine")(Llava)
    finally:
        FAMILIES.remove("mine")


def test_what_is_written_in_a_session_is_refused_for_other_processes() -> None:
    def here(vlm, sample):
        return [0.0]

    here.__module__ = "__main__"
    explainer("in-this-session")(here)
    try:
        names = {"explainers": ["in-this-session"], "metrics": ["f-syn"]}
        with pytest.raises(ValueError, match=r"in-this-session: registered in this session.*'module:attribute'"):
            check_spec(make_spec(SPEC | names))
        check_spec(make_spec(SPEC | names | {"executor": "serial", "workers": 1}))
    finally:
        EXPLAINERS.remove("in-this-session")


def test_an_explainer_that_draws_runs_once_per_seed() -> None:
    @explainer("draws-nothing")
    def draws_nothing(vlm, sample):
        return []

    @explainer("draws")
    def draws(vlm, sample, rng):
        return []

    try:
        spec = make_spec(
            SPEC | {"explainers": ["draws-nothing", "draws", "smoothgrad", "rollout"], "metrics": ["f-syn"]}
        )
        assert [name for name, _ in jobs_of(spec)] == [
            "draws-nothing",
            "draws",
            "draws",
            "smoothgrad",
            "smoothgrad",
            "rollout",
        ]
    finally:
        EXPLAINERS.remove("draws-nothing")
        EXPLAINERS.remove("draws")


def test_a_path_that_leads_nowhere_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match="cannot import 'no_such_module'.*run from its folder, or install it"):
        EXPLAINERS["no_such_module:thing"]
    with pytest.raises(PluginError, match="'json' has no 'thing'; it has "):
        METRICS["json:thing"]
    (tmp_path / "no_python.py").write_text("def (:")
    (tmp_path / "divides.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=r"cannot import 'no_python' \(SyntaxError: .*mend the module"):
        METRICS["no_python:thing"]
    with pytest.raises(PluginError, match=r"cannot import 'divides' \(ZeroDivisionError: .*mend the module"):
        EXPLAINERS["divides:thing"]
    with pytest.raises(PluginError, match="'json:dumps' is function, not a Metric; decorate its score function"):
        METRICS["json:dumps"]
    with pytest.raises(UnknownNameError, match="Did you mean 'rollout'"):
        EXPLAINERS["rolout"]
    assert "json:dumps" not in METRICS


def test_an_installed_package_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    folder = install(tmp_path / "site", "broken_guest")
    (folder / "broken_guest.py").write_text("import no_such_module\n", encoding="utf-8")
    code = "from toolkit.explainers import EXPLAINERS; list(EXPLAINERS)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "the plug-in 'broken_guest' of broken_guest cannot be imported (ModuleNotFoundError" in done.stderr
