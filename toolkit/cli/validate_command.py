"""``validate``: can the metrics be trusted?"""

from __future__ import annotations

from pathlib import Path

import typer

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

    def names(text: str | None) -> list[str] | None:
        return None if text is None else [name.strip() for name in text.split(",") if name.strip()]

    report = judge(
        out,
        metrics=names(metrics) or JUDGED,
        models=names(models),
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
