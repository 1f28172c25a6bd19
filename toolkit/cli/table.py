"""Plain tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import typer


def show(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table with aligned columns; the last column is not padded."""
    lines = [tuple(header), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header) - 1)]
    for line in lines:
        cells = [f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False)]
        typer.echo("  ".join([*cells, line[-1]]).rstrip())
