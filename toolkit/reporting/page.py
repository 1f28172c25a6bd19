"""Building blocks of the report: plain HTML with everything inside the file, no script needed to read it."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

if TYPE_CHECKING:
    import pandas as pd

_FOLDER = Path(__file__).parent
_TEMPLATES = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True)


@dataclass(frozen=True)
class Section:
    """A part of the report: an anchor, a title, its HTML, and whether it is folded behind its title."""

    anchor: str
    title: str
    body: str
    folded: bool = False


def text(value: object) -> str:
    """Escape."""
    return html.escape(str(value))


def number(value: object, digits: int = 3, *, sign: bool = False) -> str:
    """A number as text; a dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, int):
        return str(value)
    found = f"{float(str(value)):{'+' if sign else ''}.{digits}f}"
    if float(found) == 0:  # no sign of what is too small to be seen
        found = found.lstrip("+-")
    return found.replace("-", "−")


def p_value(value: float) -> str:
    """A p-value, never rounded down to nothing."""
    if not math.isfinite(value):
        return "–"
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"


def paragraph(words: str, kind: str = "") -> str:
    """A paragraph of trusted HTML."""
    return f'<p class="{kind}">{words}</p>' if kind else f"<p>{words}</p>"


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    numeric: Sequence[int] = (),
    wide: Sequence[int] = (),
    classes: Mapping[int, str] | None = None,
) -> str:
    """A table of trusted cells in a box that scrolls by itself where the window is narrow.

    Args:
        head: Column titles.
        rows: Cells, HTML.
        caption: Said under the table.
        numeric: Columns that are set to the right.
        wide: Columns that narrow windows leave out.
        classes: Class of a row, by its number.
    """

    def kind(column: int) -> str:
        names = [name for name, chosen in (("n", numeric), ("wide", wide)) if column in chosen]
        return f' class="{" ".join(names)}"' if names else ""

    top = "".join(f'<th scope="col"{kind(i)}>{cell}</th>' for i, cell in enumerate(head))
    body = []
    for place, row in enumerate(rows):
        name = (classes or {}).get(place)
        cells = "".join(f"<td{kind(i)}>{cell}</td>" for i, cell in enumerate(row))
        body.append(f'<tr class="{name}">{cells}</tr>' if name else f"<tr>{cells}</tr>")
    below = f"<caption>{caption}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="table">'
        f"<table>{below}<thead><tr>{top}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


LONG = 40
"""Texts longer than this are broken into lines in a table."""


def table_text(value: object) -> str:
    """A text cell; a long one may be broken into lines."""
    said = "" if value is None else str(value)
    return f'<span class="long">{text(said)}</span>' if len(said) > LONG else text(said)


def frame_table(
    frame: pd.DataFrame, *, caption: str = "", digits: int = 3, classes: Mapping[int, str] | None = None
) -> str:
    """A data frame as it is; its index is left out."""
    from pandas.api.types import is_numeric_dtype  # a page without such a table does not wait for pandas

    numeric = [i for i, kind in enumerate(frame.dtypes) if is_numeric_dtype(kind)]
    rows = [
        [number(value, digits) if i in numeric else table_text(value) for i, value in enumerate(row)]
        for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False)
    ]
    head = [text(" / ".join(name) if frame.columns.nlevels > 1 else name) for name in frame.columns]
    return table(head, rows, caption=caption, numeric=numeric, classes=classes)


def with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame in which ``x``, ``x low`` and ``x high`` are one column of texts, ``0.85 [0.76, 0.95]``."""
    found = frame.copy()
    for column in [str(name) for name in frame if f"{name} low" in frame]:
        ends = frame[[column, f"{column} low", f"{column} high"]].to_numpy(float)
        texts = [[f"{value:.2f}".replace("-0.00", "0.00") for value in row] for row in ends]
        found[column] = ["–" if "nan" in row[:2] else f"{row[0]} [{row[1]}, {row[2]}]" for row in texts]
        found = found.drop(columns=[f"{column} low", f"{column} high"])
    return found


def details(summary: str, body: str, *, open_: bool = False) -> str:
    """A part that can be folded away."""
    return f"<details{' open' if open_ else ''}><summary>{summary}</summary>{body}</details>"


def card(title: str, body: str) -> str:
    """A box with a title."""
    return f'<div class="card"><h3>{title}</h3>{body}</div>'


def grid(cards: Sequence[str]) -> str:
    """Cards beside each other where there is room."""
    return f'<div class="grid">{"".join(cards)}</div>'


def interval_bar(mean: float, low: float, high: float, limits: tuple[float, float], colour: str, label: str) -> str:
    """A small inline drawing of a mean with its interval over common limits, with zero marked."""
    width, height = 76, 16
    if not math.isfinite(mean):
        return ""
    span = (limits[1] - limits[0]) or 1.0

    def x(value: float) -> float:
        return round(4 + (width - 8) * (value - limits[0]) / span, 1)

    zero = f'<line x1="{x(0)}" x2="{x(0)}" y1="0" y2="{height}" stroke="#9aa3ad" stroke-width="1"/>'
    bar = ""
    if math.isfinite(low) and math.isfinite(high):
        bar = f'<line x1="{x(low)}" x2="{x(high)}" y1="8" y2="8" stroke="{colour}" stroke-width="3" opacity=".6"/>'
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="{text(label)}">'
        f"{zero if limits[0] <= 0 <= limits[1] else ''}{bar}"
        f'<circle cx="{x(mean)}" cy="8" r="4.5" fill="{colour}"/></svg>'
    )


def page(
    title: str, lead: str = "", sections: Sequence[Section] = (), footer: str = "", *, heading: str | None = None,
    body: str = "", kind: str = "drawn",
) -> str:  # fmt: skip
    """The whole document, which needs no other file and no network: every page of the toolkit is made here.

    Args:
        title: Title, plain text.
        lead: What stands under the heading, HTML.
        sections: Parts with an anchor each; links to them stay in sight.
        footer: HTML.
        heading: Another heading than the title.
        body: What stands before the sections, HTML.
        kind: Class of the body in ``style.css``.
    """
    style = (_FOLDER / "style.css").read_text(encoding="utf-8")
    return _TEMPLATES.get_template("page.html.jinja").render(
        title=title, heading=title if heading is None else heading, style=Markup(style),
        lead=Markup(lead), sections=sections, footer=Markup(footer), body=Markup(body), kind=kind,
    )  # fmt: skip
