"""Cells and words to switch on and off: buttons that lie on the picture, and a row of words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeAlias

import ipywidgets as w
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.datasets.sample import Sample
from toolkit.typing import Regions
from toolkit.vlm.protocol import VLM
from toolkit.widgets.base_widget import ImageView, on_change
from toolkit.widgets.coalition import CellGroup, cell_groups
from toolkit.widgets.views import masked_image, png

SIDE = 252
ON, OFF = "info", ""

Look: TypeAlias = Literal["veil", "frame"]
"""A cell that is off lies under a veil, or a cell that is on gets a frame."""

STYLE = f"""<style>
.toolkit-stack {{ position: relative; height: {SIDE}px; width: {SIDE}px; flex: 0 0 auto; }}
.toolkit-stack > .toolkit-under, .toolkit-stack > .toolkit-over {{ position: absolute; left: 0; top: 0; margin: 0; }}
.toolkit-over {{ padding: 0; overflow: visible; grid-gap: 0; }}
.toolkit-over .jupyter-button {{ background: transparent !important; color: transparent !important;
  box-shadow: none !important; margin: 0; border: 1px solid rgba(90, 94, 104, .28); }}
.toolkit-over .jupyter-button:hover, .toolkit-over .jupyter-button:focus {{
  color: #1f2430 !important; text-shadow: 0 0 3px #fff, 0 0 3px #fff; outline: 3px solid #0072B2;
  outline-offset: -3px; }}
.toolkit-veil .jupyter-button:not(.mod-info) {{ background: rgba(255, 255, 255, .8) !important; }}
.toolkit-frame .jupyter-button.mod-info {{
  box-shadow: inset 0 0 0 3px #1f2430, inset 0 0 0 5px #fff !important; }}
</style>"""
"""Puts the buttons on top of the picture. Where a front end drops it, the picture stands above its buttons."""


class Picker:
    """Buttons for the players of one sample.

    Args:
        changed: Called after every change of the choice, once even where many players change together.
        look: How the chosen cells differ from the others.
    """

    def __init__(self, changed: Callable[[], None], *, look: Look) -> None:
        self._changed = changed
        self._quiet = False
        self._n = 0
        self._owners: list[NDArray[np.int64]] = []
        self.buttons: list[w.ToggleButton] = []
        self.n_groups = 0
        self.image = ImageView(SIDE, SIDE)
        self.image.box.add_class("toolkit-under")
        self.grid = w.GridBox([], layout={"width": f"{SIDE}px", "height": f"{SIDE}px"})
        self.grid.add_class("toolkit-over")
        self.grid.add_class(f"toolkit-{look}")
        self.cells = w.VBox([w.HTML(STYLE), self.image.box, self.grid])
        self.cells.add_class("toolkit-stack")
        self.words = w.HBox([], layout={"flex_flow": "row wrap", "width": f"{SIDE}px"})

    def show(self, vlm: VLM, sample: Sample) -> None:
        """Make buttons for a sample, over the part of the image that the model sees; everything is off."""
        if sample.further_images:
            raise ValueError(
                f"sample {sample.id!r} has {len(sample.images)} images, and cells to click on are laid out for one; "
                "look at its map with python -m toolkit explain, or ask about one image"
            )
        image, regions = _seen(sample.image, vlm.regions(sample))
        players, groups = vlm.players(sample), cell_groups(regions)
        columns, rows = (_sizes(groups, regions, axis) for axis in (0, 1))
        cells = [
            w.ToggleButton(
                description=group.label,
                layout={
                    "width": f"{columns[group.column]}px", "height": f"{rows[group.row]}px", "padding": "0",
                    "margin": "0", "grid_area": f"{group.row + 1} / {group.column + 1}",
                },
            )
            for group in groups
        ]  # fmt: skip
        labels = players.labels[players.n_image :]
        small = {"width": "auto", "margin": "1px", "padding": "0 6px", "flex": "0 0 auto"}
        words = [w.ToggleButton(description=label, layout=small) for label in labels]
        self._n, self.n_groups = players.n, len(groups)
        self._owners = [group.players for group in groups]
        self._owners += [np.array([players.n_image + i]) for i in range(len(words))]
        self.buttons = [*cells, *words]
        for control in self.buttons:
            on_change(control, self._clicked)
        self.grid.layout.grid_template_columns = " ".join(f"{size}px" for size in columns)
        self.grid.layout.grid_template_rows = " ".join(f"{size}px" for size in rows)
        everything = np.ones(players.n_image, dtype=np.bool_)
        shown = masked_image(image, regions, everything, side=SIDE)
        self.image.show(png(shown), f"The picture of the question: {sample.question}")
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
        """Switch buttons so that a group is on if any of its players is in the mask."""
        with self.together():
            for control, owned in zip(self.buttons, self._owners, strict=True):
                control.value = bool(mask[owned].any())


def _sizes(groups: Sequence[CellGroup], regions: Regions, axis: int) -> list[int]:
    """Pixels of each column (axis 0) or row (axis 1) of buttons: as its cells lie where they lie side by side."""
    lines = [group.row if axis else group.column for group in groups]
    start, stop = np.ones(1 + max(lines)), np.zeros(1 + max(lines))
    for line, group in zip(lines, groups, strict=True):
        start[line] = min(start[line], regions[group.players, axis].min())
        stop[line] = max(stop[line], regions[group.players, 2 + axis].max())
    edges = np.concatenate([[0.0], stop])
    if not np.allclose(start, edges[:-1], atol=1e-6):  # segments reach over each other
        edges = np.linspace(0, 1, len(edges))
    return [int(size) for size in np.diff(np.rint(edges * SIDE))]


def _seen(image: Image.Image, regions: Regions) -> tuple[Image.Image, Regions]:
    """The part of an image that its cells cover, and where they lie in that part."""
    start, stop = regions[:, :2].min(axis=0), regions[:, 2:].max(axis=0)
    size = np.array(image.size)
    box = np.concatenate([np.floor(start * size), np.ceil(stop * size)]).astype(int)
    seen = image if np.allclose([start, stop], [[0, 0], [1, 1]]) else image.crop(tuple(box.tolist()))
    return seen, np.asarray(((regions.reshape(-1, 2, 2) - start) / (stop - start)).reshape(-1, 4), dtype=np.float64)
