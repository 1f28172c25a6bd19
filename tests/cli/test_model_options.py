"""How a model is loaded can be said in the same words wherever a command loads one."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image
from typer.testing import CliRunner

import toolkit
from toolkit.cli import app
from toolkit.cli import benchmark_command as benchmark
from toolkit.cli.model_options import ModelOptions
from toolkit.vlm.loading.catalogue import CATALOGUE

COMMIT = "c" * 40
OPTIONS = {"device": "cpu", "dtype": "bfloat16", "four_bit": True, "attention": "eager", "max_pixels": 5000,
           "instruction": "answer with one word"}  # fmt: skip
QWEN, LLAVA = "tiny-qwen2.5-vl-grounded", "tiny-llava-grounded"
COMMANDS = {
    "explain": ["picture.png", "is it red ?", "--model", QWEN],
    "diagnose": ["--model", QWEN],
    "maps": ["--models", f"{LLAVA},{QWEN}", "--samples", "2"],
    "sanity": ["--model", LLAVA, "--biased", QWEN, "--samples", "2", "--probe", "20"],
    "report-card": ["random", "--grounded", LLAVA, "--biased", QWEN, "--samples", "1"],
}


class Stopped(Exception):  # noqa: N818
    """Raised instead of loading the last model."""


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """What each model would be loaded with."""
    found: dict[str, dict[str, Any]] = {}

    def load_vlm(name: str, **options: Any) -> None:
        found[name] = options
        if name == QWEN:
            raise Stopped

    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save("picture.png")
    monkeypatch.setattr(toolkit, "load_vlm", load_vlm)
    return found


def words_of(options: dict[str, Any]) -> list[str]:
    names = {name: "--" + name.replace("_", "-") for name in options}
    return [w for name, v in options.items() for w in ((names[name],) if v is True else (names[name], str(v)))]


def test_every_command_that_loads_a_model_has_every_option() -> None:
    group: Any = typer.main.get_command(app)
    run = group.commands["benchmark"].commands["run"]
    for command in (run, *(group.commands[name] for name in COMMANDS)):
        assert {f.name for f in fields(ModelOptions)} <= {parameter.name for parameter in command.params}
        assert "options" not in {parameter.name for parameter in command.params}


@pytest.mark.parametrize("command", COMMANDS)
def test_options_reach_every_model_that_has_them(loaded: dict[str, dict[str, Any]], command: str) -> None:
    result = CliRunner().invoke(app, [command, *COMMANDS[command], *words_of(OPTIONS)])
    assert isinstance(result.exception, Stopped), result.output
    for options in loaded.values():
        assert {name: options[name] for name in ("device", "dtype", "four_bit", "attention")} == {
            "device": "cpu", "dtype": "bfloat16", "four_bit": True, "attention": "eager"
        }  # fmt: skip
    assert loaded[QWEN]["max_pixels"] == 5000
    assert "max_pixels" not in loaded.get(LLAVA, {})  # a fixed crop has no such bound


def test_nothing_given_is_nothing_said(loaded: dict[str, dict[str, Any]]) -> None:
    CliRunner().invoke(app, ["maps", *COMMANDS["maps"]])
    assert loaded[LLAVA] == {"revision": None, "device": None, "dtype": None, "four_bit": False}


def test_the_instruction_is_put_to_every_sample() -> None:
    samples = toolkit.load_samples("scenes-choice", n=2)
    told = ModelOptions(instruction="say one letter").instructed(samples)
    assert {sample.instruction for sample in told} == {"say one letter"}
    assert ModelOptions().instructed(samples) == samples


def test_maps_put_the_instruction_to_generated_samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[toolkit.Sample] = []

    def maps_page(out: Path, models: dict[str, Any], samples: list[toolkit.Sample], **more: Any) -> Path:
        asked.extend(samples)
        return out

    monkeypatch.setattr(toolkit, "load_vlm", lambda name, **options: name)
    monkeypatch.setattr("toolkit.audit.explainers.map_grid.maps_page", maps_page)
    words = ["maps", "--models", LLAVA, "--samples", "2", "--instruction", "say one word", "--out", str(tmp_path)]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert [sample.instruction for sample in asked] == ["say one word"] * 2


def test_options_become_fields_of_a_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(benchmark, "_evaluate", lambda spec, *, dry_run: asked.append(spec))
    words = ["benchmark", "run", "--models", f"{QWEN},{LLAVA}", "--datasets", "repope", "--explainers", "random"]
    given = OPTIONS | {"device": "cuda"}
    result = CliRunner().invoke(
        app, [*words, *words_of(given), "--revision", f"{LLAVA}={COMMIT}", "--source", "repope=here"]
    )
    assert result.exit_code == 0, result.output
    (spec,) = asked
    assert {name: getattr(spec, name) for name in given} == given
    assert spec.revisions == {LLAVA: COMMIT}
    assert spec.sources == {"repope": Path("here")}


def test_a_commit_alone_is_the_only_models_and_names_are_checked() -> None:
    assert ModelOptions(revision=[COMMIT]).revisions("a/b") == {"a/b": COMMIT}
    assert ModelOptions(revision=[f"a/b={COMMIT}", "c/d=main"]).revisions("a/b", "c/d") == {
        "a/b": COMMIT,
        "c/d": "main",
    }
    for given, names in (
        (["main"], ("a/b", "c/d")),
        (["=main"], ("a/b",)),
        (["a/b="], ("a/b",)),
        (["x/y=main"], ("a/b",)),
    ):
        with pytest.raises(ValueError, match="--revision"):
            ModelOptions(revision=given).revisions(*names)


def test_a_bound_that_no_model_has_is_refused_before_anything_is_loaded(loaded: dict[str, dict[str, Any]]) -> None:
    result = CliRunner().invoke(app, ["maps", *COMMANDS["maps"], "--max-tiles", "2"])
    assert result.exit_code == 2
    assert "max_tiles bounds none of tiny-llava-grounded, tiny-qwen2.5-vl-grounded" in result.stderr
    assert "another bound, max_pixels" in result.stderr
    assert loaded == {}


def test_diagnose_reads_a_local_copy_of_a_dataset_or_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def load_samples(name: str, **options: Any) -> None:
        asked.append(options)
        raise Stopped

    monkeypatch.setattr(toolkit, "load_samples", load_samples)
    for more in (["--source", "here"], ["--revision", f"repope={COMMIT}"]):
        CliRunner().invoke(app, ["diagnose", "--dataset", "repope", "--instruction", "", *more])
    assert [(found["source"], found["revision"], found["instruction"]) for found in asked] == [
        (Path("here"), None, ""), (None, COMMIT, "")
    ]  # fmt: skip


def test_hub_models_of_the_catalogue_need_no_network_for_their_bounds(loaded: dict[str, dict[str, Any]]) -> None:
    qwen = next(name for name in CATALOGUE if CATALOGUE[name].family == "qwen2.5-vl" and "/" in name)
    ModelOptions(max_pixels=9000, revision=[COMMIT]).load(qwen)
    assert (loaded[qwen]["max_pixels"], loaded[qwen]["revision"]) == (9000, COMMIT)
