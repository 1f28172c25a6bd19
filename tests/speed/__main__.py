"""``python -m tests.speed``: measure the engine on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
import typer

from tests.speed import cpu, tables
from toolkit.benchmark.run.run_environment import environment
from toolkit.cli.outputs import check_folder
from toolkit.control_groups import usable_cores
from toolkit.paths import models_dir
from toolkit.vlm.loading.catalogue import CATALOGUE
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.model import LoadedVLM

app = typer.Typer(add_completion=False, help="Measure the scoring engine.")


def _folder(out: Path) -> Path:
    """Refuse a folder that cannot be written before anything is measured."""
    try:
        return check_folder(out)
    except OSError as error:
        raise typer.BadParameter(str(error)) from None


def _checkout(folder: Path) -> Path:
    """Refuse a folder without the toolkit, in whose place the installed one would be measured."""
    if not (folder / "toolkit" / "__init__.py").is_file():
        raise typer.BadParameter(f"{folder} has no toolkit/__init__.py; expected a checkout of another version")
    return folder.resolve()


def embedded_models() -> list[LoadedVLM]:
    """The grounded and biased models that are installed."""
    known = [n for n in CATALOGUE if CATALOGUE[n].source == "embedded" and not n.endswith("-shortcut")]
    return [load_vlm(name, device="cpu") for name in known if (models_dir() / name).is_dir()]


def machine() -> dict[str, str]:
    """Where the numbers were measured."""
    load = " ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    threads = {"threads": str(torch.get_num_threads()), "cores": str(usable_cores()), "load_average": load}
    return {**environment(), **threads}


def _show(out: Path, found: dict[str, list[dict[str, Any]]], where: dict[str, str]) -> None:
    typer.echo("\n".join(f"{key}: {value}" for key, value in where.items()) + "\n")
    typer.echo(tables.as_text(found))
    for path in tables.write(out, found, where):
        typer.echo(f"written: {path}")


@app.command("cpu")
def run_cpu(
    out: Path = typer.Option(Path("results/bench"), callback=_folder, help="Folder for speed.json and speed.txt."),
    quick: bool = typer.Option(False, help="A minute, rough numbers."),
) -> None:
    """Engine against plain path on the embedded models; 20 x and 70 % of the bare rate are the aims on two cores."""
    before = machine()
    found = cpu.bench(embedded_models(), quick=quick, report=lambda line: typer.echo(line, err=True))
    _show(out, found, before)


@app.command("gpu")
def run_gpu(
    out: Path = typer.Option(Path("results/bench-gpu"), callback=_folder, help="Folder for speed.json and speed.txt."),
    family: list[str] | None = typer.Option(None, help="Only this family; repeatable."),
    small: bool = typer.Option(False, help="Small shapes, for a look at the script itself on a CPU."),
    minutes: float = typer.Option(7.5, min=0.1, help="When to stop; what was not measured by then is listed."),
) -> None:
    """Real shapes of the released models with random weights: exactness, speed, and the time of the full grid."""
    from tests.speed import gpu

    unknown = set(family or ()) - set(gpu.FAMILIES)
    if unknown:
        raise typer.BadParameter(f"{min(unknown)!r}; expected one of {', '.join(gpu.FAMILIES)}", param_hint="--family")
    if not small and not torch.cuda.is_available():
        raise typer.BadParameter("no GPU here, so there is nothing to measure; --small runs the script on a CPU")
    before = {"device": gpu.device_name(), **machine()}
    found = gpu.bench(
        family or gpu.FAMILIES, small=small, minutes=minutes, report=lambda line: typer.echo(line, err=True)
    )
    _show(out, found, before)
    if found["left_out"]:
        raise typer.Exit(1)


@app.command("released")
def run_released(
    out: Path = typer.Option(
        Path("results/bench-released"), callback=_folder, help="Folder for speed.json and speed.txt."
    ),
    family: list[str] | None = typer.Option(None, help="Only this family; repeatable."),
    quick: bool = typer.Option(False, help="One turn of few passes, rough numbers."),
) -> None:
    """Metrics and occlusion at the released models' token counts, on narrow random layers."""
    from tests.speed import released

    before = machine()
    found = released.bench(
        family or tuple(released.SHAPES), quick=quick, report=lambda line: typer.echo(line, err=True)
    )
    _show(out, found, before)


@app.command("loading")
def run_loading(
    out: Path = typer.Option(
        Path("results/bench-loading"), callback=_folder, help="Folder for speed.json and speed.txt."
    ),
    quick: bool = typer.Option(False, help="Small shapes, rough numbers."),
) -> None:
    """First and later loads beside transformers' own; 1.3 times is the aim for both, the first load's probe apart."""
    from tests.speed import aims, loading

    before = machine()
    rows = loading.bench(quick=quick, report=lambda line: typer.echo(line, err=True))
    _show(out, {"aims": aims.aim_rows({"loading": rows}, aims.LOADING_AIMS), "loading": rows}, before)


@app.command("explainers")
def run_explainers(
    out: Path = typer.Option(
        Path("results/bench-explainers"), callback=_folder, help="Folder for speed.json and speed.txt."
    ),
    quick: bool = typer.Option(False, help="A small shape, rough numbers."),
) -> None:
    """Explainers on a LLaVA of 576 image tokens with random weights, in plain passes of the same model."""
    from tests.speed import aims, explainers

    before = machine()
    rows = explainers.explainer_rows(quick=quick, report=lambda line: typer.echo(line, err=True))
    _show(out, {"aims": aims.aim_rows({"explainers": rows}, aims.EXPLAINER_AIMS), "explainers": rows}, before)


@app.command("demo")
def run_demo_ratio(
    other: Path = typer.Argument(..., callback=_checkout, help="A checkout to compare with."),
    out: Path = typer.Option(Path("results/bench-demo"), callback=_folder, help="Folder for speed.json and speed.txt."),
    samples: int = typer.Option(12, min=1, help="Samples of each dataset on each model."),
    turns: int = typer.Option(3, min=1, help="How often each checkout is measured."),
) -> None:
    """The demonstration of version 0.1 here and in another checkout: ratio of the times, and the records compared."""
    from tests.speed.demo_ratio import demo_rows

    before = machine()
    rows = demo_rows(other, samples=samples, turns=turns, report=lambda line: typer.echo(line, err=True))
    _show(out, {"demo": rows}, before)


@app.command("validate")
def run_validate_ratio(
    other: Path = typer.Argument(..., callback=_checkout, help="A checkout to compare with."),
    out: Path = typer.Option(
        Path("results/bench-validate"), callback=_folder, help="Folder for speed.json and speed.txt."
    ),
    model: list[str] | None = typer.Option(None, help="Only this model; repeatable. Default: the grounded ones."),
    turns: int = typer.Option(1, min=1, help="How often each checkout is measured."),
) -> None:
    """A tenth of version 0.1's panel here and in another checkout: CPU seconds of each part, and their ratio."""
    from tests.speed.validate_ratio import validate_rows
    from toolkit.audit.validation import PAIRS

    unknown = set(model or ()) - set(PAIRS)
    if unknown:
        raise typer.BadParameter(f"{min(unknown)!r}; expected one of {', '.join(PAIRS)}", param_hint="--model")
    before = machine()
    report = lambda line: typer.echo(line, err=True)  # noqa: E731
    _show(out, {"validate": validate_rows(other, model or tuple(PAIRS), turns=turns, report=report)}, before)


@app.command("executors")
def run_executors(
    out: Path = typer.Option(
        Path("results/bench-executors"), callback=_folder, help="Folder for speed.json and speed.txt."
    ),
    workers: list[int] | None = typer.Option(None, min=1, help="Workers to try; repeatable. Default: one per core."),
    samples: int = typer.Option(2, min=1, help="Samples of each question set on each grounded model."),
    turns: int = typer.Option(3, min=1, help="How often each executor is measured."),
) -> None:
    """Serial, processes and threads on the same units of the demonstration: which is fastest here."""
    from tests.speed.executors import executor_rows
    from toolkit.benchmark.run.presets import demo_spec, embedded_models

    before = machine()
    tried = tuple(workers or [max(2, usable_cores())])
    grounded = tuple(name for name in embedded_models() if name.endswith("grounded"))
    spec = demo_spec(models=grounded, samples=samples, images=0, seeds=(0,))
    rows = executor_rows(spec, workers=tried, turns=turns, report=lambda line: typer.echo(line, err=True))
    _show(out, {"executors": rows}, before)


@app.command("ties")
def run_ties(
    out: Path = typer.Option(Path("results/bench-ties"), callback=_folder, help="Folder for speed.json and speed.txt."),
    quick: bool = typer.Option(False, help="One sample of each model, rough numbers."),
) -> None:
    """How exact scores of maps with ties are, and how many coalitions they ask, by the design of the orders."""
    from tests.speed import ties

    before = machine()
    rows = ties.bench(embedded_models(), quick=quick, report=lambda line: typer.echo(line, err=True))
    _show(out, {"ties": rows}, before)


@app.command("records")
def run_records(
    out: Path = typer.Option(
        Path("results/bench-records"), callback=_folder, help="Folder for speed.json and speed.txt."
    ),
) -> None:
    """Compacting and reporting 12,500 to 50,000 records: at most twice the time and memory per doubling."""
    from tests.stress.scaling import scaling_rows

    before = machine()
    _show(out, {"records": scaling_rows()}, before)


if __name__ == "__main__":
    app()
