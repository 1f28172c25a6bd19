"""``doctor``: check the installation."""

from __future__ import annotations

import typer


def doctor() -> None:
    """Check versions, device, memory, cache, widgets and the embedded models; say what to do about problems."""
    from toolkit.environment import doctor as examine

    diagnosis = examine()
    typer.echo(str(diagnosis))
    if not diagnosis.ok:
        raise typer.Exit(1)
