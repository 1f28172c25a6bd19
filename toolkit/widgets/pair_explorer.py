"""Pair explorer: point at a word and its cells light up, point at a cell and its words do."""

from __future__ import annotations

import html

import ipywidgets as w

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, explain
from toolkit.games.attribution import InteractionAttribution
from toolkit.reporting.cells_map import canvas
from toolkit.reporting.pair_map import pair_map_html, pair_maps
from toolkit.vlm.protocol import VLM
from toolkit.widgets.base_widget import BaseWidget, column, figure_html, row, status_html
from toolkit.widgets.views import png

SIDE = 192


class PairExplorer(BaseWidget):
    """Signed pairs of cells and words, by mouse or keyboard.

    Args:
        vlm: The model.
        sample: The image and question.
        explainer: One that gives pairs: a registry name, an explainer object or a function.
        seed: Seed of the explainer.

    Raises:
        ValueError: The explainer gives no pairs.
    """

    def __init__(
        self, vlm: VLM, sample: Sample, *, explainer: ExplainerLike = "banzhaf-interaction", seed: int = 0
    ) -> None:
        found = explain(explainer, vlm, sample, seed=seed)
        if not isinstance(found, InteractionAttribution):
            raise ValueError(
                f"{found.explainer!r} gives one score per player and no pairs; take banzhaf-interaction, "
                "gradient-interaction, shapley-interaction or faith-shapley-interaction"
            )
        self._where = (sample.sheet, found, vlm.regions(sample), sample.question, vlm.text_spans(sample))
        alt = f"The picture of the question: {sample.question}"
        self._image = figure_html(png(canvas(sample, SIDE)), alt, width=SIDE, caption="the picture")
        self.image = w.HTML(self._image)
        self.pairs = w.HTML(pair_map_html(*self._where))
        note = f"{html.escape(found.explainer)}, explained answer: {html.escape(found.target)}"
        self.note = w.HTML(
            status_html(
                f"{note}. Point at a word or a cell, or reach it with the Tab key. Orange: both together speak for the "
                "answer more than each alone; purple: less."
            )
        )
        self.box = column(row(self.pairs, self.image), self.note)

    def static(self) -> str:
        """The picture, and one map of the cells for each word."""
        return self._image + pair_maps(*self._where).html()
