"""The redundancy report: one table, one figure, one sentence."""

from __future__ import annotations

import html
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from toolkit.redundancy.corners import CornerRecord
from toolkit.redundancy.gates import GATES, Noise, Parts, classify, confusion, parts
from toolkit.redundancy.shares import modality_shares
from toolkit.redundancy.summary import Quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_READING = {
    "synergy": "needs image and text together",
    "redundancy": "could answer from either modality alone",
    "text-only": "answers from the text alone",
    "image-only": "answers from the image alone",
    "neither": "depends on neither modality beyond the measured noise",
}


@dataclass(frozen=True)
class RedundancyReport:
    """What :func:`toolkit.diagnose` found.

    Attributes:
        model: Name of the model.
        dataset: Name of the dataset.
        baseline: Main baseline.
        records: The corners of every sample.
        noise: Measured noise and the thresholds made from it.
        quantities: Numbers of the whole dataset with their intervals.
        failures: Samples that could not be measured, with the reason.
    """

    model: str
    dataset: str
    baseline: str
    records: tuple[CornerRecord, ...] = field(repr=False)
    noise: Noise
    quantities: tuple[Quantity, ...] = field(repr=False)
    failures: dict[str, str]

    def __getitem__(self, name: str) -> Quantity:
        """A quantity by name, for example ``report["text share"]``.

        Raises:
            KeyError: There is none; the message lists the names.
        """
        found = {quantity.name: quantity for quantity in self.quantities}
        if name not in found:
            raise KeyError(f"no quantity {name!r}; there are: {', '.join(found)}")
        return found[name]

    @property
    def gates(self) -> tuple[str, ...]:
        """Measured gate of each sample."""
        return tuple(classify(record.corners, self.noise.threshold) for record in self.records)

    def table(self) -> pd.DataFrame:
        """One line per quantity: value, 95 % interval clustered by picture, n, unit, meaning."""
        return pd.DataFrame([asdict(quantity) for quantity in self.quantities]).set_index("name")

    def samples(self) -> pd.DataFrame:
        """One line per sample: corners, effects, shares, gates, answers."""
        rows = []
        for record, gate in zip(self.records, self.gates, strict=True):
            sample, found, shares = record.sample, parts(record.corners), modality_shares(record.corners)
            rows.append(
                {
                    "sample": sample.id, "question": sample.question, "right answer": sample.answer,
                    "target": record.target, "said without image": record.said("text"),
                    "both": record.corners.both, "image": record.corners.image, "text": record.corners.text,
                    "empty": record.corners.empty, "dividend": record.corners.dividend,
                    "synergy part": found.synergy, "redundancy part": found.redundancy, "text part": found.text,
                    "image part": found.image, "Shapley image": shares.image, "Shapley text": shares.text,
                    "gate": gate, "gate by construction": sample.truth.gate if sample.truth else None,
                    "image_id": record.cluster, "category": sample.category,
                }
            )  # fmt: skip
        return pd.DataFrame(rows).set_index("sample")

    def confusion(self, *, same_rule: bool = False) -> pd.DataFrame:
        """Measured gate against the gate by construction, over the samples that the model answers rightly.

        On a wrong answer the corners score another answer than the one whose gate is known.

        Args:
            same_rule: Read the gate by construction off the Bayes corners by the rule that reads the measured one, so
                that only the model, and not the rule, can differ.
        """
        exact = Parts(0.0, 0.0, 0.0, 0.0)
        known = [
            (classify(r.sample.truth.bayes, exact) if same_rule else r.sample.truth.gate, gate)
            for r, gate in zip(self.records, self.gates, strict=True)
            if r.sample.truth is not None and r.target == r.sample.answer
        ]
        return confusion([truth for truth, _ in known], [gate for _, gate in known])

    @property
    def verdict(self) -> str:
        """One sentence that a learner can quote, built from the numbers only."""
        top = max(GATES, key=lambda gate: self[f"gate, {gate}"].value)
        gate, prior = self[f"gate, {top}"], self["language-prior rate"]
        interaction = self["total interaction"]
        told = f"{self.model} on {self.dataset} mostly {_READING[top]} ({_percent(gate)} of {gate.n} samples)"
        full, text, constant = (self[f"accuracy, {name}"] for name in ("both", "text", "constant answer"))
        if full.reason is None:
            told += f"; it is right in {_percent(full)}, without the image in {_percent(text)} "
            told += f"({constant.value:.0%} for a constant answer)"
        if prior.reason is None:
            told += f", and keeps a wrong text-only answer in {_percent(prior)}"
        return f"{told}; mean interaction {interaction.value:+.2f} [{interaction.low:+.2f}, {interaction.high:+.2f}]."

    def figure(self) -> Figure:
        """Corner plot, gate shares and information, in one matplotlib figure."""
        from toolkit.reporting.plots.redundancy_figure import draw_report

        return draw_report(self).figure

    def to_html(self, path: Path | str | None = None) -> str:
        """The whole report as one self-contained page; also written to ``path`` if one is given."""
        from toolkit.reporting.plots.redundancy_figure import draw_report

        table = self.table().drop(columns=["reason"]).rename(columns={"low": "95 % from", "high": "to"})
        truth = self.confusion()
        parts = [
            f"<h1>Redundancy: {html.escape(self.model)} on {html.escape(self.dataset)}</h1>",
            f"<p><strong>{html.escape(self.verdict)}</strong></p>",
            draw_report(self).html(),
            "<h2>Numbers</h2>", _html(table),
            "<p>Intervals: bootstrap over pictures. Where every sample says the same, the bootstrap has no width; by "
            f"the rule of three the true share may still lie about {3 / max(len(self.records), 3):.2f} away.</p>",
            f"<p>Noise of one measurement (spread over {self.noise.n_baselines} baselines, pooled): synergy "
            f"{self.noise.sd.synergy:.3f}, redundancy {self.noise.sd.redundancy:.3f}, text {self.noise.sd.text:.3f}, "
            f"image {self.noise.sd.image:.3f}. {len(self.failures)} samples failed.</p>",
            "<h2>Measured gate against the gate by construction</h2>"
            f"<p>Rows: by construction. Columns: measured. Over the {int(truth.to_numpy().sum())} of "
            f"{len(self.records)} samples that the model answers rightly: on a wrong answer another answer is measured "
            f"than the one whose gate is known.</p>{_html(truth)}" if len(truth) else "",
            "<h2>Samples</h2>", _html(self.samples()),
        ]  # fmt: skip
        page = _PAGE.format(title=html.escape(f"{self.model} on {self.dataset}"), body="\n".join(parts))
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page


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


def _percent(quantity: Quantity) -> str:
    return f"{quantity.value:.0%}"


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
