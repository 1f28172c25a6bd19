"""``doctor``: check the installation."""

from __future__ import annotations

import typer


def doctor() -> None:
    """Check the installation, and say what to do about problems.

    Versions, device, memory, network, cache, widgets and the embedded models; exit with 1 where something is missing.
    """
    from toolkit.cli.table import window_width
    from toolkit.environment import doctor as examine

    diagnosis = examine()
    typer.echo(diagnosis.text(window_width()))
    if not diagnosis.ok:
        raise typer.Exit(1)
