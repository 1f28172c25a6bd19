"""Answer explorer: press a word of an answer, and the cells and words that it came from light up."""

from __future__ import annotations

import html

import ipywidgets as w

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike
from toolkit.reporting.explained_answer import explain_answer, lit, parts_table, summary
from toolkit.vlm.answer_parts import Per
from toolkit.vlm.model import LoadedVLM
from toolkit.widgets.base_widget import BaseWidget, ImageView, column, figure_html, on_change, row, status_html

SIDE = 320


class AnswerExplorer(BaseWidget):
    """The parts of an answer as buttons, of which one is pressed, by mouse or keyboard.

    Args:
        vlm: The model.
        sample: The image and question.
        answer: The answer that is forced; None takes the model's own.
        explainer: A registry name, an explainer object or a function.
        per: ``"word"`` or ``"token"``.

    Raises:
        TargetError: An answer that cannot be split.
    """

    def __init__(
        self,
        vlm: LoadedVLM,
        sample: Sample,
        answer: str | None = None,
        *,
        explainer: ExplainerLike = "occlusion",
        per: Per = "word",
    ) -> None:
        self.vlm, self.sample = vlm, sample
        self.found = explain_answer(explainer, vlm, sample, answer, per=per)
        self._lit = [lit(one, sample, vlm, side=SIDE) for one in self.found]
        names = ["the whole answer", *(one.part.text for one in self.found[1:])]
        self.part = w.ToggleButtons(
            options=[(name, i) for i, name in enumerate(names)],
            value=min(1, len(names) - 1),
            description="Answer",
            style={"description_width": "initial", "button_width": "auto"},
        )
        self.image, self.question, self.numbers = ImageView(SIDE, SIDE), w.HTML(), w.HTML()
        on_change(self.part, self.show)
        self.box = column(self.part, row(self.image, column(self.question, self.numbers)))
        self.show()

    def show(self) -> None:
        """Bring map, question and numbers up to date with the pressed part."""
        one, (data, alt, question) = self.found[self.part.value], self._lit[self.part.value]
        self.image.show(data, alt)
        self.question.value = f'<div style="font-size:16px;line-height:2.1">{question}</div>'
        self.numbers.value = status_html(f"<b>{html.escape(one.part.text)}</b>: {html.escape(summary(one))}")

    def static(self) -> str:
        """The map and the question of the pressed part, and the numbers of all parts."""
        shown = figure_html(self.image.value, self._lit[self.part.value][1], width=SIDE)
        return f"<div>{shown}{self.question.value}{self.numbers.value}{parts_table(self.found)}</div>"
