"""``benchmark``: run, resume and report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from toolkit.cli.errors import INTERRUPTED, TERMINATED
from toolkit.cli.model_options import ModelOptions, with_model_options
from toolkit.cli.names import names_of
from toolkit.cli.outputs import check_page
from toolkit.cli.server_cost import confirm_run
from toolkit.cli.table import echo_wrapped

if TYPE_CHECKING:
    from toolkit.benchmark.run.spec import BenchmarkSpec

app = typer.Typer(help="Evaluate explainers on models and datasets.", no_args_is_help=True, rich_markup_mode=None)


def _names(option: str, text: str | None) -> list[str] | None:
    return None if text is None else names_of(option, text)


def _pair(text: str) -> tuple[str, str]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise ValueError(f"--source {text!r}: expected NAME=FOLDER")
    return name, folder


def _fields(words: list[str], taken: set[str]) -> dict[str, Any]:
    """The fields given by --set."""
    import yaml

    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.strip().replace("-", "_")
        if not (name and equals):
            raise ValueError(f"--set {word!r}: expected FIELD=VALUE")
        if name in found or name in taken:
            raise ValueError(f"--set {word!r}: {name} is given twice")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError(f"--set {word!r}: {value!r} is not YAML; put quotes around a text") from None
    return found


@app.command()
@with_model_options
def run(
    spec: Path | None = typer.Argument(None, help="A YAML specification; options override its fields."),
    preset: str | None = typer.Option(None, help="Start from demo, paper or correct instead of a specification."),
    models: str | None = typer.Option(None, help="Models, separated by commas."),
    datasets: str | None = typer.Option(None, help="Datasets, separated by commas."),
    explainers: str | None = typer.Option(None, help="Explainers, separated by commas."),
    samples: int | None = typer.Option(None, min=1, help="Samples per dataset."),
    seeds: str | None = typer.Option(None, help="Seeds, separated by commas."),
    steps: int | None = typer.Option(None, min=1, help="Steps K of every curve."),
    baseline: str | None = typer.Option(None, help="blur, mean or noise."),
    executor: str | None = typer.Option(None, help="serial, processes or ray."),
    workers: int | None = typer.Option(None, min=1, help="Model replicas that work at the same time."),
    ray_address: str | None = typer.Option(None, help="Address of a Ray cluster; default: one on this machine."),
    gpus_per_worker: float | None = typer.Option(None, min=0, help="GPUs of each worker on Ray; 0.5 shares one."),
    source: list[str] = typer.Option(
        [], help="NAME=FOLDER with a hub dataset's parquet files, instead of the hub; may be given several times."
    ),
    max_failed: float | None = typer.Option(None, help="Largest share of failed records that counts as a success."),
    retry_failed: bool = typer.Option(
        False, "--retry-failed", "--retry", help="Evaluate again what failed in an earlier run."
    ),
    out: Path | None = typer.Option(None, help="Folder of the run; an interrupted run there goes on."),
    field: list[str] = typer.Option(
        [], "--set", help="FIELD=VALUE of any other field of a specification, VALUE as YAML: --set images=0"
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Print passes, memory and time, and evaluate nothing."),
    *,
    options: ModelOptions,
) -> None:
    """Run a benchmark, or go on with one.

    Exit with 1 where more records failed than allowed; an interrupted run goes on when it is started again.
    """
    given: dict[str, Any] = {
        "models": _names("--models", models),
        "datasets": _names("--datasets", datasets),
        "explainers": _names("--explainers", explainers),
        "samples": samples,
        "seeds": _names("--seeds", seeds),
        "steps": steps,
        "baseline": baseline,
        "executor": executor,
        "workers": workers,
        "ray_address": ray_address,
        "gpus_per_worker": gpus_per_worker,
        "sources": dict(map(_pair, source)) or None,
        "max_failed": max_failed,
        "retry_failed": retry_failed or None,
        "out": out,
    }
    chosen = {name: value for name, value in given.items() if value is not None} | options.fields()
    _evaluate(_specification(spec, preset, {**chosen, **_fields(field, set(chosen))}), dry_run=dry_run)


def _specification(path: Path | None, preset: str | None, chosen: dict[str, Any]) -> BenchmarkSpec:
    """The specification of a file, of a preset or of nothing, with the chosen fields instead of its own."""
    from toolkit.benchmark.run.presets import PRESETS
    from toolkit.benchmark.run.spec import load_spec, make_spec

    if path is not None and preset is not None:
        raise ValueError("give a specification or --preset, not both")
    if preset is not None:
        return PRESETS[preset](**chosen)
    fields = {} if path is None else load_spec(path).model_dump(exclude_unset=True)
    return make_spec({**fields, **chosen}, "command line" if path is None else str(path))


@app.command()
def demo(
    out: Path = typer.Option(Path("results/demo"), help="Folder of the run; an interrupted run there goes on."),
    samples: int | None = typer.Option(None, min=1, help="Samples per dataset, instead of the preset's."),
) -> None:
    """Evaluate the embedded models and write the report."""
    from toolkit.benchmark.run.presets import demo_spec

    changes = {} if samples is None else {"samples": samples}
    _evaluate(demo_spec(out=out, **changes), dry_run=False)
    report(out)


@app.command()
def report(folder: Path = typer.Argument(help="Folder of a run, finished or not.")) -> None:
    """Write the report of a run: one page, and its tables as CSV."""
    from toolkit.benchmark.report.write_report import write_report

    typer.echo(str(write_report(folder)))


@app.command()
def compare(
    first: Path = typer.Argument(help="Folder of a run."),
    second: Path = typer.Argument(help="Folder of another run on the same samples."),
    out: Path = typer.Option(Path("comparison.html"), help="The page to write."),
    metric: str | None = typer.Option(None, help="Metric to compare; default: the first run's headline."),
) -> None:
    """Compare two runs sample by sample, and write a page."""
    from toolkit.benchmark.report.compare import write_comparison

    check_page(out)
    typer.echo(str(write_comparison(first, second, out, metric=metric)))


def _evaluate(spec: BenchmarkSpec, *, dry_run: bool) -> None:
    if dry_run:
        from toolkit.benchmark.run.run_cost import dry_run as plan
        from toolkit.benchmark.run.workspace import check_spec

        check_spec(spec, pinned=False)
        for line in str(plan(spec)).splitlines():
            echo_wrapped(line)
        return
    from toolkit.benchmark.run.runner import Terminated, run_benchmark
    from toolkit.datasets.hub import unpinned_note

    spec = confirm_run(spec)
    try:
        summary = run_benchmark(spec)
    except KeyboardInterrupt as stop:
        typer.echo("interrupted: what was recorded is kept, and the same command goes on with it", err=True)
        raise typer.Exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED) from None
    typer.echo(str(summary))
    for name in spec.datasets:
        note = unpinned_note(name, spec.revisions.get(name))
        if note is not None:
            typer.echo(f"note: {note}", err=True)
    if summary.exit_status:
        raise typer.Exit(summary.exit_status)
