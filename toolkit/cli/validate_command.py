"""``validate``: can the metrics be trusted?"""

from __future__ import annotations

from pathlib import Path

import typer

from toolkit.cli.names import names_of
from toolkit.cli.outputs import check_folder
from toolkit.cli.table import show


def validate(
    out: Path = typer.Option(Path("results/validity"), help="Folder of the report; made if it does not exist."),
    metrics: str | None = typer.Option(
        None, help="Metrics to judge, separated by commas; default: the paper's and ours."
    ),
    models: str | None = typer.Option(None, help="Embedded models, separated by commas; default: those installed."),
    samples: int = typer.Option(90, min=4, help="Samples per grounded model for the controls."),
    seed: int = typer.Option(0, min=0, help="Seed of the samples."),
    workers: int = typer.Option(2, min=1, help="Processes."),
) -> None:
    """Judge every metric by controls with a known answer."""
    check_folder(out)
    from toolkit.audit.validation import JUDGED
    from toolkit.audit.validation import validate as judge

    report = judge(
        out,
        metrics=JUDGED if metrics is None else names_of("--metrics", metrics),
        models=names_of("--models", models) if models else None if models is None else [],
        samples=samples,
        seed=seed,
        workers=workers,
        progress=lambda message: typer.echo(message, err=True),
    )
    summary = report.panel.summary()
    show(("passed of judged", *report.panel.metrics), [(row.Index, *row[1:]) for row in summary.itertuples()])
    for metric in report.panel.metrics:
        typer.echo(report.panel.verdict(metric))
    typer.echo(str(out))
