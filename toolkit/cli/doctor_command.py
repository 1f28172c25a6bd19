"""``doctor``: check the installation, or a GPU."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer

from toolkit.cli.table import show, window_width


def doctor(
    gpu: bool = typer.Option(
        False, "--gpu", help="Measure the GPU instead, within eight minutes: exactness, time and memory."
    ),
    minutes: float = typer.Option(7.5, min=0.1, help="With --gpu: when to stop."),
    out: Path | None = typer.Option(None, help="With --gpu: also write what was found to this .json file."),
) -> None:
    """Check the installation, and say what to do about problems.

    Versions, device, memory, network, cache, widgets and the embedded models; exit with 1 where something is missing.
    With --gpu the released models' shapes are measured with random weights on the GPU of this machine; exit with 1
    where something could not be measured.
    """
    if gpu:
        _measure(minutes, out)
        return
    from toolkit.environment import doctor as examine

    diagnosis = examine()
    typer.echo(diagnosis.text(window_width()))
    if not diagnosis.ok:
        raise typer.Exit(1)


def _measure(minutes: float, out: Path | None) -> None:
    if out is not None and out.suffix != ".json":
        raise ValueError(f"--out {str(out)!r}: expected a name that ends in .json")
    from toolkit.audit.gpu.gpu_check import gpu_check

    found = gpu_check(minutes=minutes, report=lambda line: typer.echo(line, err=True))
    typer.echo(found.device)
    for header, rows in found.tables():
        typer.echo("")
        show(header, rows)
    if out is not None:
        out.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
        typer.echo(str(out))
    if found.left_out:
        raise typer.Exit(1)
