"""Sample browser: leaf through the embedded world, with evidence, gate, Bayes corners and the models' answers."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import ipywidgets as w
from PIL import Image, ImageDraw

from toolkit.datasets.sample import Sample
from toolkit.scenes.generator import default_strength, sample_at
from toolkit.vlm.protocol import VLM
from toolkit.widgets.base_widget import (
    BaseWidget,
    ImageView,
    column,
    dropdown,
    figure_html,
    on_change,
    row,
    slider,
    status_html,
    table_html,
)
from toolkit.widgets.views import png

SIDE = 320

DATASETS = ("scenes-existence", "scenes-choice", "scenes-mixed", "scenes-everyday")


def marked_image(sample: Sample, *, side: int = SIDE, evidence: bool = True) -> Image.Image:
    """The picture, with a frame around each region that decides the answer."""
    shown = sample.sheet.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    if evidence and sample.truth is not None:
        pen = ImageDraw.Draw(shown)
        for box in sample.truth.evidence_boxes:
            x0, y0, x1, y1 = (round(edge * side) for edge in box)
            pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline="white", width=5)
            pen.rectangle((x0 + 1, y0 + 1, x1 - 2, y1 - 2), outline="#1f2430", width=2)
    return shown


def marked_question(sample: Sample, *, evidence: bool = True) -> str:
    """The question as HTML, the words that decide the answer in bold and underlined."""
    words = sample.question.split()
    deciding = set(sample.truth.evidence_words) if evidence and sample.truth is not None else set()
    shown = [
        f"<b><u>{html.escape(word)}</u></b>" if number in deciding else html.escape(word)
        for number, word in enumerate(words)
    ]
    return f'<div style="font-size:16px;line-height:1.4">{" ".join(shown)}</div>'


def truth_rows(sample: Sample) -> list[tuple[str, str]]:
    """What is known about a generated sample."""
    rows = [("right answer", str(sample.answer))]
    if sample.truth is not None:
        corners = sample.truth.bayes
        rows += [
            ("family", sample.truth.family),
            ("gate by construction", sample.truth.gate),
            ("answer that folklore favours", str(sample.truth.prior_answer or "none")),
            ("Bayes value with both", f"{corners.both:.2f}"),
            ("with the picture only", f"{corners.image:.2f}"),
            ("with the words only", f"{corners.text:.2f}"),
            ("with neither", f"{corners.empty:.2f}"),
        ]
    return rows


class SampleBrowser(BaseWidget):
    """Leaf through samples of the embedded world.

    Args:
        models: Models whose answers are shown; none are needed.
        datasets: Names of scenes datasets.
        n: How many samples one can leaf through.
    """

    def __init__(
        self, models: Mapping[str, VLM] | None = None, datasets: Sequence[str] = DATASETS, *, n: int = 24
    ) -> None:
        if not datasets or n < 1:
            raise ValueError(f"expected datasets and at least one sample, got {len(datasets)} and n={n}")
        self.models, self.n = dict(models or {}), n
        self._known: dict[tuple[str, float, int], Sample] = {}
        self.dataset = dropdown("Dataset", list(datasets))
        wide = {"width": "480px", "label_width": "170px"}
        self.number = slider("Sample", 1, n, 1, 1, **wide)
        start = round(100 * default_strength(datasets[0]))
        self.strength = slider("Prior strength (percent)", 0, 100, 25, start, **wide)
        self.evidence = w.Checkbox(value=True, description="Show the evidence", indent=False)
        self.image = ImageView(SIDE, SIDE)
        self.question, self.table, self.answers = w.HTML(), w.HTML(), w.HTML()
        for control in (self.dataset, self.number, self.strength, self.evidence):
            on_change(control, self.show)
        beside = column(self.question, self.table, self.answers)
        controls = column(row(self.dataset, self.evidence), self.number, self.strength)
        self.box = column(controls, row(self.image, beside))
        self.show()

    @property
    def sample(self) -> Sample:
        """The sample that is shown."""
        key = self.dataset.value, self.strength.value / 100, int(self.number.value)
        if key not in self._known:
            name, strength, number = key
            self._known[key] = sample_at(number - 1, name, prior_strength=strength)
        return self._known[key]

    def show(self) -> None:
        """Bring everything up to date with the controls."""
        sample, evidence = self.sample, bool(self.evidence.value)
        self.image.show(png(marked_image(sample, evidence=evidence)), self._alt())
        self.question.value = marked_question(sample, evidence=evidence)
        self.table.value = table_html(("what is known", ""), truth_rows(sample))
        found = {name: vlm.answer(sample) for name, vlm in self.models.items()}
        rows = [(name, answer.text, f"{answer.probability:.2f}") for name, answer in found.items()]
        said = table_html(("model", "answer", "probability"), rows) if rows else ""
        self.answers.value = status_html(said)

    def _alt(self) -> str:
        place = f"Sample {self.number.value} of {self.dataset.value}"
        return f"{place}: {self.sample.question} Answer: {self.sample.answer}"

    def static(self) -> str:
        """Picture, question and table."""
        shown = figure_html(self.image.value, self._alt(), width=SIDE)
        return f"<div>{shown}{self.question.value}{self.table.value}{self.answers.value}</div>"
