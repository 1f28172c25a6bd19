"""The redundancy report as one self-contained page."""

from __future__ import annotations

import html
import math

import numpy as np
import pandas as pd

from toolkit.redundancy.redundancy_report import RedundancyReport
from toolkit.reporting.plots.redundancy_figure import draw_report


def redundancy_page(report: RedundancyReport) -> str:
    """The whole report as HTML: verdict, figure, numbers, gates and samples."""
    table = report.table().drop(columns=["reason"]).rename(columns={"low": "95 % from", "high": "to"})
    truth = report.confusion()
    parts = [
        f"<h1>Redundancy: {html.escape(report.model)} on {html.escape(report.dataset)}</h1>",
        f"<p><strong>{html.escape(report.verdict)}</strong></p>",
        draw_report(report).html(),
        "<h2>Numbers</h2>", _html(table),
        "<p>Intervals: bootstrap over pictures. Where every sample says the same, the bootstrap has no width; by "
        f"the rule of three the true share may still lie about {3 / max(len(report.records), 3):.2f} away.</p>",
        f"<p>Noise of one measurement (spread over {report.noise.n_baselines} baselines, pooled): synergy "
        f"{report.noise.sd.synergy:.3f}, redundancy {report.noise.sd.redundancy:.3f}, text {report.noise.sd.text:.3f}, "
        f"image {report.noise.sd.image:.3f}. {len(report.failures)} samples failed.</p>",
        "<h2>Measured gate against the gate by construction</h2>"
        f"<p>Rows: by construction. Columns: measured. Over the {int(truth.to_numpy().sum())} of "
        f"{len(report.records)} samples that the model answers rightly: on a wrong answer another answer is measured "
        f"than the one whose gate is known.</p>{_html(truth)}" if len(truth) else "",
        "<h2>Samples</h2>", _html(report.samples()),
    ]  # fmt: skip
    return _PAGE.format(title=html.escape(f"{report.model} on {report.dataset}"), body="\n".join(parts))


def _html(table: pd.DataFrame) -> str:
    """A table with one row of headings; numbers stand right, words left; wide tables scroll by themselves."""
    cells = []
    for name, row in table.iterrows():
        told = "".join(_cell(value) for value in row)
        cells.append(f"<tr><th>{html.escape(str(name))}</th>{told}</tr>")
    numbers = [pd.api.types.is_numeric_dtype(table[column]) for column in table.columns]
    heads = "".join(
        f"<th{' class=n' if number else ''}>{html.escape(str(column))}</th>"
        for column, number in zip(table.columns, numbers, strict=True)
    )
    body = "\n".join(cells)
    return f'<div class="wide"><table><thead><tr><th></th>{heads}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f'<td class="n">{"" if math.isnan(value) else f"{value:.3f}"}</td>'
    if isinstance(value, int | np.integer):
        return f'<td class="n">{value}</td>'
    return f"<td>{'' if value is None else html.escape(str(value))}</td>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="generator" content="vlm-synergy-toolkit">
<title>{title}</title>
<style>body{{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#1f2430}}
table{{border-collapse:collapse;font-size:13px}}
td,th{{border-bottom:1px solid #e5e7eb;padding:.25em .6em;text-align:left;white-space:nowrap}}
.n{{text-align:right}}.wide{{overflow-x:auto}}figure{{margin:1em 0}}img{{max-width:100%}}</style></head>
<body>
{body}
</body></html>
"""
