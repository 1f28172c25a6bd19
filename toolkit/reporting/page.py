"""Building blocks of the report: plain HTML with everything inside the file, no script needed to read it."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

STYLE = """
:root{color-scheme:light;--ink:#1f2430;--faint:#5b6472;--line:#dfe3e8;--soft:#f5f7f9;--blue:#0072B2}
*{box-sizing:border-box}
body{margin:0;color:var(--ink);background:#fff;font:16px/1.55 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
main,header{max-width:1236px;margin:0 auto;padding:0 18px}
header{padding-top:30px}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .3rem}
h2{font-size:1.35rem;margin:2.6rem 0 .5rem;padding-top:.7rem;border-top:2px solid var(--ink)}
h3{font-size:1.05rem;margin:1.4rem 0 .4rem}
p{max-width:76ch;margin:.5rem 0}
.lead{font-size:1.08rem}
.faint,figcaption,caption{color:var(--faint);font-size:.88rem}
caption{text-align:left;caption-side:bottom;padding-top:.4rem}
nav{margin:1rem 0;display:flex;flex-wrap:wrap;gap:.3rem .9rem;font-size:.93rem}
a{color:var(--blue)}
.chips{display:flex;flex-wrap:wrap;gap:.5rem;margin:.9rem 0}
.chip{background:var(--soft);border:1px solid var(--line);border-radius:8px;padding:.35rem .8rem}
.chip b{font-size:1.15rem;margin-right:.3rem}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,520px),1fr));gap:1.2rem;align-items:start}
.card{border:1px solid var(--line);border-radius:10px;padding:.8rem 1rem;background:#fff;break-inside:avoid;min-width:0}
.card h3{margin-top:.1rem}
.scroll{overflow-x:auto;max-width:100%}
.card table{width:100%;font-size:.82rem}
table{border-collapse:collapse;font-size:.88rem;min-width:min(100%,26rem)}
th,td{text-align:left;padding:.3rem .5rem;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:middle}
th{font-weight:600;background:var(--soft);white-space:normal}
.card th,.card td{padding:.24rem .24rem}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
td .bad{font-size:.9em}
td .long{display:inline-block;white-space:normal;min-width:11rem;max-width:30rem;overflow-wrap:anywhere}
tr.control td{color:var(--faint);font-style:italic}
figure{margin:.4rem 0}
figure img{display:block;width:100%;max-width:560px}
details{margin:.5rem 0}
summary{cursor:pointer;color:var(--blue)}
.good{color:#00664b;font-weight:600}.bad{color:#a03c00;font-weight:600}.none{color:var(--faint)}
.maps{display:flex;flex-wrap:wrap;gap:.8rem}
.map{width:154px;font-size:.82rem}
section>.card{margin-top:1rem}
.map figure img{width:154px;height:auto;border-radius:6px;border:1px solid var(--line)}
.map .words{line-height:1.9}
.map table{font-size:.74rem;min-width:0}.map td{padding:.1rem .2rem;white-space:normal}
.question{font-size:1rem}
code{background:var(--soft);padding:.05rem .25rem;border-radius:4px;overflow-wrap:anywhere}
footer{max-width:1236px;margin:3rem auto 2rem;padding:0 18px;color:var(--faint);font-size:.88rem}
@media (max-width:560px){body{font-size:15px}main,header,footer{padding:0 14px}h1{font-size:1.5rem}
.card{padding:.7rem .6rem}.map{width:calc(50% - .4rem)}.map figure img{width:100%}
table,.card table{font-size:.78rem}
.wide{display:none}th,td{padding:.28rem .35rem}}
@page{size:A4;margin:12mm}
@media print{html,body{font-size:9.5px}nav{display:none}.card{border-color:#bbb;padding:.5rem .6rem}
h2,h3{break-after:avoid}tr,figure,.map{break-inside:avoid}main,header,footer{max-width:none;padding:0}
.scroll{overflow:visible}.grid{grid-template-columns:1fr 1fr;gap:.8rem}.wide{display:table-cell}
p{break-inside:avoid}section>p:has(+.grid){break-after:avoid}td svg{width:44px}}
"""


@dataclass(frozen=True)
class Section:
    """A part of the report: an anchor, a title, and its HTML."""

    anchor: str
    title: str
    body: str


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


def text_cell(value: object) -> str:
    """A text cell; a long one may be broken into lines."""
    said = "" if value is None else str(value)
    return f'<span class="long">{text(said)}</span>' if len(said) > LONG else text(said)


def frame_table(frame: pd.DataFrame, *, caption: str = "", digits: int = 3) -> str:
    """A data frame as it is."""
    numeric = [i for i, name in enumerate(frame.columns) if pd.api.types.is_numeric_dtype(frame[name])]
    rows = [
        [number(value, digits) if i in numeric else text_cell(value) for i, value in enumerate(row)]
        for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False)
    ]
    return table([text(name) for name in frame.columns], rows, caption=caption, numeric=numeric)


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


def page(title: str, lead: str, sections: Sequence[Section], footer: str) -> str:
    """The whole document."""
    links = "".join(f'<a href="#{section.anchor}">{section.title}</a>' for section in sections)
    body = "".join(
        f'<section id="{section.anchor}"><h2>{section.title}</h2>{section.body}</section>\n' for section in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="generator" content="vlm-synergy-toolkit">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n<body><header><h1>{text(title)}</h1>{lead}"
        f'<nav aria-label="Sections">{links}</nav></header>\n<main>{body}</main>\n'
        f"<footer>{footer}</footer></body></html>\n"
    )
