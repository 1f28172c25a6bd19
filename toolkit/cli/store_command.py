"""``store``: what the store of coalition values takes on the disk, and how to empty it."""

from __future__ import annotations

import typer


def store(
    clear: bool = typer.Option(False, "--clear", help="Delete every value; they are computed again when needed."),
) -> None:
    """Tell the size of the store of coalition values, or empty it."""
    from toolkit.vlm.engine.store import default_store

    found = default_store()
    size = found.size()
    if clear:
        found.clear()
        typer.echo(f"deleted {size / 1e6:.1f} MB of values from {found.folder}")
    else:
        typer.echo(f"{size / 1e6:.1f} MB of values in {found.folder}, at most {found.max_bytes / 1e6:.0f} MB")
