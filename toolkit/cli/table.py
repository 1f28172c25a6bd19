"""Plain tables for the terminal: aligned, and folded to the window's width."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import pairwise

import typer

GAP = "  "
SMALLEST = 24
"""A last column narrower than this goes to a line of its own."""


def window_width() -> int | None:
    """Columns of the terminal, or None where the output goes to a file or a pipe and ``COLUMNS`` is not set."""
    if (sys.stdout is not None and sys.stdout.isatty()) or os.environ.get("COLUMNS", "").isdigit():
        return max(40, shutil.get_terminal_size().columns)
    return None


def show(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table; in a terminal, rows that are too long are folded and the last column is wrapped."""
    for line in layout(header, rows, window_width()):
        typer.echo(line)


def layout(header: Sequence[str], rows: Sequence[Sequence[object]], width: int | None) -> list[str]:
    """Lines of a table.

    Args:
        header: Column titles.
        rows: Cells.
        width: Characters per line, or None for as many as it takes.
    """
    cells = [tuple(header), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    groups = _folds(widths, width)
    return [text for line in cells for text in _lines(line, widths, groups, width)]


def _folds(widths: Sequence[int], width: int | None) -> list[tuple[int, int]]:
    """Column ranges, one per line of a record; the last column may be wrapped, the others not."""
    starts, used = [0], 0
    for i, n in enumerate(widths):
        needed = min(n, SMALLEST) if i == len(widths) - 1 else n
        indent = len(GAP) if len(starts) > 1 else 0
        if width is not None and i > starts[-1] and used + indent + needed > width:
            starts.append(i)
            used = 0
        used += n + len(GAP)
    return list(pairwise([*starts, len(widths)]))


def _lines(
    cells: Sequence[str], widths: Sequence[int], groups: Sequence[tuple[int, int]], width: int | None
) -> list[str]:
    found = []
    for number, (a, b) in enumerate(groups):
        start = (GAP if number else "") + "".join(f"{cells[i]:<{widths[i]}}{GAP}" for i in range(a, b - 1))
        last = cells[b - 1]
        room = None if width is None else max(SMALLEST // 2, width - len(start))
        wrapped = [last] if room is None or len(last) <= room else textwrap.wrap(last, room, break_long_words=False)
        found.append((start + (wrapped[0] if wrapped else "")).rstrip())
        found += [" " * len(start) + more for more in wrapped[1:]]
    return found


def footnotes(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """A mark per text, equal for equal texts, and the notes below the table that explain the marks."""
    distinct = list(dict.fromkeys(texts))
    marks = [f"[{distinct.index(text) + 1}]" for text in texts]
    return marks, [f"[{number}] {text}" for number, text in enumerate(distinct, start=1)]


def echo_wrapped(text: str) -> None:
    """Write a paragraph, wrapped to the terminal's width with a hanging indent."""
    width = window_width()
    typer.echo(text if width is None else textwrap.fill(text, width, subsequent_indent="    ", break_long_words=False))
