"""``diagnose``: how much of a model's answers rests on picture, words, either, or both."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import typer

from toolkit.cli.model_options import ModelOptions, with_model_options
from toolkit.cli.outputs import check_page
from toolkit.cli.table import show


@with_model_options
def diagnose(
    model: str = typer.Option("tiny-llava-grounded", help="Name, local folder or hub id of the model."),
    dataset: str = typer.Option("scenes-existence", help="Name of the dataset, or folder:PATH."),
    samples: int = typer.Option(40, min=2, help="Number of samples."),
    split: str = typer.Option("test", help="Split of the dataset."),
    baseline: str = typer.Option("blur", help="What a removed picture becomes: blur, mean or noise."),
    seed: int = typer.Option(0, min=0, help="Seed of the sample choice and of the bootstrap."),
    out: Path | None = typer.Option(None, help="Write the whole report to this .html file."),
    verify: bool = typer.Option(False, "--verify", help="Read and check the whole checkpoint again."),
    source: Path | None = typer.Option(None, help="Folder with a hub dataset's parquet files, instead of the hub."),
    *,
    options: ModelOptions,
) -> None:
    """Measure how much a model's answers rest on each modality.

    Corners, gates, modality shares, text-only accuracy and information of a model on a dataset; the page that --out
    writes has the figure, every sample and the measured noise as well.
    """
    from tqdm import tqdm

    import toolkit
    from toolkit.datasets import DATASETS
    from toolkit.datasets.baselines import BASELINES

    if out is not None:
        check_page(out)
    BASELINES.check(baseline)
    hub = [dataset] if dataset in DATASETS and DATASETS[dataset].is_hub else []
    commit = options.revisions(model, *hub).get(dataset)
    found = toolkit.load_samples(
        dataset, split=split, n=samples, seed=seed, revision=commit, source=source, instruction=options.instruction
    )
    (vlm,) = options.load(model, datasets=hub, verify=verify)
    with tqdm(total=len(found), unit="sample", desc=vlm.name) as bar:
        report = toolkit.diagnose(
            vlm, found, baseline=baseline, seed=seed, progress=lambda done, total: _move(bar, done)
        )
    rows = [
        (quantity.name, f"{quantity.value:+.3f}", _interval(quantity.low, quantity.high), quantity.unit)
        for quantity in report.quantities
        if quantity.reason is None
    ]
    show(("quantity", "value", "95 % interval", "unit"), rows)
    truth = report.confusion()
    if len(truth):
        typer.echo(f"\nmeasured gate of {int(truth.to_numpy().sum())} rightly answered samples, by their true gate:")
        show(("by construction", *truth.columns), [(str(name), *row) for name, row in truth.iterrows()])
        typer.echo("")
    typer.echo(report.verdict)
    for name, reason in report.failures.items():
        typer.echo(f"not measured: {name}: {reason}", err=True)
    if out is not None:
        from toolkit.reporting.redundancy_page import redundancy_page

        out.write_text(redundancy_page(report), encoding="utf-8")
        typer.echo(str(out))


def _move(bar: Any, done: int) -> None:
    bar.update(done - bar.n)


def _interval(low: float, high: float) -> str:
    return "-" if math.isnan(low) else f"[{low:+.3f}, {high:+.3f}]"
