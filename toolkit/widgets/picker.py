"""Cells and words to switch on and off: a grid of buttons as large as the picture, and a row of words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ipywidgets as w
import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample
from toolkit.vlm.protocol import VLM
from toolkit.widgets.coalition import blocks_of
from toolkit.widgets.panel import on_change

SIDE = 264
ON, OFF = "info", ""


class Picker:
    """Buttons for the players of one sample.

    Args:
        changed: Called after every change of the choice, once even where many players change together.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._quiet = False
        self._n = 0
        self._owners: list[NDArray[np.int64]] = []
        self.buttons: list[w.ToggleButton] = []
        self.n_blocks = 0
        self.grid = w.GridBox([], layout={"width": f"{SIDE}px", "height": f"{SIDE}px"})
        self.words = w.HBox([], layout={"flex_flow": "row wrap", "width": "100%"})

    def show(self, vlm: VLM, sample: Sample) -> None:
        """Make buttons for a sample; everything is off."""
        players, blocks = vlm.players(sample), blocks_of(vlm.regions(sample))
        side = f"{SIDE // 6 - 2}px"
        square = {"width": side, "height": side, "padding": "0", "margin": "1px"}
        cells = [w.ToggleButton(description=block.label, layout=square) for block in blocks]
        labels = players.labels[players.n_image :]
        words = [w.ToggleButton(description=label, layout={"width": "auto", "margin": "1px"}) for label in labels]
        self._n, self.n_blocks = players.n, len(blocks)
        self._owners = [block.players for block in blocks]
        self._owners += [np.array([players.n_image + i]) for i in range(len(words))]
        self.buttons = [*cells, *words]
        for control in self.buttons:
            on_change(control, self._clicked)
        self.grid.layout.grid_template_columns = f"repeat(6, {SIDE // 6}px)"
        self.grid.children, self.words.children = cells, words

    def _clicked(self) -> None:
        for control in self.buttons:
            style = ON if control.value else OFF
            if control.button_style != style:
                control.button_style = style
        if not self._quiet:
            self._changed()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Change many buttons and report once."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False
        self._changed()

    @property
    def chosen(self) -> NDArray[np.bool_]:
        """Players (n_players,) whose button is on."""
        mask = np.zeros(self._n, dtype=np.bool_)
        for control, owned in zip(self.buttons, self._owners, strict=True):
            mask[owned] = control.value
        return mask

    def choose(self, mask: NDArray[np.bool_]) -> None:
        """Switch buttons so that a block is on if any of its players is in the mask."""
        with self.together():
            for control, owned in zip(self.buttons, self._owners, strict=True):
                control.value = bool(mask[owned].any())
