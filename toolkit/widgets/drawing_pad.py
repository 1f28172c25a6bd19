"""Drawing pad: paint shapes into the cells of the embedded world, ask a model about them, and map its answer."""

from __future__ import annotations

import html
from functools import partial

import ipywidgets as w
import numpy as np

from toolkit.datasets.own_question import load_image_question
from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, explain, get_explainer
from toolkit.reporting.plots.maps import overlay, tokens_html
from toolkit.scenes.draw_scene import draw
from toolkit.scenes.in_world import in_world_spelling
from toolkit.scenes.vocabulary import COLOURS, GRID, PLAIN
from toolkit.scenes.world import Scene, SceneObject, look
from toolkit.vlm.protocol import VLM
from toolkit.widgets.base_widget import (
    TIGHT,
    BaseWidget,
    ImageView,
    button,
    choice,
    column,
    figure_html,
    heading,
    on_change,
    on_click,
    row,
    status_html,
    table_html,
)
from toolkit.widgets.picker import SIDE, STYLE
from toolkit.widgets.views import png

NOTHING = "nothing"
SIZE = 0.92
START = {(1, 1): ("red", "square"), (3, 4): ("blue", "circle")}
"""What is on the pad at first, by (row, column) from 0: red is there and a circle is there, and no red circle."""


def scene_of(painted: dict[tuple[int, int], tuple[str, str]]) -> Scene:
    """A scene of (colour, kind) by (row, column), each upright in the middle of its cell, on the same paper always."""
    things = (
        SceneObject(kind, colour, column + 0.5, row + 0.5, SIZE, 0.0, COLOURS[colour])
        for (row, column), (colour, kind) in sorted(painted.items())
    )
    return look(np.random.default_rng(0), tuple(things))


class DrawingPad(BaseWidget):
    """Choose a colour and a shape, click cells, and ask about the drawing.

    The answer follows every stroke; the map of the answer is drawn on demand.

    Attributes:
        sample: The question about the drawing, for the cells below.
        painted: Colour and shape by (row, column), from 0.

    Args:
        vlm: Who is asked; drawings are like the pictures of the embedded models.
        question: What stands in the field at first.
        explainer: Whose map is shown: a registry name, an explainer object or a function.
    """

    sample: Sample

    def __init__(
        self, vlm: VLM, question: str = "is there a red circle ?", *, explainer: ExplainerLike = "occlusion"
    ) -> None:
        self.vlm, self.explainer, self.painted = vlm, explainer, dict(START)
        self.colour = choice("Colour", list(COLOURS), "red")
        self.shape = choice("Shape", [*PLAIN, NOTHING], "circle")
        self.image, self.map = ImageView(SIDE, SIDE), ImageView(SIDE, SIDE)
        self.answer, self.words, self.note = w.HTML(), w.HTML(), w.HTML()
        self.cells = {(r, c): self._cell(r, c) for r in range(GRID) for c in range(GRID)}
        style, layout = {"description_width": "initial"}, {"width": "420px", "max_width": "100%"}
        self.question = w.Text(
            value=question, description="Question", continuous_update=False, style=style, layout=layout
        )
        self.clear, self.explain = button("Clear"), button(f"Map of {get_explainer(explainer).name}")
        on_change(self.question, self._ask)
        on_click(self.clear, self._clear, self.note, named=False)
        on_click(self.explain, self._explain, self.note, named=False)
        asked = column(self.question, self.answer, row(self.explain, self.clear, gap=TIGHT), self.note)
        mapped = column(self.map, self.words)
        self.box = column(self.colour, self.shape, row(column(heading("click a cell"), self._pad()), asked, mapped))
        self._ask()

    def _cell(self, r: int, c: int) -> w.Button:
        edge = f"{SIDE // GRID}px"
        cell = w.Button(
            description=f"{r + 1},{c + 1}", layout={"width": edge, "height": edge, "padding": "0", "margin": "0"}
        )
        on_click(cell, partial(self.paint, r, c), self.note, named=False)
        return cell

    def _pad(self) -> w.VBox:
        tracks = f"repeat({GRID}, {SIDE // GRID}px)"
        layout = {"width": f"{SIDE}px", "height": f"{SIDE}px", "grid_template_columns": tracks}
        grid = w.GridBox(list(self.cells.values()), layout={**layout, "grid_template_rows": tracks})
        pad = w.VBox([w.HTML(STYLE), self.image.box, grid])
        for part, name in ((self.image.box, "toolkit-under"), (grid, "toolkit-over"), (pad, "toolkit-stack")):
            part.add_class(name)
        return pad

    def paint(self, row: int, column: int) -> None:
        """Put the chosen shape into a cell, counted from 0; what is there already is taken away."""
        thing = (self.colour.value, self.shape.value)
        if self.shape.value == NOTHING or self.painted.get((row, column)) == thing:
            self.painted.pop((row, column), None)
        else:
            self.painted[row, column] = thing
        self._ask()

    def _clear(self) -> None:
        self.painted.clear()
        self._ask()

    def _alt(self) -> str:
        things = [f"{colour} {kind} in row {r + 1}, column {c + 1}"
                  for (r, c), (colour, kind) in sorted(self.painted.items())]  # fmt: skip
        return f"Your drawing: {'; '.join(things) or 'empty'}."

    def _ask(self) -> None:
        """Draw, ask, and take the old map away."""
        image = draw(scene_of(self.painted))
        self.image.show(png(image.resize((SIDE, SIDE))), self._alt())
        self.map.show(b"", "")
        self.words.value = self.note.value = ""
        try:
            self.sample = load_image_question(image, in_world_spelling(self.question.value))
            answer = self.vlm.answer(self.sample)
            self.explain.disabled = False
        except ValueError as error:
            self.answer.value, self.explain.disabled = "", True
            self.note.value = status_html(html.escape(str(error)))
            return
        chances = [(name, f"{chance:.2f}") for name, chance in answer.by_choice.items()]
        said = status_html(f"<b>{html.escape(self.vlm.name)}</b> says: {html.escape(answer.text)}.")
        self.answer.value = said + (table_html(("answer", "probability"), chances) if chances else "")

    def _explain(self) -> None:
        found = explain(self.explainer, self.vlm, self.sample)
        drawn = overlay(self.sample.image, found.of("image"), self.vlm.regions(self.sample), side=SIDE)
        best = int(np.argmax(np.abs(found.of("image"))))
        alt = f"Map of {found.explainer} for the answer {found.target}; strongest: {found.players.labels[best]}."
        self.map.show(png(drawn), alt)
        words = tokens_html(self.sample.question, self.vlm.text_spans(self.sample), found.of("text"))
        self.words.value = f'<div style="font-size:16px;line-height:2.1">{words}</div>'

    def static(self) -> str:
        """The drawing, the answer, and the map where one was asked for."""
        shown = figure_html(self.image.value, self._alt(), width=SIDE, caption=self.question.value)
        mapped = figure_html(self.map.value, self.map.words.value, width=SIDE) if self.map.value else ""
        return f"<div>{shown}{mapped}{self.words.value}{self.answer.value}{self.note.value}</div>"
