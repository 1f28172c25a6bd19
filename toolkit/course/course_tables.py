"""Tables for the lessons: rounded, aligned, never cut off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.widgets.base_widget import table_html

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """A table of texts that a notebook shows as HTML and a terminal as plain text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def _repr_html_(self) -> str:
        return table_html(self.header, self.rows)

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.header))]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )


def show(values: pd.DataFrame | Mapping[str, Any], *, digits: int = 2, name: str = "", value: str = "value") -> Table:
    """A table of a data frame, its index first, or of a mapping, one line per key.

    Args:
        values: What to show.
        digits: Decimals of numbers that are not whole by type.
        name: Heading of the first column.
        value: Heading of the second column of a mapping.
    """
    if isinstance(values, Mapping):
        return Table((name, value), tuple((str(key), _text(found, digits)) for key, found in values.items()))
    rows = (
        (str(key), *(_text(found, digits) for found in line))
        for key, line in zip(values.index, values.itertuples(index=False), strict=True)
    )
    return Table((name or str(values.index.name or ""), *map(str, values.columns)), tuple(rows))


def _text(value: Any, digits: int) -> str:
    if isinstance(value, float | np.floating):
        return f"{round(float(value), digits) + 0.0:.{digits}f}"
    return str(value)
