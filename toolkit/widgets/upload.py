"""An image of your own: upload it, ask a question, and get the model's answer and a sample to go on with."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import ipywidgets as w

from toolkit.datasets.image_file import decode_image
from toolkit.datasets.own_question import load_image_question
from toolkit.datasets.sample import Sample
from toolkit.vlm.protocol import VLM
from toolkit.widgets.base_widget import BaseWidget, button, column, figure_html, on_click, row, status_html, table_html
from toolkit.widgets.views import png


def uploaded(value: Any) -> tuple[str, bytes] | None:
    """Name and content of the file in an upload control, in ipywidgets 7 and 8; None where there is none."""
    files = [{"name": name, **found} for name, found in value.items()] if isinstance(value, dict) else list(value)
    return (Path(files[0]["name"]).name, bytes(files[0]["content"])) if files else None


class ImageUpload(BaseWidget):
    """Upload an image and ask a question about it.

    Attributes:
        sample: The latest question about the latest image, for the cells below; None before the first.

    Args:
        vlm: Who is asked.
        question: What stands in the field at first.
    """

    def __init__(self, vlm: VLM, question: str = "is there a red circle ?") -> None:
        self.vlm = vlm
        self.sample: Sample | None = None
        self.upload = w.FileUpload(accept="image/*", multiple=False, description="Your image", layout={"width": "auto"})
        style, layout = {"description_width": "initial"}, {"width": "360px", "max_width": "100%"}
        self.question = w.Text(value=question, description="Question", style=style, layout=layout)
        self.ask = button("Ask")
        self.reply = w.HTML()
        on_click(self.ask, self._ask, self.reply, named=False)
        self.box = column(row(self.upload, self.question, self.ask), self.reply)

    def _ask(self) -> None:
        found = uploaded(self.upload.value)
        if found is None:
            raise ValueError("choose an image first: PNG, JPEG or another format that Pillow reads")
        name, content = found
        sample = load_image_question(decode_image(content, repr(name)), self.question.value)
        self.reply.value = self._shown(sample)
        self.sample = sample

    def _shown(self, sample: Sample) -> str:
        answer = self.vlm.answer(sample)
        chances = [(choice, f"{chance:.2f}") for choice, chance in answer.by_choice.items()]
        table = table_html(("answer", "probability"), chances) if chances else ""
        said = status_html(f"<b>{html.escape(self.vlm.name)}</b> says: {html.escape(answer.text)}.")
        alt = f"Your image, with the question: {sample.question}"
        return figure_html(png(sample.image), alt, width=240, caption=sample.question) + said + table

    def static(self) -> str:
        """What was answered last, or what one could do here."""
        return self.reply.value or "<p>With a kernel, you upload an image here and ask a question about it.</p>"
