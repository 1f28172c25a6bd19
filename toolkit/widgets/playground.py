"""Coalition playground: click cells and words on and off; v(S), corners and differences update at once."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import partial

import ipywidgets as w
import numpy as np
from PIL import Image

from toolkit.datasets.sample import Sample
from toolkit.explainers.oracle import evidence
from toolkit.games.game import CachedGame
from toolkit.reporting.numbers import format_number
from toolkit.vlm.protocol import VLM
from toolkit.widgets.base_widget import (
    TIGHT,
    BaseWidget,
    ImageView,
    button,
    column,
    dropdown,
    figure_html,
    heading,
    on_change,
    on_click,
    row,
    status_html,
    table_html,
)
from toolkit.widgets.coalition import Pair, describe, pair_of, rows_of
from toolkit.widgets.curve_explorer import sample_options
from toolkit.widgets.picker import SIDE, Picker
from toolkit.widgets.views import bar_html, png, words_html

COLUMNS = ("value of", "rest absent", "rest present")


class CoalitionPlayground(BaseWidget):
    """Choose a coalition by hand and read its game.

    Args:
        models: Models by the name that the reader sees.
        samples: Samples to choose from.
        baseline: What a removed cell looks like.

    Raises:
        ValueError: No model or no sample.
    """

    def __init__(self, models: Mapping[str, VLM], samples: Sequence[Sample], *, baseline: str = "blur") -> None:
        if not models or not samples:
            raise ValueError(f"expected models and samples, got {len(models)} and {len(samples)}")
        self.models, self.samples, self.baseline = dict(models), list(samples), baseline
        self._games: dict[tuple[str, int], CachedGame] = {}
        self.model = dropdown("Model", list(self.models))
        self.sample = dropdown("Question", sample_options(samples), 0, width="640px")
        self.picker = Picker(self.show, look="veil")
        self.image = ImageView(SIDE, SIDE)
        self.words, self.value, self.table, self.note = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        self.presets = {name: button(name) for name in ("everything", "nothing", "evidence", "swap")}
        for name, control in self.presets.items():
            on_click(control, partial(self.preset, name), self.note)
        on_change(self.model, self._ask)
        on_change(self.sample, self._ask)
        chosen = column(heading("click cells and words on and off"), self.picker.cells, self.picker.words)
        seen = column(heading("what the model sees"), self.image, self.words)
        numbers = column(self.value, self.table, self.note, width="350px")
        self.box = column(
            row(self.model, self.sample),
            row(w.Label("Switch on:"), *self.presets.values(), gap=TIGHT),
            row(chosen, seen, numbers),
        )
        self._ask()

    @property
    def _vlm(self) -> VLM:
        return self.models[self.model.value]

    @property
    def _sample(self) -> Sample:
        return self.samples[int(self.sample.value)]

    @property
    def game(self) -> CachedGame:
        """The game of the chosen model and sample; it remembers what was asked."""
        key = self.model.value, self.sample.value
        if key not in self._games:
            self._games[key] = CachedGame(self._vlm.game(self._sample, baseline=self.baseline))
        return self._games[key]

    @property
    def pair(self) -> Pair:
        """The eight values of the current choice."""
        return pair_of(self.game, self.picker.chosen)

    def _ask(self) -> None:
        """Another model or sample: new buttons, everything on."""
        self.picker.show(self._vlm, self._sample)
        self.preset("everything")

    def preset(self, name: str) -> None:
        """Switch to everything, nothing, the evidence by construction, or the opposite of the current choice.

        Raises:
            ValueError: The sample carries no ground truth and the evidence was asked for.
        """
        n = self.game.players.n
        masks = {"everything": np.ones(n, dtype=np.bool_), "nothing": np.zeros(n, dtype=np.bool_)}
        if name == "evidence":
            masks[name] = evidence(self._vlm, self._sample) > 0
        self.picker.choose(~self.picker.chosen if name == "swap" else masks[name])

    def show(self) -> None:
        """Bring picture, words and numbers up to date with the buttons."""
        chosen, players, pair = self.picker.chosen, self.game.players, self.pair
        seen = self._vlm.masked_image(self._sample, chosen, baseline=self.baseline)
        shown = png(seen.resize((SIDE, SIDE), Image.Resampling.NEAREST))
        self.image.show(shown, self._alt())
        self.words.value = words_html(players.labels[players.n_image :], chosen[players.n_image :])
        target = str(getattr(self.game.game, "target", "the answer"))
        self.value.value = bar_html(f"v(S) = P({target})", pair.alone.both, width=SIDE)
        self.table.value = table_html(COLUMNS, rows_of(pair))
        self.note.value = status_html(
            f"S holds {html.escape(describe(players, chosen))}.<br>A dividend is both - A - B + neither. Their mean is "
            f"the Shapley interaction index of A and B: <b>{format_number(pair.index, sign=True)}</b>."
        )

    def _alt(self) -> str:
        return f"What the model sees with {describe(self.game.players, self.picker.chosen)}"

    def static(self) -> str:
        """The masked picture and the table of values."""
        shown = figure_html(self.image.value, self._alt(), width=SIDE, caption=self._sample.question)
        return f"<div>{shown}{self.words.value}{self.value.value}{self.table.value}{self.note.value}</div>"
