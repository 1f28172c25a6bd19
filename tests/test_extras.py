"""What a default installation lacks is refused by name, before anything is computed."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

import toolkit
from toolkit.environment import check_extras
from toolkit.extras import PACKAGES, USED_BY, missing, need
from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.games.game import Players
from toolkit.games.interactions import shapley_interaction_index
from toolkit.scenes.export import export
from toolkit.testing import FakeVLM, fake_sample

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CELLS = tuple(f"cell {i}" for i in range(9))
GAME = SumOfUnanimityGames(Players.make(CELLS, ("is", "it", "red")), {(): 0.5, (1,): 0.1, (1, 10): 0.3})


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch):
    """A function that makes a module as good as not installed."""
    return lambda name: monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("extra", PACKAGES)
def test_an_extra_brings_what_the_table_says(extra: str) -> None:
    brings = {Requirement(line).name for line in PROJECT["optional-dependencies"][extra]}
    assert brings == set(PACKAGES[extra])
    assert not brings & {Requirement(line).name for line in PROJECT["dependencies"]}
    assert USED_BY[extra]


def test_all_brings_everything_that_has_no_need_of_its_own() -> None:
    (line,) = PROJECT["optional-dependencies"]["all"]
    assert Requirement(line).name == PROJECT["name"]
    assert Requirement(line).extras == {"benchmark", "datasets", "shapley", "lab", "stats"}
    assert Requirement(line).extras - set(PACKAGES) == {"lab"}  # for which the doctor has a line of its own


def test_the_message_names_the_command(gone) -> None:
    assert need("shapley", "it") is None
    gone("shapiq")
    assert missing("shapley") == ("shapiq",)
    said = r"^it needs shapiq, which is not installed: pip install 'vlm-synergy-toolkit\[shapley\]', or wait$"
    with pytest.raises(ModuleNotFoundError, match=said):
        need("shapley", "it", otherwise="wait")
    gone("lightgbm")
    with pytest.raises(ModuleNotFoundError, match="^it needs lightgbm and shapiq, which are not installed: pip"):
        need("trees", "it")


@pytest.mark.parametrize("name", ["kernel-shap", "shapley-interaction", "faith-shapley-interaction"])
def test_an_explainer_without_its_extra(gone, name: str) -> None:
    gone("shapiq")
    vlm, sample = FakeVLM(GAME), fake_sample(grid=(3, 3), question="is it red")
    with pytest.raises(ModuleNotFoundError, match=rf"^{name} needs shapiq, .*toolkit\[shapley\]', or take "):
        toolkit.explain(name, vlm, sample)


def test_the_estimator_without_its_extra(gone) -> None:
    gone("shapiq")
    ask = {"budget": 300, "rng": np.random.default_rng(0)}
    assert shapley_interaction_index(GAME, [1], [10], groups="players", **ask).value == pytest.approx(0.3)
    with pytest.raises(ModuleNotFoundError, match=r"^the estimator 'shapiq' needs shapiq.*take estimator='pairs'"):
        shapley_interaction_index(GAME, [1], [10], groups="players", estimator="shapiq", **ask)


def test_a_benchmark_run_without_its_extra_begins_nothing(gone, tmp_path: Path) -> None:
    gone("pyarrow")
    spec = toolkit.BenchmarkSpec(
        models=["tiny-llava-grounded"], datasets=["scenes-existence"], explainers=["random"], samples=1, steps=2,
        out=tmp_path / "run", progress=False,
    )  # fmt: skip
    with pytest.raises(ModuleNotFoundError, match=r"^a benchmark run.* needs pyarrow.*toolkit\[benchmark\]'$"):
        toolkit.run_benchmark(spec)
    assert not (tmp_path / "run").exists()


def test_a_dataset_of_the_hub_without_its_extra(gone, tmp_path: Path) -> None:
    gone("datasets")
    with pytest.raises(ModuleNotFoundError, match=r"^the dataset repope needs datasets, .*toolkit\[datasets\]'$"):
        toolkit.load_samples("repope", source=tmp_path, n=1)
    with pytest.raises(ModuleNotFoundError, match=r"toolkit\[datasets\]'$"):
        export(tmp_path / "world", n=1)


def test_the_doctor_says_what_works_without() -> None:
    assert check_extras(lambda extra: ()).state == "ok"
    check = check_extras(lambda extra: ("pyarrow",) if extra in ("benchmark", "datasets") else ())
    assert check.state == "note"
    assert check.found.startswith("not installed: benchmark (benchmark runs")
    assert check.fix == "pip install 'vlm-synergy-toolkit[benchmark,datasets]', if you want these"
