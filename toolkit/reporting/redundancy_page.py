"""The redundancy report as one self-contained page."""

from __future__ import annotations

import html

from toolkit.redundancy.redundancy_report import RedundancyReport
from toolkit.reporting.page import frame_table, page
from toolkit.reporting.plots.redundancy_figure import draw_report


def redundancy_page(report: RedundancyReport) -> str:
    """The whole report as HTML: verdict, figure, numbers, gates and samples."""
    table = report.table().drop(columns=["reason"]).rename(columns={"low": "95 % from", "high": "to"})
    truth = report.confusion()
    gates = frame_table(truth.reset_index(names="by construction"))
    parts = [
        draw_report(report).html(),
        "<h2>Numbers</h2>", frame_table(table.reset_index()),
        "<p>Intervals: bootstrap over pictures. Where every sample says the same, the bootstrap has no width; by "
        f"the rule of three the true share may still lie about {3 / max(len(report.records), 3):.2f} away.</p>",
        f"<p>Noise of one measurement (spread over {report.noise.n_baselines} baselines, pooled): synergy "
        f"{report.noise.sd.synergy:.3f}, redundancy {report.noise.sd.redundancy:.3f}, text {report.noise.sd.text:.3f}, "
        f"image {report.noise.sd.image:.3f}. {len(report.failures)} samples failed.</p>",
        "<h2>Measured gate against the gate by construction</h2>"
        f"<p>Rows: by construction. Columns: measured. Over the {int(truth.to_numpy().sum())} of "
        f"{len(report.records)} samples that the model answers rightly: on a wrong answer another answer is measured "
        f"than the one whose gate is known.</p>{gates}" if len(truth) else "",
        "<h2>Samples</h2>", frame_table(report.samples().reset_index()),
    ]  # fmt: skip
    title = f"Redundancy: {report.model} on {report.dataset}"
    lead = f'<p class="lead"><strong>{html.escape(report.verdict)}</strong></p>'
    return page(title, lead, body="\n".join(parts), kind="large")
